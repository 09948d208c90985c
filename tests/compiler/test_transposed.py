"""Products with transposed matrices: ``self.product(name, value, transpose=True)``."""

import pytest
import torch

import elman
from elman import Cell, FormulaError, tanh
from elman.step import read
from tests.cells import CELLS
from tests.compiler.problem import RAGGED, Problem, check
from tests.compiler.targets import each_isa, exact, force

pytestmark = pytest.mark.sampled(5)

NAMES = ("Tied", "TiedHeads")
SIZES = {
    "batch": {"H": 33},
    "whole heads": {"H": 64, "P": 32, "B": 9},
    "one row": {"H": 22, "B": 1},
    "one step": {"H": 64, "T": 1},
    "one row, one step": {"H": 32, "B": 1, "T": 1},
    "ragged, both directions": {"H": 40, "D": 2, "lengths": RAGGED},
    "recomputed": {"H": 32, "recompute": True, "T": 300, "B": 2},
}


@each_isa
@pytest.mark.parametrize("cell", NAMES)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_all_gradients_are_the_references(row, cell, sizes):
    with force(row):
        check(Problem(cell, **sizes))
        if sizes["H"] < 64:
            check(Problem(cell, dtype=torch.float32, **sizes))


@pytest.mark.parametrize("cell", NAMES)
def test_narrow_dtypes_are_the_reference_rounded_once(cell):
    with exact():
        check(Problem(cell, dtype=torch.bfloat16, T=7, lengths=RAGGED))


@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_gradients_are_those_of_finite_differences(path):
    torch.manual_seed(0)
    net = elman.Recurrent(CELLS["Tied"], 2, 4, dtype=torch.float64)
    names = [n for n, _ in net.named_parameters()]
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def run(x, *given):
        named = dict(zip(names, given, strict=True))
        output, final = torch.func.functional_call(net, named, (x,))
        return output, *final

    with elman.set_path(path):
        assert torch.autograd.gradcheck(run, (x, *net.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_steps_sessions_and_programs_have_them_too(name, tmp_path):
    torch.manual_seed(0)
    cell = CELLS[name]
    options = {"proj_size": 4} if cell.projection else {}
    net, x = elman.Recurrent(cell, 3, 8, **options), torch.randn(5, 4, 3)
    expected = net(x)[0]
    for narrow in (None, torch.bfloat16):
        stream = elman.Stream(net, batch_size=4, weight_dtype=narrow)
        for now, wanted in zip(x, expected, strict=True):
            assert (stream.step(now) - wanted).abs().max() <= (0 if narrow is None else 0.03)
    program = torch.export.export(net, (x,))
    torch.export.save(program, tmp_path / "program.pt2")
    assert torch.equal(torch.export.load(tmp_path / "program.pt2").module()(x)[0], expected)
    compiled = torch.compile(net, backend="eager")
    assert torch.equal(compiled(x)[0], expected)
    step = cell.trace()
    assert read.__wrapped__(step.text).text == step.text


def test_gradients_of_each_row():
    torch.manual_seed(0)
    net, x = (
        elman.Recurrent(CELLS["Tied"], 3, 7, dtype=torch.float64),
        torch.randn(9, 4, 3).double(),
    )
    weights = {n: p.detach() for n, p in net.named_parameters()}

    def loss(weights, row):
        return torch.func.functional_call(net, weights, (row[:, None],))[0].sin().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 1))(weights, x)
    for i in range(4):
        expected = torch.func.grad(loss)(weights, x[:, i])
        for name, value in expected.items():
            torch.testing.assert_close(found[name][i], value, rtol=1e-10, atol=1e-11)


class Only(Cell):
    """A gate and a matrix that are applied transposed only."""

    gates = ("a", "b")
    matrices = ("w",)

    def step(self, x, u, s):
        back = self.product("b", tanh(x.a), transpose=True)
        return tanh(back + self.product("w", s.h, transpose=True))


def test_what_is_applied_transposed_only_has_no_bias():
    torch.manual_seed(0)
    net = elman.Recurrent(Only, 3, 5, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    results = []
    for path in ("kernel", "reference"):
        with elman.set_path(path):
            output, _ = net(x)
            gradients = torch.autograd.grad(
                output.sum(), [*net.parameters()], allow_unused=True, materialize_grads=True
            )
        results.append([output, *gradients])
    for a, e in zip(*results, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-11, atol=1e-12)
    assert not results[0][1 + [n for n, _ in net.named_parameters()].index("bias_hh_l0")].any()


class Wrong(Cell):
    gates = ("a",)
    matrices = ("w", "up")
    sizes = {"w": 2}  # noqa: RUF012

    def __init__(self, formula):
        self.formula = formula

    def step(self, x, u, s):
        return self.formula(self, x, s)


def test_a_value_has_as_many_units_as_the_matrix_has_rows():
    with pytest.raises(FormulaError, match="takes a value of 2 units, as the matrix has rows, got"):
        Wrong(lambda cell, x, s: cell.product("w", s.h, transpose=True)).trace()


def test_a_matrix_has_one_shape():
    def formula(cell, x, s):
        up = cell.product("up", cell.product("w", s.h))
        return x.a + up + cell.product("up", s.h, transpose=True)

    with pytest.raises(FormulaError, match=r"the matrix 'up' is applied to .*declare two"):
        Wrong(formula).trace()
