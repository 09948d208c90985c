"""Options that regularise: against a plain loop that is given the same random numbers."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman
from elman import Recurrent
from tests.nn.kinds import assert_same_bits
from tests.nn.regularising import (
    LENGTHS,
    OPTIONS,
    RANDOM,
    STACK,
    B,
    I,
    Spy,
    T,
    check,
    net_of,
    run,
    solve,
)
from tests.tolerances import assert_close

pytestmark = pytest.mark.sampled(3)


PAIRS = [*({n: v} for n, v in OPTIONS.items())]
PAIRS += [dict(pair) for pair in itertools.combinations(OPTIONS.items(), 2)]


def cells() -> Iterator[str]:
    return itertools.cycle(["LSTM", "GRU", "Elman"])


def cases() -> list[Any]:
    """Every pair of options, each for one of three cells in turn."""
    found = []
    for options, cell in zip(PAIRS, cells(), strict=False):
        fits = "LSTM" if cell == "Elman" and "recurrent_dropout" in options else cell
        found.append(pytest.param(fits, options, id=f"{fits}-{'-'.join(options)}"))
    return found


@pytest.mark.usefixtures("kernel_path")
@pytest.mark.parametrize(("cell", "options"), cases())
def test_every_pair_of_options_agrees_with_a_plain_loop(
    cell: str, options: Mapping[str, Any], spy: Spy
) -> None:
    net = net_of(cell, options, num_layers=2, bidirectional=True)
    for rows, call in ((B, {"lengths": LENGTHS}), (1, {}), (3, {})):
        x = torch.randn(T, rows, I, dtype=torch.float64)
        for _ in range(2 if rows > 1 else 1):  # known the second time
            found = run(net, x, **call)
            check(found, solve(cell, net, spy, x, call.get("lengths", [T] * rows)))
    with elman.set_path("reference"):
        check(run(net, x), found)


@pytest.mark.usefixtures("kernel_path")
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "Elman"])
def test_all_options_together_agree_with_a_plain_loop(cell: str, spy: Spy) -> None:
    options = {n: v for n, v in OPTIONS.items() if cell != "Elman" or n != "recurrent_dropout"}
    for sizes in ({}, {"num_layers": 2}, {"num_layers": 3, "bidirectional": True}):
        net = net_of(cell, options, **sizes)
        x = torch.randn(T, 1, I, dtype=torch.float64)
        for _ in range(2):
            check(run(net, x), solve(cell, net, spy, x, [T]))


@pytest.mark.usefixtures("kernel_path")
def test_states_have_options_of_their_own(spy: Spy) -> None:
    options = {"zoneout": (0.5, 0.05), "state_noise": (0, 0.3), "grad_clip": [None, 0.01]}
    net = net_of("LSTM", options, state_clip=(0.1, None))
    assert net.zoneout == (0.5, 0.05)
    assert net.grad_clip == (None, 0.01)
    x = torch.randn(T, B, I, dtype=torch.float64)
    check(run(net, x), solve("LSTM", net, spy, x, [T] * B))
    assert {*net._drawn.step.randoms} == {"zoneout_h", "zoneout_c", "state_noise_c"}


@pytest.mark.usefixtures("kernel_path")
def test_packed_rows_have_the_masks_of_their_sequences(spy: Spy) -> None:
    net = net_of("LSTM", RANDOM, **STACK)
    x = torch.randn(T, B, I, dtype=torch.float64)
    order = sorted(range(B), key=lambda b: -LENGTHS[b])
    for _ in range(2):
        torch.manual_seed(3)
        packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        output = pad_packed_sequence(net(packed)[0], total_length=T)[0]
        alone = []
        counts = packed.batch_sizes
        for i, b in enumerate(order):
            places = [int(counts[:t].sum()) + i for t in range(LENGTHS[b])]
            for masks in spy.masks:
                named = dict(zip(net._drawn.step.randoms, masks.inner, strict=True))
                for mask in (masks.input, named["state_dropout_h"], masks.output):
                    assert mask is not None
                    assert_same_bits([mask[places]], [mask[places[:1]].expand(len(places), -1)])
            alone.append([m.map(lambda v, places=places: v[places, None]) for m in spy.masks])
        for masks, b in zip(alone, order, strict=True):
            spy.masks = masks
            one = x[: LENGTHS[b], b : b + 1]
            expected = solve("LSTM", net, spy, one, [LENGTHS[b]])["output"]
            assert_close(output[: LENGTHS[b], b : b + 1], expected, "same")


@pytest.mark.usefixtures("kernel_path")
@pytest.mark.parametrize("form", ["batch_first", "unbatched", "lengths first"])
def test_other_forms_of_a_call(form: str, spy: Spy) -> None:
    net = net_of("LSTM", RANDOM, batch_first="first" in form, **STACK)
    x = torch.randn(T, B, I, dtype=torch.float64)
    lengths = LENGTHS if form == "lengths first" else [T] * B
    call = {"lengths": lengths} if form == "lengths first" else {}
    given = x.transpose(0, 1) if "first" in form else x
    if form == "unbatched":
        given = x = x[:, 0]
        lengths, x = [T], x[:, None]
    for _ in range(2):
        output, _ = net(given, **call)
        expected = solve("LSTM", net, spy, x, lengths)["output"]
        expected = expected.transpose(0, 1) if "first" in form else expected
        assert_close(output, expected[:, 0] if form == "unbatched" else expected, "same")


def test_layers_of_several_sizes_residuals_and_merges() -> None:
    torch.manual_seed(0)
    kwargs = {"dtype": torch.float64, "bidirectional": True, "merge": "sum"}
    net = Recurrent(elman.cells.LSTM, I, [4, 4, 4], residual=True, **kwargs, **RANDOM)
    uneven = Recurrent(elman.cells.LSTM, I, [4, 7, 2], **kwargs, **RANDOM)
    x = torch.randn(T, B, I, dtype=torch.float64)
    for each in (net, uneven):
        kernel = run(each, x)
        again = run(each, x)
        assert_same_bits([*kernel.values()], [*again.values()])
        with elman.set_path("reference"):
            check(kernel, run(each, x))


@pytest.mark.usefixtures("kernel_path")
def test_states_of_every_step_are_given_out(spy: Spy) -> None:
    net = net_of("LSTM", RANDOM, **STACK)
    x = torch.randn(T, B, I, dtype=torch.float64)
    expected = run(net, x)
    for _ in range(2):
        torch.manual_seed(5)
        output, (h_n, c_n), (h, c) = net(x, return_states=True)
        assert_same_bits(
            [output, h_n, c_n], [expected[n] for n in ("output", "final 0", "final 1")]
        )
        for every, final in ((h, h_n), (c, c_n)):
            ends = [every[i][-1 if i % 2 == 0 else 0] for i in range(4)]
            assert_same_bits(ends, [*final])
        last = spy.masks[-1].output
        assert last is not None
        assert_same_bits([output], [torch.cat([h[2], h[3]], -1) * last])


@pytest.mark.usefixtures("kernel_path")
def test_rows_that_begin_anew_keep_their_masks(spy: Spy) -> None:
    """A reset after every step but the first: each step begins from zeros, with its own masks."""
    net = net_of("LSTM", {n: v for n, v in RANDOM.items() if n != "weight_dropout"})
    x = torch.randn(T, B, I, dtype=torch.float64)
    found = run(net, x, reset=torch.ones(T, B, dtype=torch.bool))
    given, alone = spy.masks, []
    for t in range(T):
        spy.masks = [mine.map(lambda v, t=t: v[t : t + 1]) for mine in given]
        alone.append(solve("LSTM", net, spy, x[t : t + 1], [1] * B)["output"])
    assert_close(found["output"], torch.cat(alone), "same")
    with elman.set_path("reference"):
        check(run(net, x, reset=torch.ones(T, B, dtype=torch.bool)), found)
