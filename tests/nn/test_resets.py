"""``lengths``, ``reset``, ``reset_to``: rows that begin anew, against a plain loop over steps."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman import Recurrent
from elman.cells import CATALOGUE
from elman.nn import marks
from tests import cells
from tests.cells import CELLS
from tests.nn.kinds import (
    LAYERS,
    RAGGED,
    B,
    H,
    I,
    Kind,
    T,
    assert_all_close,
    assert_same_bits,
    each,
    further,
    loss_of,
    options_of,
    seeded,
    stack_of,
    tensors,
    units_of,
)
from tests.nn.marked import results, solve
from tests.tolerances import assert_close

pytestmark = pytest.mark.usefixtures("kernel_path")

#: Of rows that begin anew: never, at the beginning, at every step, at some.
RESETS = {
    "never": lambda t, b: torch.zeros(t, b, dtype=torch.bool),
    "first": lambda t, b: torch.arange(t * b).view(t, b) < b - 1,
    "always": lambda t, b: torch.ones(t, b, dtype=torch.bool),
    "some": lambda t, b: torch.arange(t * b).view(t, b) % 5 == 2,
}
LENGTHS = {"full": None, "shorter": [2, 0, 6, 4], "nothing": [0, 0, 0, 0]}


def states_of(net: Recurrent, rows: int, like: Tensor) -> Any:
    step, sizes = net.cell.trace(), net._layer_sizes()[0]
    lead = net.num_layers * (2 if net.bidirectional else 1), rows
    made = [like.new_empty(*lead, sizes[step.space(s)]).normal_() for s in step.states]
    return tuple(made) if len(made) > 1 else made[0]


def check(name: str, net: Recurrent, x: Tensor, hx: Any, reset_to: Any, **marked: Any) -> None:
    """The net's results and all gradients, against the loop's."""
    inputs = further(net.cell, *x.shape[:2], dtype=x.dtype)
    leaves = {"x": x.requires_grad_(), **(inputs or {}), **dict(net.named_parameters())}
    for label, states in (("hx", hx), ("reset_to", reset_to)):
        if isinstance(states, (Tensor, tuple)):
            leaves |= {f"{label} {i}": s for i, s in enumerate(tensors(states))}
    for leaf in leaves.values():
        leaf.requires_grad_()
    turned = dict(marked)
    if net.batch_first and marked.get("reset") is not None:
        turned["reset"] = marked["reset"].T
    mine = x.transpose(0, 1) if net.batch_first else x
    each_input = inputs and {
        n: v.transpose(0, 1) if net.batch_first else v for n, v in inputs.items()
    }
    found = tensors(net(mine, hx, **turned, reset_to=reset_to, inputs=each_input))
    if net.batch_first:
        found[0] = found[0].transpose(0, 1)
    expected = solve(name, net, x, hx, **marked, reset_to=reset_to, inputs=inputs)
    right = results(expected, leaves, unused=True)
    for key, value in results(found, leaves, unused=True).items():
        assert_close(value, right[key], "gradient" if key.startswith("of") else "state", key)


NAMED = {name: cell for name, cell in cells.CATALOGUE.items() if name in CATALOGUE} | {
    name: CELLS[name] for name in ("Projected", "Seer", "Narrow", "Odd")
}


@pytest.mark.parametrize("name", NAMED)
def test_every_cell_begins_anew(name: str) -> None:
    cell = NAMED[name]
    net = Recurrent(cell, I, units_of(cell), **stack_of(cell), **options_of(cell)).double()
    x = torch.randn(T, B, I).double()
    hx, back = (states_of(net, B, x) for _ in range(2))
    if "n" in cell.trace().states:  # a normaliser, which is positive
        hx, back = (tuple(s.abs() + 0.5 for s in states) for states in (hx, back))
    check(name, net, x, hx, back, lengths=[2, 5, 6, 0], reset=RESETS["some"](T, B))


OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "batch_first": True},
    {"bidirectional": True, "learn_initial": True},
    {"bidirectional": True, "batch_first": True, "bias": False},
]


@pytest.mark.parametrize(
    ("resets", "lengths", "options", "states"),
    [
        row
        for i, row in enumerate(itertools.product(RESETS, LENGTHS, range(4), range(5)))
        if (i + i // 5 + i // 60) % 4 == 0
    ],
)
def test_options_go_together(resets: str, lengths: str, options: int, states: int) -> None:
    net = Recurrent(CELLS["LSTM"], I, H, **OPTIONS[options]).double()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.4)
    x = torch.randn(T, B, I).double()
    hx, back = (states_of(net, B, x) for _ in range(2))
    given, reset_to = [(None, None), (hx, None), (None, back), (hx, back), (hx, 0)][states]
    marked = {"lengths": LENGTHS[lengths], "reset": RESETS[resets](T, B)}
    check("LSTM", net, x, given, reset_to, **marked)


@given(data=st.data())
def test_any_rows_begin_anew(data: st.DataObject) -> None:
    t, b = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 6))
    rows = data.draw(st.none() | st.lists(st.integers(0, t), min_size=b, max_size=b))
    numbers = data.draw(st.integers(0, 2 ** (t * b) - 1) | st.just(0))
    reset = torch.tensor([bool(numbers >> i & 1) for i in range(t * b)]).view(t, b)
    torch.manual_seed(0)
    net = Recurrent(CELLS["GRU"], I, H, bidirectional=data.draw(st.booleans())).double()
    x = torch.randn(t, b, I).double()
    hx, back = (states_of(net, b, x) for _ in range(2))
    given, reset_to = data.draw(st.sampled_from([(None, None), (hx, 0), (hx, back), (None, back)]))
    check("GRU", net, x, given, reset_to, lengths=rows, reset=reset)


def test_sequences_have_the_bits_of_sequences_alone() -> None:
    net, both = (
        Recurrent(elman.cells.LSTM, I, H, **more)
        for more in ({"num_layers": 2}, {"bidirectional": True})
    )
    x, reset = torch.randn(30, B, I), torch.rand(30, B) < 0.2
    hx = states_of(net, B, x)
    one_way, two_ways = net(x, hx, reset=reset, reset_to=0)[0], both(x, reset=reset)[0]
    for b in range(B):
        for first, stop in itertools.pairwise([0, *(reset[1:, b].nonzero() + 1), 30]):
            carried = None if first or reset[0, b] else tuple(s[:, b] for s in hx)
            mine = slice(first, stop), b
            assert torch.equal(one_way[mine], net(x[mine], carried)[0])
            assert torch.equal(two_ways[mine], both(x[mine])[0])


def test_a_rollout_is_the_loop_that_people_write() -> None:
    """Recurrent reinforcement learning: episodes begin with zeros, the first goes on."""
    lstm = elman.LSTM(I, H)
    x, starts = torch.randn(T, B, I), torch.rand(T, B) < 0.3
    carried = state = tuple(torch.randn(1, B, H) for _ in "hc")
    output, final = lstm(x, carried, reset=starts, reset_to=0)
    for t in range(T):
        keep = (~starts[t]).float()[None, :, None]
        out, state = lstm(x[t : t + 1], tuple(s * keep for s in state))
        assert_same_bits([out[0]], [output[t]])
    assert_same_bits(list(state), list(final))


@each(LAYERS)
@pytest.mark.parametrize("path", ["kernel", "torch", "reference"])
def test_layers_of_torch_have_them_on_every_path(kind: Kind, path: str) -> None:
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    theirs, ours = kind.pair(**options)
    net = ours if path == "kernel" else elman.accelerate(theirs)
    any_cell = {"RNN": elman.cells.Elman, "LSTM": elman.cells.LSTM, "GRU": elman.cells.GRU}
    size = {"proj_size": 2} if kind.proj_size else {}
    cell = CELLS["Projected"] if kind.proj_size else any_cell[kind.name]
    right = seeded(Recurrent, cell, I, H, **options, **size)
    right.load_state_dict(ours.state_dict())
    x, hx, back = torch.randn(B, T, I), kind.state(4), kind.state(4)
    given = {"lengths": torch.tensor([3, 6, 0, 1], dtype=torch.uint8)}
    for marked in (given, given | {"reset": RESETS["some"](B, T), "reset_to": back}):
        found = []
        for module in (net, right):
            leaf = x.clone().requires_grad_()
            with elman.set_path(path if module is net else "kernel"):
                values = tensors(module(leaf, hx, **marked))
                leaves = [leaf, *module.parameters()]
                found.append([*values, *torch.autograd.grad(loss_of(values), leaves)])
        assert_all_close(*found)
    with elman.set_path(path):
        output, final = net(x, hx, lengths=[0] * B, reset=torch.ones(B, T, dtype=torch.bool))
    assert not output.any()
    assert_same_bits(tensors(final), tensors(hx))


@pytest.mark.parametrize("path", ["kernel", "torch"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_states_at_every_step_are_those_of_sequences_alone(batch_first: bool, path: str) -> None:
    net = elman.GRU(I, H, batch_first=batch_first, bidirectional=True)
    x, reset = torch.randn(30, B, I), torch.rand(30, B) < 0.2
    turned = x.transpose(0, 1) if batch_first else x
    mask = reset.T if batch_first else reset
    with elman.set_path(path):
        output, _, states = net(turned, reset=mask, return_states=True)
    assert states.shape == (2, *turned.shape[:2], H)
    assert_same_bits([torch.cat([*states], -1)], [output])
    for b in range(B):
        for first, stop in itertools.pairwise([0, *(reset[1:, b].nonzero() + 1), 30]):
            alone = net(x[first:stop, b], return_states=True)[2]
            mine = states[:, b, first:stop] if batch_first else states[:, first:stop, b]
            assert_all_close([mine], [alone])


def test_one_mask_of_dropout_lasts_through_resets() -> None:
    net = seeded(Recurrent, CELLS["GRU"], I, H, state_dropout=0.5, input_dropout=0.5)
    x, reset = torch.randn(T, B, I), (torch.arange(2 * T) == T)[:, None].expand(2 * T, B)
    output, _ = net(torch.cat([x, x]), reset=reset)
    assert_same_bits([output[T:]], [output[:T]])


def test_unbatched_sequences_begin_anew() -> None:
    gru, x, h = elman.GRU(I, H, batch_first=True), torch.randn(T, I), torch.randn(1, H)
    reset = torch.tensor([False, False, True, False, True, False])
    output, final = gru(x, h, reset=reset)
    parts = [gru(x[a:b], h) for a, b in ((0, 2), (2, 4), (4, 6))]
    assert_same_bits([output, final], [torch.cat([o for o, _ in parts]), parts[-1][1]])


def test_layers_of_other_sizes_and_narrow_layers_begin_anew() -> None:
    net = Recurrent(elman.cells.LSTM, I, [4, 7], bidirectional=True, merge="sum")
    x, reset = torch.randn(T, B, I), RESETS["some"](T, B)
    hx, back = [tuple([torch.randn(2, B, size) for size in (4, 7)] for _ in "hc") for _ in range(2)]
    output, final = net(x, hx, lengths=[6, 3, 0, 1], reset=reset, reset_to=back)
    row, last = net(x[:3, 1:2], *_rows([hx], 1), reset=reset[:3, 1:2], reset_to=_rows([back], 1)[0])
    assert_all_close([output[:3, 1:2]], [row])
    assert_all_close([s[:, 1:2] for s in tensors(final)], tensors(last))
    narrow = seeded(elman.GRU, I, H).bfloat16()
    wide = seeded(elman.GRU, I, H).bfloat16().float()
    found, right = narrow(x.bfloat16(), reset=reset)[0], wide(x.bfloat16().float(), reset=reset)[0]
    assert_close(found, right, "state")


def _rows(states: list[Any], b: int) -> list[Any]:
    return [tuple([s[:, b : b + 1] for s in parts] for parts in state) for state in states]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forward mode, when it is loaded
def test_gradients_have_gradients() -> None:
    net, reset = Recurrent(CELLS["GRU"], 2, 3, bidirectional=True).double(), RESETS["some"](4, 2)
    x, hx = torch.randn(4, 2, 2).double(), torch.randn(2, 2, 3).double()

    def run(x: Tensor, hx: Tensor) -> Any:
        return net(x, hx, lengths=[4, 3], reset=reset, reset_to=hx * 2)

    leaves = [x.requires_grad_(), hx.requires_grad_()]
    assert torch.autograd.gradcheck(run, leaves)
    with elman.set_path("auto"):
        assert torch.autograd.gradgradcheck(run, leaves, fast_mode=True)
        assert torch.autograd.gradcheck(run, leaves, check_forward_ad=True, fast_mode=True)


def test_the_operator_has_the_gradients_of_states() -> None:
    net = Recurrent(CELLS["LSTM"], I, H, bidirectional=True).double()
    x, reset = torch.randn(T, B, I).double(), RESETS["some"](T, B)
    hx, back = (states_of(net, B, x) for _ in range(2))

    def loss(x: Tensor, hx: Any, back: Any) -> Tensor:
        found = net(x, hx, lengths=[2, 0, 6, 4], reset=reset, reset_to=back)
        return loss_of(tensors(found))

    given = x, hx, back
    found = tensors(torch.func.grad(loss, argnums=(0, 1, 2))(*given))
    leaves = tensors(given)
    value = loss(x.requires_grad_(), *(tuple(s.requires_grad_() for s in v) for v in (hx, back)))
    assert_all_close(found, list(torch.autograd.grad(value, leaves)))


# Calls that say nothing


@pytest.mark.parametrize("layer", [elman.LSTM, elman.cells.MGU], ids=["LSTM", "MGU"])
def test_calls_that_say_nothing_are_plain_ones(layer: Any, monkeypatch: Any) -> None:
    net = layer(I, H) if layer is elman.LSTM else Recurrent(layer, I, H)
    x, never = torch.randn(T, B, I), RESETS["never"](T, B)
    expected = tensors(net(x))
    monkeypatch.setattr(type(net), "_run_layers", None)
    full = torch.full((B,), T)
    for marked in (
        *({"lengths": v} for v in ([T] * B, (T,) * B, full, full.int(), full.byte())),
        {"reset": never},
        {"reset": never, "reset_to": 0, "lengths": full},
    ):
        assert_same_bits(tensors(net(x, **marked)), expected)
    turned = marks.given(x.transpose(0, 1), True, full, never.T, 0.0)
    assert turned is None
    for wrong in (
        *(
            {"lengths": v}
            for v in ([T] * (B + 1), [T] * (B - 1) + [2], full.float(), [1.0 * T] * B)
        ),
        *({"reset": v} for v in (never.float(), never.T, never | True, [[False] * B] * T)),
        {"reset_to": 0},
        {"reset": never, "reset_to": expected[1:]},
    ):
        asked = dict.fromkeys(("lengths", "reset", "reset_to")) | wrong
        assert marks.given(x, False, **asked) is not None


X = torch.ones(T, B, I)
PACKED = pack_padded_sequence(X, RAGGED, enforce_sorted=False)
NEVER = RESETS["never"](T, B)


@pytest.mark.parametrize(
    ("error", "message", "x", "options"),
    [
        (ValueError, r"reset to be of torch.bool, .* torch.float32; convert it with reset.bool\(\)",
         X, {"reset": NEVER.float()}),
        (ValueError, "reset to be of torch.bool, .* got torch.uint8", X, {"reset": NEVER.byte()}),
        (RuntimeError, r"reset of shape \(6, 4\), \(T, B\) as input has it, got \(4, 6\)",
         X, {"reset": NEVER.T}),
        (RuntimeError, r"reset of shape \(6,\), \(T,\) as .* got \(6, 4\)",
         X[:, 0], {"reset": NEVER}),
        (ValueError, "reset is for padded input, got a PackedSequence: unpack it",
         PACKED, {"reset": NEVER}),
        (RuntimeError, "expected reset with values, got .* meta device",
         X, {"reset": NEVER.to("meta")}),
        (ValueError, "got no reset: give reset=", X, {"reset_to": 0}),
        (ValueError, "reset_to to be 0, or states in the form of hx, got 1",
         X, {"reset": NEVER, "reset_to": 1}),
        (AttributeError, "reset_to to be a Tensor, got str", X, {"reset": NEVER, "reset_to": "0"}),
        (RuntimeError, r"reset_to of shape \(1, 4, 5\), .* got \(1, 4, 6\)",
         X, {"reset": NEVER, "reset_to": torch.ones(1, B, H + 1)}),
        (RuntimeError, "reset_to to be 3-D as input is", X,
         {"reset": NEVER, "reset_to": torch.ones(1, H)}),
        (RuntimeError, "reset_to of the weights' dtype", X,
         {"reset": NEVER, "reset_to": torch.ones(1, B, H).double()}),
        (ValueError, "GRU: expected lengths between 0 and the 6 steps of input, got 7",
         X, {"lengths": [1, 7, 2, 1]}),
        (ValueError, "lengths to be integers, got torch.float32", X, {"lengths": torch.ones(B)}),
        (ValueError, "lengths are for padded batches, got a PackedSequence", PACKED,
         {"lengths": RAGGED}),
    ],
    ids=lambda v: v[:30] if isinstance(v, str) else "",
)  # fmt: skip
def test_wrong_calls_are_named(
    error: type[Exception], message: str, x: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        elman.GRU(I, H)(x, **options)
