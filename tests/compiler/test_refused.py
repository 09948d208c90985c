"""What a formula cannot say ends in an error that names the line and the remedy."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import elman
from elman import Cell, FormulaError, tanh
from elman.pages import page

MATRIX = torch.eye(3)


def assigned(x: Any) -> Any:
    x.a[0] = 1
    return x.a


#: What a step returns, and a word of the message.
REFUSED: dict[str, tuple[Callable[[Any, Any, Any, Any], Any], str]] = {
    "subscript": (lambda self, x, u, s: x.a[0], "has no elements"),
    "assignment": (lambda self, x, u, s: assigned(x), "has no elements"),
    "loop": (lambda self, x, u, s: sum(v for v in x.a), "elman.mean"),
    "length": (lambda self, x, u, s: len(x.a) * x.a, "has no elements"),
    "group's subscript": (lambda self, x, u, s: x["a"], "x.gate"),
    "group": (lambda self, x, u, s: tanh(x + u), "x.gate"),
    "group and number": (lambda self, x, u, s: 2 * x, "x.gate"),
    "gate": (lambda self, x, u, s: x.b, "no gate 'b'"),
    "state": (lambda self, x, u, s: s.c, "no state 'c'"),
    "torch": (lambda self, x, u, s: torch.tanh(x.a), "use elman.tanh"),
    "torch, unknown": (lambda self, x, u, s: torch.cumsum(x.a, -1), "no function 'cumsum'"),
    "method": (lambda self, x, u, s: x.a.sigmoid(), "use elman.sigmoid"),
    "attribute": (lambda self, x, u, s: x.a.shape[0] * x.a, "no attribute 'shape'"),
    "NumPy": (lambda self, x, u, s: np.tanh(x.a), "use elman.tanh"),
    "array": (lambda self, x, u, s: np.ones(3) * x.a, "`vectors`"),
    "tensor": (lambda self, x, u, s: torch.ones(3) * x.a, "`vectors`"),
    "math": (lambda self, x, u, s: math.tanh(x.a), "elman.tanh"),
    "matrix": (lambda self, x, u, s: MATRIX @ x.a, "self.product"),
    "matrix on the right": (lambda self, x, u, s: x.a @ MATRIX, "self.product"),
    "if": (lambda self, x, u, s: x.a if x.a > 0 else u.a, "elman.where"),
    "and": (lambda self, x, u, s: elman.where((x.a > 0) & (u.a > 0), x.a, u.a), "nest elman.where"),
    "not": (lambda self, x, u, s: elman.where(~(x.a > 0), x.a, u.a), "nest elman.where"),
    "equality": (lambda self, x, u, s: elman.where(x.a == 0, x.a, u.a), "elman.eq"),
    "remainder": (lambda self, x, u, s: x.a % 2, "elman.floor"),
    "quotient": (lambda self, x, u, s: x.a // 2, "elman.floor"),
    "power": (lambda self, x, u, s: 2**x.a, "elman.exp"),
    "call": (lambda self, x, u, s: x.a(u.a), "not callable"),
    "number": (lambda self, x, u, s: x.a * self.alpha, "no attribute 'alpha'"),
    "name": (lambda self, x, u, s: x.a + undefined, "'undefined' is not defined"),  # noqa: F821
    "few arguments": (
        lambda self, x, u, s: elman.maximum(x.a),
        "missing 1 required positional argument: 'b'",
    ),
    "many arguments": (
        lambda self, x, u, s: elman.tanh(x.a, u.a),
        "takes 1 positional argument but 2 were given",
    ),
    "nothing": (lambda self, x, u, s: None, "one value for each of the states"),
    "a list": (lambda self, x, u, s: [x.a], "one value for each of the states"),
}


def traced(step: Any) -> None:
    type("Mine", (Cell,), {"gates": ("a",), "step": step})().trace()


@pytest.mark.parametrize("case", REFUSED)
def test_the_error_names_the_line_and_the_remedy(case):
    step, word = REFUSED[case]
    with pytest.raises(FormulaError) as caught:
        traced(step)
    line = step.__code__.co_firstlineno
    assert word in str(caught.value)
    assert str(caught.value).endswith(
        f"(Mine.step, test_refused.py, line {line}); see {page('cells')}"
    )


@pytest.mark.parametrize(
    ("step", "got"),
    [
        (lambda self, x, u: x.a, "(x, u)"),
        (lambda self, x, u, s, t: x.a, "(x, u, s, t)"),
        (lambda self: 0, "()"),
        (3, "got 3"),
    ],
)
def test_a_step_takes_the_three_groups(step, got):
    with pytest.raises(FormulaError, match=r"step\(self, x, u, s\)") as caught:
        traced(step)
    assert got in str(caught.value)


def test_the_cause_of_a_mistake_is_kept():
    with pytest.raises(FormulaError) as caught:
        traced(lambda self, x, u, s: x.a * self.alpha)
    assert isinstance(caught.value.__cause__, AttributeError)


def test_a_layer_inside_a_cell_is_refused():
    class WithLinear(Cell):
        gates = ("a",)

        def __init__(self):
            self.linear = torch.nn.Linear(3, 3)

        def step(self, x, u, s):
            return self.linear(x.a)

    with pytest.raises(FormulaError, match="'linear' is a Linear: learned tensors are declared in"):
        WithLinear().trace()


@pytest.mark.parametrize("number", [np.float64(2), np.float32(2), np.int64(2)])
def test_numbers_of_numpy_are_plain_ones(number):
    def of(two: Any) -> Any:
        def step(self: Any, x: Any, u: Any, s: Any) -> Any:
            return elman.where(two < x.a, two * x.a - two, (two / u.a + two) * two)

        return type("Mine", (Cell,), {"gates": ("a",), "step": step})().trace()

    assert of(number) is of(2.0)


def test_values_can_be_compared_for_equality():
    class Equal(Cell):
        gates = ("a",)

        def step(self, x, u, s):
            return elman.where(elman.eq(x.a, 0.0), u.a, elman.where(elman.ne(s.h, 0.0), x.a, 1.0))

    net = elman.Recurrent(Equal, 2, 3)
    x = torch.zeros(4, 2, 2)
    with elman.set_path("reference"):
        expected = net(x)[0]
    torch.testing.assert_close(net(x)[0], expected)


def test_protocols_are_looked_for_in_vain():
    def step(self: Any, x: Any, u: Any, s: Any) -> Any:
        assert not hasattr(x.a, "__array_interface__")
        assert not hasattr(x.a, "shape")
        return x.a

    traced(step)
