"""Any cell as a stack of layers or as one step: against torch.nn, the reference, and itself."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman
from elman import Recurrent, RecurrentCell
from tests.cells import CELLS
from tests.nn.kinds import (
    LENGTHS,
    RAGGED,
    STACK,
    B,
    H,
    I,
    Leaky,
    T,
    assert_all_close,
    assert_same,
    assert_same_bits,
    further,
    loss_of,
    options_of,
    seeded,
    stack_of,
    tensors,
    units_of,
)

pytestmark = [pytest.mark.usefixtures("kernel_path"), pytest.mark.sampled(3)]


# As torch.nn's


@pytest.mark.parametrize("options", [{}, STACK, {"bias": False, "batch_first": True}], ids=str)
@pytest.mark.parametrize("name", ["RNN", "LSTM", "LSTM-projected", "GRU"])
def test_layers_are_those_of_torch(name: str, options: dict[str, Any]) -> None:
    if name.endswith("projected"):
        options, cell = options | {"proj_size": 2}, CELLS["Projected"]
    else:
        cell = {"RNN": elman.cells.Elman, "LSTM": elman.cells.LSTM, "GRU": elman.cells.GRU}[name]
    theirs = seeded(getattr(torch.nn, name.partition("-")[0]), I, H, **options)
    ours = seeded(Recurrent, cell, I, H, **options)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    assert_same_bits(list(ours.state_dict().values()), list(state.values()))
    x = torch.randn(B, T, I)
    assert_same(theirs, ours, x)
    hx = theirs(x)[1]
    assert_same(theirs, ours, x, hx)
    assert_same(theirs, ours, x[0])
    packed = pack_padded_sequence(x, RAGGED, batch_first=True, enforce_sorted=False)
    (ours_x, ours_h), (theirs_x, theirs_h) = ours(packed), theirs(packed)
    assert torch.equal(ours_x.batch_sizes, theirs_x.batch_sizes)
    assert_all_close(tensors((ours_x, ours_h)), tensors((theirs_x, theirs_h)))


def test_dropout_draws_as_torch_draws() -> None:
    theirs = seeded(torch.nn.GRU, I, H, 3, dropout=0.5)
    ours = seeded(Recurrent, elman.cells.GRU, I, H, 3, dropout=0.5)
    x = torch.randn(T, B, I)
    results = [seeded(module, x)[0] for module in (theirs, ours)]
    assert_all_close(results[1:], results[:1])
    assert_same(theirs.eval(), ours.eval(), x)


# Any cell


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("name", CELLS)
def test_kernels_and_reference_agree(name: str, lengths: list[int] | None) -> None:
    cell = CELLS[name]
    net = Recurrent(
        cell, I, units_of(cell), **stack_of(cell), **options_of(cell), learn_initial=True
    ).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    x, given = torch.randn(T, B, I).double(), further(cell, T, B, dtype=torch.float64)
    results = []
    for path in ("kernel", "reference"):
        with elman.set_path(path):
            leaf = x.clone().requires_grad_()
            each = {n: v.clone().requires_grad_() for n, v in (given or {}).items()}
            found = tensors(net(leaf, lengths=lengths, inputs=each))
            leaves = [leaf, *each.values(), *net.parameters()]
            gradients = torch.autograd.grad(loss_of(found), leaves, materialize_grads=True)
            results.append([*found, *gradients])
    assert all(p.any() for p in results[0][:2])
    assert_all_close(*results)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_a_single_step_gives_the_bits_of_the_layer(name: str, bias: bool) -> None:
    cell = CELLS[name]
    net = Recurrent(cell, I, units_of(cell), bias=bias, **options_of(cell))
    single = seeded(RecurrentCell, cell, I, units_of(cell), bias=bias, **options_of(cell))
    net.load_state_dict({f"{k}_l0": v for k, v in single.state_dict().items()})
    x, given = torch.randn(T, B, I), further(cell, T, B)
    output, final = net(x, inputs=given)
    state, outputs = None, []
    for t in range(T):
        state = single(x[t], state, None if given is None else {n: v[t] for n, v in given.items()})
        outputs.append(tensors(state)[0])
    assert_same_bits([torch.stack(outputs)], [output])
    assert_same_bits(tensors(state), [f[0] for f in tensors(final)])
    row = {n: v[0, 0] for n, v in given.items()} if given else None
    one = single(x[0, 0], inputs=row)
    assert torch.equal(tensors(one)[0], outputs[0][0])


def test_only_what_the_formula_reads_is_there() -> None:
    names = [n for n, _ in Recurrent(CELLS["Peephole"], I, H, bias=False).named_parameters()]
    kinds = ("ih", "hh", "ci", "cf", "co")
    assert names == [f"weight_{k}_l0" for k in kinds]
    assert list(RecurrentCell(CELLS["Blind"], I, H).state_dict()) == ["weight_hh", "bias_hh"]


def test_a_cell_initialises_every_layer() -> None:
    net = Recurrent(Leaky, I, H, **STACK)
    biases = [p for n, p in net.named_parameters() if n.startswith("bias_hh")]
    assert len(biases) == 4
    assert all((b == 0.5).all() for b in biases)
    assert net.weight_ih_l0.abs().max() <= H**-0.5


# Lengths


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "hx"])
def test_lengths_give_what_each_row_gives_alone(batch_first: bool, given: bool) -> None:
    net = Recurrent(elman.cells.LSTM, I, H, **STACK, batch_first=batch_first)
    x = torch.randn(T, B, I)
    hx = tuple(torch.randn(4, B, H) for _ in "hc") if given else None
    turn = (lambda v: v.transpose(0, 1)) if batch_first else (lambda v: v)
    output, final = net(turn(x), hx, lengths=torch.tensor(LENGTHS))
    output = turn(output)
    for b, steps in enumerate(LENGTHS):
        mine = None if hx is None else tuple(s[:, b : b + 1] for s in hx)
        assert not output[steps:, b].any()
        states = [s[:, b : b + 1] for s in final]
        if steps:
            alone, last = net(turn(x[:steps, b : b + 1]), mine)
            assert_all_close([output[:steps, b : b + 1], *states], [turn(alone), *last])
        else:
            before = mine or [torch.zeros_like(s) for s in states]
            assert_same_bits(states, list(before))


def test_lengths_are_those_of_packed_sequences() -> None:
    net = Recurrent(elman.cells.GRU, I, H, **STACK)
    x = torch.randn(T, B, I)

    def packed(x: Tensor) -> Any:
        output, final = net(pack_padded_sequence(x, RAGGED, enforce_sorted=False))
        return pad_packed_sequence(output)[0], final

    results = []
    for run in (packed, lambda x: net(x, lengths=RAGGED)):
        leaf = x.clone().requires_grad_()
        found = tensors(run(leaf))
        results.append([*found, *torch.autograd.grad(loss_of(found), [leaf, *net.parameters()])])
    assert_same_bits(*results)


@pytest.mark.parametrize("lengths", [torch.zeros(B, dtype=torch.int32), []], ids=["zeros", "none"])
def test_lengths_of_nothing_give_zeros(lengths: Any) -> None:
    net = Recurrent(CELLS["Seer"], I, H, **STACK)
    x = torch.randn(T, len(lengths), I)
    with elman.set_path("auto"):
        output, final = net(x, lengths=lengths, inputs=further(net.cell, T, len(lengths)))
    assert output.shape == (T, len(lengths), 2 * H)
    assert not output.any()
    assert all(not s.any() for s in final)
    gradients = torch.autograd.grad(output.sum() + final[0].sum(), list(net.parameters()))
    assert all(not g.any() for g in gradients)
