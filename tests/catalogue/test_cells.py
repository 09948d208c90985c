"""Every cell of the catalogue against its paper's equations, and numerical differences."""

import pytest
import torch

import elman
from elman.cells import CATALOGUE
from tests import cells
from tests.compiler.problem import Problem, check
from tests.tolerances import assert_close

pytestmark = pytest.mark.sampled(3)

each_cell = pytest.mark.parametrize("cell", cells.CATALOGUE)
RAGGED = [5, 4, 4, 1]
SIZES = {
    "padded": {"B": 4, "T": 4, "h0": False},
    "ragged, both directions": {"D": 2, "lengths": RAGGED},
    "one row": {"B": 1, "T": 4, "H": 17},
}


def problem(cell, **sizes):
    """A problem; a normaliser, a period and a solver's time are what they can be, positive."""
    made = Problem(cell, **sizes)
    for name, value in made.tensors.items():
        ltc = cell.startswith("ltc") and name == "input.dt"
        if name == "h0.n" or name.endswith("weight_tau") or ltc:
            made.tensors[name] = value.abs() + 0.5
    return made


def test_every_cell_of_the_catalogue_is_tested():
    tested = {type(cell) for cell in cells.CATALOGUE.values()}
    assert tested == set(CATALOGUE.values())


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@each_cell
def test_the_kernel_computes_the_papers_equations(cell, sizes):
    check(problem(cell, **sizes))


@each_cell
def test_the_reference_computes_the_papers_equations(cell):
    check(problem(cell, D=2, lengths=RAGGED), path="reference")


@each_cell
def test_numerical_differences_confirm_the_gradients(cell):
    made = problem(cell, T=2, B=1, I=1, H=3, P=2)
    names = list(made.tensors)

    def results(*tensors):
        output, final = made.call(dict(zip(names, tensors, strict=True)))
        return output, *final

    tensors = [made.tensors[name].requires_grad_() for name in names]
    with elman.set_path("reference"):
        assert torch.autograd.gradcheck(results, tensors)
        assert torch.autograd.gradgradcheck(results, tensors, fast_mode=True)


@pytest.mark.parametrize("cell", ["slstm", "slstm, exp", "minlstm"])
@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_gates_of_any_size_give_finite_numbers(cell, path):
    made = problem(cell, dtype=torch.float32, h0=False, T=6, H=12)
    made.tensors["x"] *= 1000
    with elman.set_path(path):
        found = made.run()
    for name, value in found.items():
        assert value.isfinite().all(), name
    assert_close(found["output"], made.solve()["output"], "gradient")


@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_what_is_missing_may_be_anything(path):
    torch.manual_seed(0)
    net = elman.Recurrent(elman.cells.GRUD, 3, 5)
    x, mask = torch.randn(6, 2, 3), (torch.rand(6, 2, 3) > 0.5).float()
    given = {"mask": mask, "gap": torch.rand(6, 2, 3)}
    results = []
    for missing in (torch.nan, 7.0):
        values = torch.where(mask > 0.5, x, missing).requires_grad_()
        with elman.set_path(path):
            output, _ = net(values, inputs=given)
            gradients = torch.autograd.grad(output.sum(), [values, *net.parameters()])
        results.append([output, *gradients])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
    assert results[0][1][mask > 0.5].any()
    assert not results[0][1][mask < 0.5].any()


@pytest.mark.parametrize("name", ["lstm", "gru", "peepholelstm", "coupledlstm", "mgu2", "lightgru"])
def test_activations_are_chosen_by_name_or_function(name):
    chosen = {"activation": "elu", "recurrent_activation": "hardsigmoid"}
    cell = elman.cells.by_name(name, **chosen)
    functions = {"activation": elman.elu, "recurrent_activation": elman.hardsigmoid}
    plain = elman.cells.by_name(name)
    assert cell.trace() is elman.cells.by_name(name, **functions).trace() is not plain.trace()
    assert "activation='elu'" in repr(cell)
    assert "activation" not in repr(plain)
    for option, value in chosen.items():
        setattr(plain, option, value)
    assert plain.trace() is cell.trace()
    plain.activation = "relu" if name == "lightgru" else "tanh"
    plain.recurrent_activation = "sigmoid"
    assert plain.trace() is elman.cells.by_name(name).trace()
    with pytest.raises(ValueError, match="recurrent_activation must be one of"):
        elman.cells.by_name(name, recurrent_activation="softplusplus")
