"""Kernels read and write the steps that count in padded tensors: with the bits of copied steps."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman import Recurrent
from elman.dispatch.executable import EXECUTABLES, Executable
from elman.launch import kernel_cache
from elman.padded import Padded
from tests.cells import CELLS
from tests.compiler.layouts import NAN, inside, repeated, same_rows, shifted, spread, turned
from tests.nn.kinds import assert_same_bits, further, loss_of, options_of, seeded, tensors, units_of
from tests.tolerances import assert_close

pytestmark = pytest.mark.usefixtures("kernel_path")

I, T, B = 3, 11, 7  # noqa: E741
LENGTHS = [5, 11, 0, 1, 11, 8, 2]


def resets(t: int = T, b: int = B) -> Tensor:
    return torch.arange(t * b).view(t, b) % 5 == 2


MARKS: dict[str, dict[str, Any]] = {
    "lengths": {"lengths": LENGTHS},
    "resets": {"reset": resets()},
    "both": {"lengths": LENGTHS, "reset": resets()},
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3},
    {"bidirectional": True, "merge": "sum", "residual": True, "num_layers": 2},
    {"learn_initial": True, "bias": False},
    {"zoneout": 0.3, "input_dropout": 0.3, "output_dropout": 0.3, "num_layers": 2},
    {"dropout": 0.5, "num_layers": 3},
    {"dropout": 0.5, "num_layers": 2, "merge": "sum", "bidirectional": True},
]


NAMES = "LSTM", "GRU", "GRUBefore", "Projected", "Seer", "Reset", "Odd"


def played(
    net: torch.nn.Module, x: Tensor, layout: Callable[[Tensor], Tensor] = shifted, **call: Any
) -> list[Tensor]:
    """Results, and gradients of all that requires one, from gradients that lie in such a way."""
    torch.manual_seed(3)
    leaves = [x, *(call.get("inputs") or {}).values(), *net.parameters()]
    for leaf in leaves:
        leaf.requires_grad_()
    found = tensors(net(x, **call))
    arrived = [layout(torch.randn(r.shape, dtype=r.dtype)) for r in found]
    grads = torch.autograd.grad(found, leaves, arrived, allow_unused=True)
    return [*found, *(g for g in grads if g is not None)]


def check(
    monkeypatch: pytest.MonkeyPatch, net: torch.nn.Module, run: Callable[[], list[Tensor]]
) -> list[Tensor]:
    """The results in place, which are those of copies. With room for other rows the gradients of
    weights, which come last, are summed up in another order."""
    in_place = Padded.in_place
    with monkeypatch.context() as patch:
        patch.setattr(Padded, "in_place", lambda *_, **__: None)
        expected = run()
    with monkeypatch.context() as patch:
        for name in ("select", "restore"):
            patch.delattr(Padded, name)
        with_room = run()
        patch.setattr(Padded, "in_place", lambda some, **_: in_place(some))
        found = run()
    assert len(found) == len(expected) > 1
    assert_same_bits(found, expected)
    end = len(found) - len([*net.parameters()])
    assert_same_bits(with_room[:end], found[:end])
    for mine, theirs in zip(with_room[end:], found[end:], strict=True):
        assert_close(mine, theirs, "gradient")
    return with_room


@pytest.mark.parametrize(
    ("name", "marks", "options"),
    [*itertools.product(NAMES, MARKS, range(len(OPTIONS)))][::3],
)
def test_options_in_place(
    name: str, marks: str, options: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = CELLS[name]
    net = seeded(Recurrent, cell, I, units_of(cell), **OPTIONS[options], **options_of(cell))
    x, call = torch.randn(T, B, I), {**MARKS[marks], "inputs": further(cell, T, B)}
    check(monkeypatch, net, lambda: played(net, x, **call))


@pytest.mark.parametrize("units", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sizes_in_place(units: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    net = seeded(elman.LSTM, 17, units, 2, bidirectional=True, dropout=0.2).to(dtype)
    for t, b in ((1, 4), (2, 2), (40, 19)):
        lengths, reset = torch.arange(b) * (t + 1) // b + (t == 2), resets(t, b)
        x = torch.randn(t, b, 17, dtype=dtype)
        for call in ({"lengths": lengths}, {"lengths": lengths.flip(0), "reset": reset}):
            check(monkeypatch, net, lambda x=x, call=call: played(net, x, **call))


@pytest.mark.parametrize("layout", [inside, repeated, same_rows, shifted, spread, turned])
@pytest.mark.parametrize("batch_first", [False, True])
def test_layouts_in_place(
    layout: Callable[[Tensor], Tensor], batch_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = seeded(elman.GRU, I, 5, bidirectional=True, batch_first=batch_first)
    shape = (B, T, I) if batch_first else (T, B, I)
    call = {**MARKS["both"], "reset": resets().T if batch_first else resets()}
    x = layout(torch.randn(shape))
    check(monkeypatch, net, lambda: played(net, x, layout, **call))


def test_what_does_not_count_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    net = seeded(Recurrent, CELLS["Reset"], I, 5, num_layers=2, bidirectional=True)
    counts = (torch.arange(T)[:, None] < torch.tensor(LENGTHS))[:, :, None]

    def beyond(t: Tensor, value: float) -> Tensor:
        return torch.where(counts, t, torch.full_like(t, value))

    x, keep = torch.randn(T, B, I), torch.rand(T, B, 5)
    found = []
    for value in (0.0, NAN):
        inputs = {"keep": beyond(keep, value)}
        found.append(played(net, beyond(x, value), lengths=LENGTHS, inputs=inputs))
    assert_same_bits(*found)
    output, _, of_x, of_keep, *_ = found[0]
    for padded in (output, of_x, of_keep):
        assert not beyond(padded, 0.0).sub(padded).any()
    assert counts.logical_not().any()


@pytest.mark.usefixtures("threads")
def test_threads_and_slices_change_no_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        with kernel_cache.scheduled(flop_per_thread=1):
            net = seeded(elman.LSTM, I, 20, 2, bidirectional=True)
            torch.manual_seed(0)
            x = torch.randn(30, 25, I)
            call = {"lengths": torch.arange(25), "reset": resets(30, 25)}

            def run(net: Any = net, x: Tensor = x, call: Any = call) -> list[Tensor]:
                return played(net, x, **call)

            found.append(check(monkeypatch, net, run))
    assert_same_bits(*found)


def test_outputs_may_change() -> None:
    net = seeded(elman.GRU, I, 5, bidirectional=True)
    x, found = torch.randn(T, B, I), []
    for change in (lambda _: None, torch.relu_):
        leaf = x.clone().requires_grad_()
        output = net(leaf, **MARKS["both"])[0]
        loss = output.clone().square().sum()
        change(output)
        found.append(torch.autograd.grad(loss, [leaf, *net.parameters()]))
    assert_same_bits(*map(list, found))


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({"recompute": True}, MARKS["both"]),
        ({}, {"lengths": [0, 0, 4, 0, 0, 0, 0]}),
        ({}, {"lengths": [0] * B}),
    ],
    ids=["recompute", "one sequence", "none"],
)
def test_other_calls_copy(options: Any, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net = seeded(Recurrent, CELLS["LSTM"], I, 5, **options)
    x, copied = torch.randn(T, B, I), []
    select = Padded.select

    def spy(self: Padded, t: Tensor) -> Tensor:
        copied.append(t)
        return select(self, t)

    monkeypatch.setattr(Padded, "select", spy)
    found = played(net, x, **call)
    assert copied
    alone = seeded(Recurrent, CELLS["LSTM"], I, 5)
    assert_same_bits(found[:1], played(alone, x, **call)[:1])


def test_operators_work_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    net = seeded(Recurrent, CELLS["Seer"], I, 5, bidirectional=True)
    x, given = torch.randn(T, B, I), dict(net.named_parameters())
    for marks in MARKS.values():
        call = {**marks, "inputs": further(net.cell, T, B)}

        def loss(x: Tensor, weights: Any, call: Any = call) -> Tensor:
            return loss_of(tensors(torch.func.functional_call(net, weights, x, call)))

        def run(loss: Any = loss) -> list[Tensor]:
            (of_x, of_weights), value = torch.func.grad_and_value(loss, (0, 1))(x, given)
            return [value, of_x, *of_weights.values()]

        check(monkeypatch, net, run)


def test_nothing_is_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zeros count as no change of the output, which the backward pass would compute anew."""
    calls, run = [], Executable.run

    def spy(self: Executable, *given: Any) -> Any:
        calls.append(given)
        return run(self, *given)

    monkeypatch.setattr(Executable, "run", spy)
    played(seeded(elman.GRU, I, 5), torch.randn(T, B, I), lengths=LENGTHS)
    assert len(calls) == 1


def test_calls_of_other_marks_share_what_is_prepared() -> None:
    net, x = seeded(elman.GRU, I, 5), torch.randn(40, B, I)
    found = []
    for longest in (20, 25, 30):
        net(x, lengths=[40, longest, *LENGTHS[2:]])
        found.append(len(EXECUTABLES))
    assert found[0] == found[1] == found[2]
    for _ in range(30):
        net(x, reset=torch.rand(40, B) < 0.1)
    assert len(EXECUTABLES) - found[0] < 15
