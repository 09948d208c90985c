"""How tensors lie in memory changes nothing: results have the bits of contiguous ones."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

import elman
from tests.cells import STEPS
from tests.compiler.layouts import inside, repeated, same_rows, shifted, spread, turned
from tests.compiler.problem import Problem

LAYOUTS = (spread, shifted, inside, turned, repeated, same_rows)
GROUPS = {
    "x": lambda n: n == "x",
    "states": lambda n: n.startswith("h0"),
    "weights": lambda n: "weight" in n,
    "biases": lambda n: "bias" in n,
    "inputs": lambda n: n.startswith("input"),
    "gradients": lambda n: n.startswith("g_"),
    "all": lambda n: True,
}


@pytest.fixture(autouse=True)
def _kernel_path() -> Iterator[None]:
    with elman.set_path("kernel"):
        yield


def results(problem: Problem, tensors: dict[str, Tensor]) -> list[Tensor]:
    """Results and gradients; gradients of the results are handed over as they are."""
    step = STEPS[problem.cell]
    leaves = {n: t.detach().requires_grad_() for n, t in tensors.items() if n in problem.tensors}
    output, final = problem.call(leaves)
    given = [tensors["g_output"], *(tensors[f"g_{name}"] for name in step.states)]
    found = torch.autograd.grad(
        [output, *final], list(leaves.values()), given, allow_unused=True, materialize_grads=True
    )
    return [output, *final, *found]


def tensors_of(problem: Problem) -> dict[str, Tensor]:
    found = {n: problem.arrange(n, t) for n, t in problem.tensors.items()}
    found["g_output"] = problem.pack(problem.g_output)
    states = STEPS[problem.cell].states
    return found | {f"g_{n}": g for n, g in zip(states, problem.g_final, strict=True)}


def check(problem: Problem, layout: Callable[[Tensor], Tensor], group: str) -> bool:
    """Whether some tensor was not contiguous, or not where one of torch's own would be."""
    chosen = GROUPS[group]
    arranged = {n: layout(t) if chosen(n) else t for n, t in tensors_of(problem).items()}
    plain = {n: t.contiguous().clone() for n, t in arranged.items()}
    for one, other in zip(results(problem, arranged), results(problem, plain), strict=True):
        assert torch.equal(one, other)
        assert not one.isnan().any()
    return any(not t.is_contiguous() or t.data_ptr() % 64 for t in arranged.values())


each_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
SIZES = ({"B": 1, "H": 17}, {"B": 5, "H": 9, "I": 10}, {"lengths": [4, 2, 2, 1]})


@each_layout
@pytest.mark.parametrize("group", ["x", "states", "weights", "biases", "gradients", "all"])
def test_any_layout_of_an_lstm_gives_the_bits_of_a_contiguous_one(layout, group):
    unusual = [check(Problem("LSTM", D=D, **s), layout, group) for s in SIZES for D in (1, 2)]
    assert any(unusual) or (group == "biases" and layout is turned)


@each_layout
@pytest.mark.parametrize("group", ["inputs", "all"])
def test_any_layout_of_a_cell_with_inputs_gives_the_bits_of_a_contiguous_one(layout, group):
    unusual = [check(Problem("Seer", D=2, **s), layout, group) for s in SIZES]
    assert any(unusual)


@each_layout
def test_any_layout_of_a_cell_with_stages_gives_the_bits_of_a_contiguous_one(layout):
    unusual = [check(Problem("GRUBefore", D=2, **s), layout, "all") for s in SIZES]
    assert any(unusual)
