"""What ``return_states`` and a formula's ``outputs`` cannot be."""

from typing import Any

import pytest
import torch

import elman
from elman import FormulaError, Recurrent
from tests.nn.kinds import B, H, I, T


@pytest.mark.parametrize(
    ("outputs", "returned", "message"),
    [
        ("gate", 2, "outputs must be a tuple of names, got 'gate'"),
        (("h",), 2, "'h' is declared twice: give one of them another name"),
        (("a", "a"), 3, "'a' is declared twice: give one of them another name"),
        (
            ("a", "b"),
            2,
            r"step must return one value for each of the states \('h',\) and of the outputs "
            r"\('a', 'b'\), got \(",
        ),
        (("a",), 1, r"one value for each of the states \('h',\) and of the outputs \('a',\), got"),
    ],
)
def test_outputs_that_are_none(outputs: Any, returned: int, message: str) -> None:
    def step(self: Any, x: Any, u: Any, s: Any) -> Any:
        h = elman.tanh(x.a + u.a)
        return (h, h + 1, h + 2)[:returned] if returned > 1 else h

    with pytest.raises(FormulaError, match=message):
        type("Mine", (elman.Cell,), {"gates": ("a",), "outputs": outputs, "step": step})().trace()


def test_a_comparison_is_no_output() -> None:
    class Mine(elman.Cell):
        gates = ("a",)
        outputs = ("on",)

        def step(self, x: Any, u: Any, s: Any) -> Any:
            h = elman.tanh(x.a + u.a)
            return h, h > 0

    with pytest.raises(FormulaError, match=r"and of the outputs \('on',\), got .*gt"):
        Mine().trace()


@pytest.mark.parametrize("given", [1, 0, "h"])
def test_it_is_true_or_false(given: Any) -> None:
    for net in (elman.GRU(I, H), Recurrent(elman.cells.GRU, I, H)):
        with pytest.raises(TypeError, match=f"return_states must be True or False, got {given!r}"):
            net(torch.randn(T, B, I), return_states=given)
