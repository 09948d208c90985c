"""Reductions over the units of each head: ``elman.sum(value, heads=4)`` and so on."""

import pytest
import torch

import elman
from elman import Cell, FormulaError, tanh
from elman.batch import Weights
from elman.dispatch.layer import recur
from elman.rows import Rows
from elman.step import read
from tests.cells import CELLS
from tests.compiler.problem import RAGGED, Problem, check
from tests.compiler.targets import each_isa, exact, force
from tests.sizes import layer_sizes

pytestmark = pytest.mark.sampled(3)

SIZES = {
    "odd heads": {"H": 22},
    "whole heads": {"H": 64, "B": 9},
    "one unit each": {"H": 2},
    "one row": {"H": 34, "B": 1},
    "one row, one step": {"H": 16, "B": 1, "T": 1},
    "ragged, both directions": {"H": 10, "D": 2, "lengths": RAGGED},
    "recomputed": {"H": 6, "recompute": True, "T": 300, "B": 2},
}


@each_isa
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_all_gradients_are_the_references(row, sizes):
    with force(row):
        check(Problem("PerHead", **sizes))
        if sizes["H"] < 64:
            check(Problem("PerHead", dtype=torch.float32, **sizes))


def test_narrow_dtypes_are_the_reference_rounded_once():
    with exact():
        check(Problem("PerHead", dtype=torch.bfloat16, T=7, lengths=RAGGED))


class Ties(Cell):
    """The largest of equal units, the gradient of which they share; both states are ``amax``."""

    gates = ("a",)
    states = ("h", "m")

    def step(self, x, u, s):
        largest = elman.amax(elman.clamp(x.a + u.a, -0.1, 0.1), heads=3)
        return tanh(largest) * s.m, elman.maximum(s.m, largest)


@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_equal_units_share_the_gradient(path):
    torch.manual_seed(0)
    net = elman.Recurrent(Ties, 2, 12, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    given = tuple(torch.full((1, 2, 12), 0.5, dtype=torch.float64) for _ in range(2))
    with elman.set_path(path):
        net(x, given)[0].sum().backward()
    found = [x.grad, *(p.grad for p in net.parameters())]
    x = x.detach().requires_grad_()
    states = [s[0] for s in given]
    outputs = []
    for row in x:
        gate = torch.nn.functional.linear(row, net.weight_ih_l0, net.bias_ih_l0)
        gate = gate + torch.nn.functional.linear(states[0], net.weight_hh_l0, net.bias_hh_l0)
        parts = elman.clamp(gate, -0.1, 0.1).view(2, 3, 4)
        largest = parts.amax(-1, keepdim=True).expand(2, 3, 4).reshape(2, 12)
        states = [torch.tanh(largest) * states[1], torch.maximum(states[1], largest)]
        outputs.append(states[0])
    loss = torch.stack(outputs).sum()
    expected = torch.autograd.grad(loss, [x, *net.parameters()])
    for a, e in zip(found, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_gradients_are_those_of_finite_differences(path):
    torch.manual_seed(0)
    net = elman.Recurrent(CELLS["PerHead"], 2, 6, dtype=torch.float64)
    names = [n for n, _ in net.named_parameters()]
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def run(x, *given):
        output, final = torch.func.functional_call(net, dict(zip(names, given, strict=True)), (x,))
        return output, *final

    with elman.set_path(path):
        assert torch.autograd.gradcheck(run, (x, *net.parameters()))


def test_steps_sessions_and_programs_have_them_too(tmp_path):
    torch.manual_seed(0)
    net, x = elman.Recurrent(CELLS["PerHead"], 3, 10), torch.randn(5, 4, 3)
    expected = net(x)[0]
    stream = elman.Stream(net, batch_size=4)
    for now, wanted in zip(x, expected, strict=True):
        assert torch.equal(stream.step(now), wanted)
    for row in range(4):
        assert torch.equal(net(x[:, row : row + 1])[0], expected[:, row : row + 1])
    program = torch.export.export(net, (x,))
    torch.export.save(program, tmp_path / "program.pt2")
    assert torch.equal(torch.export.load(tmp_path / "program.pt2").module()(x)[0], expected)
    assert torch.equal(torch.compile(net, backend="eager")(x)[0], expected)
    step = CELLS["PerHead"].trace()
    assert read.__wrapped__(step.text).text == step.text
    with pytest.raises(FormulaError):
        read(step.text.replace("sum '2'", "sum '1'"))


class Cut(Cell):
    gates = ("a",)
    matrices = ("w",)
    sizes = {"w": 4}  # noqa: RUF012

    def __init__(self, heads, narrow=False):
        self.parts, self.narrow = heads, narrow

    def step(self, x, u, s):
        value = self.product("w", tanh(x.a))
        if self.narrow:
            return u.a + elman.sum(elman.amax(value, heads=self.parts))
        return u.a + elman.mean(s.h, heads=self.parts) + elman.sum(value)


def test_units_are_a_multiple_of_the_heads():
    for make in (elman.Recurrent, elman.RecurrentCell):
        with pytest.raises(ValueError, match="hidden_size to be a multiple of 3, the heads of a"):
            make(Cut(3), 2, 8)
        make(Cut(2), 2, 8)
    with pytest.raises(FormulaError, match=r"units are a multiple of heads=3, got 4 units"):
        Cut(3, narrow=True).trace()
    elman.Recurrent(Cut(4, narrow=True), 2, 9)
    step, x = Cut(3).trace(), torch.rand(2, 2, 2)
    shapes = step.shapes(layer_sizes(2, 8, 0))
    weights = [torch.rand(shapes[name]) if name in shapes else None for name in step.parameters]
    with pytest.raises(RuntimeError, match=r"expected a multiple of 3 hidden units, .* got 8"):
        recur(step, Rows(2, 2, 4), x, [None], [Weights(*weights[:4], tuple(weights[4:]))])


@pytest.mark.parametrize("heads", [0, -1, 1.0, True, "2", None])
def test_heads_are_a_whole_number(heads):
    with pytest.raises(FormulaError, match=r"mean\(\) takes heads of at least 1, got"):
        Cut(heads).trace()
