"""The functions of a formula: values and derivatives are PyTorch's, kinks and infinities too."""

from collections.abc import Callable

import pytest
import torch

import elman
from elman import Cell, FormulaError
from elman.compiler.gradient import differentiate
from elman.expr import Node, constant, node
from elman.reference import evaluate
from tests.reference.functions import CALLS, LEAST, call

each_function = pytest.mark.parametrize("name", CALLS)
INF = float("inf")
#: Every kink of the table's functions, and numbers where something saturates or overflows.
EDGES = [0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0, 3.0, 20.0, 20.1, 88.0, 400.0, 800.0, 1e4, 1e30, INF]
#: PyTorch takes a sixth and a third in float32.
LOOSE = {"hardsigmoid": 1e-7, "hardswish": 1e-7}


def ours(name: str, a: object) -> object:
    function, options = CALLS[name]
    return getattr(elman, function)(a, **options)


def arguments(name: str) -> torch.Tensor:
    edges = torch.tensor(EDGES, dtype=torch.float64)
    usual = torch.linspace(-5, 5, 64, dtype=torch.float64)
    x = torch.cat([edges, -edges, usual])
    return x[x >= LEAST.get(name, 0.0 if name == "sqrt" else -INF)]


def derived(function: Callable, *x: torch.Tensor) -> list[torch.Tensor]:
    """Value and derivatives by the rules of the table."""

    class Alone(Cell):
        gates = ("a", "b")[: len(x)]

        def step(self, x, u, s):
            return function(*(getattr(x, gate) for gate in self.gates))

    step = Alone().trace()
    given = dict(zip(Alone.gates, x, strict=True))
    arriving = {"gout": torch.ones_like(x[0]), "carry": torch.zeros_like(x[0])}
    gradients = differentiate(step).x
    roots = [step.new[0], *(gradients[gate] for gate in Alone.gates)]
    return evaluate(
        roots, lambda leaf, _: given[leaf.attr] if leaf.op == "x" else arriving[leaf.op], x[0]
    )


def differentiated(function: Callable, *x: torch.Tensor) -> list[torch.Tensor]:
    """Value and derivatives by PyTorch's autograd."""
    leaves = [a.clone().requires_grad_() for a in x]
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad(value.sum(), leaves)]


@each_function
def test_values_and_derivatives_are_those_of_torch(name):
    x = arguments(name)
    expected = differentiated(lambda a: call(name, a), x)
    for way in (derived, differentiated):
        found = way(lambda a: ours(name, a), x)
        for actual, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(
                actual, wanted, rtol=LOOSE.get(name, 1e-13), atol=1e-15, equal_nan=True
            )


@each_function
def test_nan_passes(name):
    nan = torch.full((9,), float("nan"))
    assert torch.isnan(ours(name, nan)).all()


def test_no_gradient_passes_through_floor():
    x = torch.linspace(-3, 3, 25, dtype=torch.float64)
    found = derived(lambda a: a * elman.floor(a), x)
    expected = differentiated(lambda a: a * torch.floor(a), x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_rounding_to_bfloat16_is_that_of_torch_in_values_and_gradients():
    x = torch.randn(99, dtype=torch.float64)
    found = derived(lambda a: a * elman.round_to_bfloat16(a * a), x)
    expected = differentiated(lambda a: a * (a * a).bfloat16().double(), x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_the_larger_and_the_smaller_share_their_gradient_as_in_torch(name):
    points = torch.tensor([-INF, -1.0, 0.0, 2.0, INF, float("nan")], dtype=torch.float64)
    pairs = [a.flatten() for a in torch.meshgrid(points, points, indexing="ij")]
    found = derived(getattr(elman, name), *pairs)
    expected = differentiated(getattr(torch, name), *pairs)
    for actual, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("exponent", [1, 2, 3, 4, 7, 12])
def test_a_power_is_a_product(exponent):
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    (found,) = evaluate([node("x", attr="a") ** exponent], lambda leaf, _: x, x)
    torch.testing.assert_close(found, x**exponent)


@pytest.mark.parametrize("exponent", [0, -1, 0.5, 2.0, True, constant(2.0)])
def test_other_powers_are_refused(exponent):
    with pytest.raises(FormulaError, match="int of at least 1"):
        node("x", attr="a") ** exponent


def test_abs_of_python_is_that_of_the_formula():
    a = node("x", attr="a")
    assert abs(a) is elman.abs(a)


def test_bounds_may_be_values_too():
    a, low = node("x", attr="a"), node("x", attr="low")
    given = {"a": torch.tensor([0.0, 2.0, 9.0]), "low": torch.tensor([1.0, float("nan"), 1.0])}
    clamped = elman.clamp(a, low, 5.0)
    assert isinstance(clamped, Node)
    (found,) = evaluate([clamped], lambda leaf, _: given[leaf.attr], given["a"])
    expected = torch.clamp(given["a"], given["low"], torch.full((3,), 5.0))
    torch.testing.assert_close(found, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (elman.clamp, RuntimeError, "got neither"),
        (lambda a: elman.gelu(a, approximate="erf"), RuntimeError, "approximate must be 'none'"),
        (lambda a: elman.hardtanh(a, 2.0, 1.0), ValueError, "min_val must be at most max_val"),
        (lambda a: elman.log(a > 0), FormulaError, "not a comparison"),
    ],
)
def test_wrong_arguments_raise_as_in_torch(wrong, error, text):
    with pytest.raises(error, match=text):
        wrong(node("x", attr="a"))
