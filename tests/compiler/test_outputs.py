"""A step may give out any of its states, and other values: the kernels against the reference."""

from typing import Any

import pytest
import torch
from torch import Tensor

from elman import reference
from elman.batch import Weights
from elman.compiler import isa
from elman.errors import FormulaError
from elman.expr import Node, walk
from elman.launch.calls import NativeCall
from elman.launch.kernel_cache import kernel_for
from elman.rows import Rows
from elman.step import Step, _steps, read
from tests.cells import EVERY_STEP
from tests.sizes import layer_sizes

T, B, I, H, P = 6, 3, 2, 9, 5  # noqa: E741
ROWS = [Rows(T, B, T * B), Rows(T, 1, T), Rows(T, B, T * B, reverse=True)]


def giving(name: str, *names: str) -> Step:
    """A cell's step that gives out these: states, or the first value of a primitive's name."""
    step = EVERY_STEP[name]
    values: dict[str, Node] = dict(zip(step.states, step.new, strict=True))
    for node in walk(step.new):
        values.setdefault(node.op, node)
    parts = step.x_gates, step.u_gates, step.states, step.inputs, step.matrices, step.vectors
    return Step.of(*parts, step.projection, step.new, outputs={n: values[n] for n in names})


STEPS = {
    "all states": giving("LSTM", "h", "c"),
    "no first state": giving("LSTM", "c"),
    "a gate": giving("GRU", "sigmoid", "h"),
    "only a gate": giving("GRU", "tanh"),
    "a product": giving("GRU", "product"),
    "two spaces": giving("Narrow", "c", "h"),
    "before the projection": giving("Narrow", "tanh", "h"),
}


def solved(step: Step, rows: Rows, leaves: list[Tensor], arrived: list[Tensor]) -> list[Tensor]:
    """Results and gradients by the reference."""
    S = len(step.states)
    weights = Weights.of(parameters(step, leaves[1 + S :]))
    outputs, finals = reference.run(
        step, rows, leaves[0], weights, [h[0] for h in leaves[1 : 1 + S]]
    )
    results = [outputs[0], *(h[None] for h in finals), *outputs[1:]]
    found = torch.autograd.grad(results, leaves, arrived, allow_unused=True, materialize_grads=True)
    return [*(r.detach() for r in results), *found]


def parameters(step: Step, held: list[Any]) -> list[Any]:
    """Those that there are in the order of all."""
    left = iter(held)
    has = step.shapes(layer_sizes(I, H, P))
    return [next(left) if name in has else None for name in step.parameters]


@pytest.mark.parametrize(
    "rows", [Rows(T, B, T * B), Rows(T, 1, T), Rows(T, B, T * B, reverse=True)]
)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_all_outputs_and_their_gradients(step: Step, rows: Rows) -> None:
    size, S = layer_sizes(I, H, P), len(step.states)
    random = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random, dtype=torch.float64) * 2 - 1

    leaves = [
        uniform(T, rows.B, I),
        *(uniform(1, rows.B, size[step.space(s)]) for s in step.states),
    ]
    leaves += [uniform(*shape) for shape in step.shapes(size).values()]
    first, *others = [(T, rows.B, size[step.space(name)]) for name in step.outputs]
    finals = [h.shape for h in leaves[1 : 1 + S]]
    arrived = [uniform(*shape) for shape in [first, *finals, *others]]
    expected = solved(step, rows, [t.requires_grad_() for t in leaves], arrived)

    tensors = [t.detach() for t in leaves[: 1 + S]]
    tensors += parameters(step, [t.detach() for t in leaves[1 + S :]])
    kernel = kernel_for(step, torch.float64, isa.available()[0], H, single=rows.B == 1)
    results = [torch.full_like(t, torch.nan) for t in arrived]
    kept = [torch.full((kernel.saved_size(rows, H),), torch.nan, dtype=torch.float64)]
    run = kernel.forward(rows, size, tensors, results, kept, True, 1)
    every = [*tensors, *results, *kept, None, None]
    NativeCall([(run, range(len(every)))]).run(every)

    goals = [None if t is None else torch.full_like(t, torch.nan) for t in tensors]
    read = kernel.plan.read_outputs
    before = [results[step.place(name)] for name in read]
    before += [tensors[1 + step.states.index(name)] for name in read]
    back = kernel.backward(rows, size, tensors, arrived, goals, before, kept, 1)
    every = [*tensors, *arrived, *goals, *before, None, *kept, None, None]
    NativeCall([(back, range(len(every)))]).run(every)

    found = [*results, *(goal for goal in goals if goal is not None)]
    assert len(found) == len(expected)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_what_is_given_out_is_not_kept_a_second_time() -> None:
    plans = [
        kernel_for(s, torch.float64, isa.available()[0], H, single=False).plan
        for s in (EVERY_STEP["LSTM"], STEPS["all states"], STEPS["no first state"])
    ]
    assert [p.saved_states for p in plans] == [("c",), (), ("h",)]
    assert [p.read_outputs for p in plans] == [("h",), ("h", "c"), ("c",)]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_the_text_of_a_step_says_what_it_gives_out(step: Step) -> None:
    found = read.__wrapped__(step.text)
    assert found is step
    assert [*found.outputs] == [*step.outputs]
    _steps.pop(step.text)
    again = read.__wrapped__(step.text)
    assert again is not step
    assert again.outputs == step.outputs
    _steps[step.text] = step


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("'h'", "1", "what it gives out has no name"),
        ("'h'", "'no name'", "what it gives out has no name"),
        ("{'h': 30, 'c': 28}", "{'h': 28, 'c': 28}", "the output 'h' is a comparison, or not the"),
        ("{'h': 30, 'c': 28}", "{}", "what it gives out has no name"),
        ("{'h': 30, 'c': 28}", "{'h': 30}", "it is not written as elman does"),
        ("{'h': 30, 'c': 28}", "[30, 28]", "what it gives out has no name"),
    ],
)
def test_texts_that_give_out_something_else(old: str, new: str, why: str) -> None:
    *lines, last = STEPS["all states"].text.split("\n")
    assert old in last
    with pytest.raises(FormulaError, match=why):
        read("\n".join([*lines, last.replace(old, new)]))
