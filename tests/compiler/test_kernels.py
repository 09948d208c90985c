"""Kernels against the float64 reference: outputs, final states and every gradient."""

import pytest
import torch

import elman
from elman.compiler.schedule import DEFAULT
from elman.expr import PRIMITIVES, walk
from tests.cells import EVERY_STEP, STEPS
from tests.compiler.problem import RAGGED, Problem, check
from tests.compiler.targets import each_isa, exact, force
from tests.reference.recurrences import FORMULAS
from tests.tolerances import assert_close

pytestmark = pytest.mark.sampled(5)

MAIN = ("tanh", "relu", "LSTM", "GRU", "GRUBefore", "Odd")
each_cell = pytest.mark.parametrize("cell", STEPS)
main_cells = pytest.mark.parametrize("cell", MAIN)


def test_every_cell_has_a_reference():
    assert set(STEPS) == set(FORMULAS)


def test_every_primitive_is_in_some_cell():
    used = {node.op for step in EVERY_STEP.values() for node in walk(step.new)}
    # Kernels of float32 and a reference of float64 need not round alike: it has tests of its own.
    assert set(PRIMITIVES) - used == {"round_to_bfloat16"}


@each_cell
def test_a_batch_agrees_with_the_reference(cell):
    check(Problem(cell))


@each_cell
def test_one_row_agrees_with_the_reference(cell):
    check(Problem(cell, B=1, T=4, H=17))


@each_cell
def test_ragged_rows_in_both_directions_agree_with_the_reference(cell):
    check(Problem(cell, D=2, lengths=RAGGED))


@main_cells
@pytest.mark.parametrize("sizes", [{"B": 9, "T": 6, "H": 33, "I": 9}, {"B": 1, "T": 6, "H": 12}])
def test_float32_agrees_with_the_reference(cell, sizes):
    check(Problem(cell, dtype=torch.float32, D=2, **sizes))


@main_cells
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_narrow_dtypes_are_the_float64_reference_rounded_once(cell, dtype, path):
    for sizes in ({"lengths": RAGGED, "T": 7}, {"B": 9, "T": 40, "H": 33}, {"B": 1, "H": 12}):
        with exact():
            check(Problem(cell, dtype=dtype, D=2, **sizes), path=path)


@pytest.mark.parametrize("lengths", [[1], [4], [1, 1], [3, 1], [2, 2, 2], [9, 9, 1, 1, 1, 1, 1, 1]])
@pytest.mark.parametrize("cell", ["tanh", "LSTM"])
def test_any_lengths_agree_with_the_reference(cell, lengths):
    check(Problem(cell, D=2, lengths=lengths))


@pytest.mark.parametrize("inputs", [1, 3, 4, 5, 8, 9, 130])
@pytest.mark.parametrize("B", [1, 8], ids=["one row", "batch"])
def test_any_number_of_inputs_agrees_with_the_reference(inputs, B):
    check(Problem("tanh", I=inputs, B=B))


@pytest.mark.parametrize("B", [1, 2, 3, 4, 5, 6, 7, 12, 13, 101])
def test_any_batch_agrees_with_the_reference(B):
    check(Problem("tanh", B=B, T=3))


@main_cells
@pytest.mark.parametrize(
    "options", [{"B": 30}, {"lengths": [40, 40, 40, 38, 37, 31, 30, 21, 9, 8, 8, 2, 1]}], ids=str
)
def test_parts_of_a_batch_agree_with_the_reference(cell, options):
    problem = Problem(cell, D=2, H=9, **{"T": 40, **options})
    assert DEFAULT.order(problem.rows, problem.H).parts > 1
    check(problem)


@pytest.mark.parametrize("H", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 65, 130])
@pytest.mark.parametrize("B", [1, 8], ids=["one row", "batch"])
def test_any_number_of_units_agrees_with_the_reference(H, B):
    check(Problem("tanh", H=H, B=B))
    check(Problem("tanh", H=H, B=B, dtype=torch.float32))


@pytest.mark.parametrize("T", [1, 2, 64, 257])
def test_any_number_of_steps_agrees_with_the_reference(T):
    check(Problem("GRU", T=T, B=3))


@pytest.mark.parametrize("cell", ["tanh", "GRUBefore", "Partial", "Seer"])
def test_without_biases_and_initial_states_it_agrees_with_the_reference(cell):
    check(Problem(cell, D=2, lengths=RAGGED, bias=False, h0=False))
    check(Problem(cell, B=1, H=17, bias=False, h0=False))


@pytest.mark.parametrize("use", [("output",), ("final",)], ids=lambda use: f"only {use[0]}")
@pytest.mark.parametrize("cell", ["tanh", "LSTM", "GRUBefore"])
def test_a_loss_of_one_result_agrees_with_the_reference(cell, use):
    check(Problem(cell, D=2), use=use)
    check(Problem(cell, D=2, lengths=RAGGED), use=use)


SUBSETS = [
    *({name} for name in Problem("LSTM", D=2).tensors),
    {"x", "0.weight_hh"},
    {"h0.h", "h0.c"},
    {"0.weight_ih", "1.bias_hh"},
    {"x", "h0.c", "1.weight_ih", "0.bias_ih"},
]


@pytest.mark.parametrize("wanted", SUBSETS, ids=lambda names: " ".join(sorted(names)))
def test_any_subset_of_gradients_agrees_with_the_reference(wanted):
    problem = Problem("LSTM", D=2)
    check(problem, wanted)
    with elman.set_path("kernel"):
        found = problem.run(wanted)
    assert {name for name in found if "gradient" in name} == {f"gradient of {n}" for n in wanted}


@each_isa
@pytest.mark.parametrize("cell", ["tanh", "LSTM", "Odd", "Functions"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_isa_agrees_with_the_reference(row, cell, dtype):
    with force(row):
        check(Problem(cell, dtype=dtype, D=2, lengths=RAGGED, H=19))
        check(Problem(cell, dtype=dtype, B=1, H=37))


@each_isa
@pytest.mark.parametrize("H", [1, 16, 17, 33, 70, 130])
@pytest.mark.parametrize("B", [1, 14], ids=["one row", "batch"])
def test_every_isa_agrees_with_the_reference_for_any_number_of_units(row, H, B):
    with force(row):
        check(Problem("tanh", dtype=torch.float32, B=B, H=H, I=18))


@main_cells
def test_inference_gives_what_training_gives(cell):
    """The two are different code. Bits, as neither may depend on whether a gradient is asked."""
    for sizes in ({"B": 7}, {"B": 1, "H": 17}):
        problem = Problem(cell, D=2, **sizes)
        with elman.set_path("kernel"):
            training = problem.run()
            with torch.no_grad():
                inference = problem.run()
        assert set(inference) == {name for name in training if "gradient" not in name}
        for name, value in inference.items():
            assert torch.equal(value, training[name])


@main_cells
def test_elmans_own_reference_agrees_with_the_tests_reference(cell):
    problem = Problem(cell, D=2, lengths=RAGGED)
    with elman.set_path("reference"):
        found = problem.run()
    expected = problem.solve()
    for name, value in found.items():
        kind = "gradient" if name.startswith("gradient") else "state"
        assert_close(value, expected[name], kind, name)


def test_the_check_can_fail():
    """A meta-test: a weight that is off by one part in a million is noticed, in every result."""
    problem = Problem("LSTM", H=3)
    found = problem.run()
    problem.tensors["0.weight_hh"][5, 1] += 1e-6
    expected = problem.solve()
    for name in found:
        with pytest.raises(AssertionError, match="error"):
            assert_close(found[name], expected[name], "gradient", name)
