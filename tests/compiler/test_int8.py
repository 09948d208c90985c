"""Products with int8 weights, in every cell: near the reference with rounded matrices."""

import pytest
import torch

from elman.compiler import backward, isa
from elman.compiler.narrow import NARROW
from elman.compiler.plan import plan_of
from elman.compiler.target import target_of
from elman.dispatch.bind import bind
from tests.cells import EVERY_STEP
from tests.compiler.problem import RAGGED, Problem
from tests.compiler.targets import each_isa, force
from tests.streaming.narrow import to_int8
from tests.tolerances import assert_close

pytestmark = pytest.mark.sampled(5)

SIZES = {
    "several rows": {"T": 4, "B": 3, "H": 21, "I": 5},
    "one row": {"T": 4, "B": 1, "H": 21, "I": 5},
    "one wide row": {"T": 2, "B": 1, "H": 137, "P": 70},
    "one step": {"T": 1, "B": 2, "H": 64, "I": 19, "P": 32},
    "ragged": {"lengths": RAGGED, "H": 48, "h0": False, "bias": False},
}


def check(cell, operation="state", **sizes):
    """The results of a kernel of float32 with such panels."""
    problem = Problem(cell, dtype=torch.float32, **sizes)
    for name, tensor in problem.tensors.items():
        if name.startswith("0.") and tensor.dim() == 2:
            problem.tensors[name] = to_int8(tensor).float()
    step, given = problem.step, problem.tensors
    tensors = [problem.arrange("x", given["x"])]
    tensors += [given.get(f"h0.{name}") for name in step.states]
    tensors += [problem.arrange("input", given[f"input.{name}"]) for name in step.inputs]
    tensors += [given.get(f"0.{name}") for name in step.parameters]
    executable = bind(step, problem.rows, tensors, narrow="int8")
    assert executable.kernel.spec.target.panel.kind == "i8"
    (output, *final), _ = executable.run(problem.rows, tensors, False)
    expected = problem.solve()
    assert_close(output, expected["output"], operation, cell)
    for name, value in zip(step.states, final, strict=True):
        assert_close(value, expected[f"final.{name}"], operation, f"{cell}, {name}")


#: Those of which each matrix has a scale for each row of what it is applied as.
UNTURNED = [cell for cell in EVERY_STEP if not plan_of(Problem(cell).step).tied]


@pytest.mark.parametrize("cell", UNTURNED)
def test_every_cell(cell):
    for sizes in ("several rows", "one row"):
        # Not every cell takes any state, or is as exact as those of products alone.
        check(cell, "same", **SIZES[sizes], h0=False)


CELLS = "LSTM", "GRU", "Odd", "Projected", "Sized", "Headed", "HeadedProjected"


@each_isa
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_every_instruction_set(row, cell, sizes):
    with force(row):
        check(cell, **sizes)


def test_there_is_no_backward_pass():
    """It would have to multiply what is no panel."""
    problem = Problem("GRU", dtype=torch.float32)
    plan = plan_of(problem.step)
    target = target_of(plan, "float", NARROW["int8"], isa.TABLE[0], problem.H, False)
    with pytest.raises(AssertionError):
        backward.emit(plan, target)
