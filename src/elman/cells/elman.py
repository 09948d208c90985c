"""The simple recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..cell import Cell
from ..functions import relu, tanh


class Elman(Cell):
    """``h_t = activation(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``, as in ``torch.nn.RNN``.

    Args:
        nonlinearity: ``"tanh"`` or ``"relu"``.

    Source: J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).

    >>> Elman("relu").trace().new
    (relu(add(x.h, add(product.h(state.h), bias.h))),)
    """

    gates = ("h",)
    states = ("h",)
    _activations: dict[str, Callable[..., Any]] = {"tanh": tanh, "relu": relu}  # noqa: RUF012

    def __init__(self, nonlinearity: str = "tanh") -> None:
        if nonlinearity not in self._activations:
            raise ValueError(
                f"nonlinearity must be one of {tuple(self._activations)}, got {nonlinearity!r}"
            )
        self.nonlinearity = nonlinearity

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return self._activations[self.nonlinearity](x.h + u.h)
