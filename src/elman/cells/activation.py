"""The activation of a cell that leaves the choice: a name, or any function of symbolic values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import functions

#: Functions of one value by their names, as a cell's ``nonlinearity`` may name them.
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    name: getattr(functions, name)
    for name in (
        *("tanh", "relu", "sigmoid", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh"),
        *("leaky_relu", "silu", "sin", "softplus", "softsign"),
    )
} | {"identity": lambda a: a}

Activation = str | Callable[[Any], Any]


def check(nonlinearity: Activation) -> Activation:
    """What was given, if it is an activation."""
    if callable(nonlinearity) or nonlinearity in ACTIVATIONS:
        return nonlinearity
    raise ValueError(
        f"nonlinearity must be one of {tuple(ACTIVATIONS)} or a function of one symbolic value, "
        f"got {nonlinearity!r}"
    )


def activate(nonlinearity: Activation, value: Any) -> Any:
    """The activation of a value."""
    return (nonlinearity if callable(nonlinearity) else ACTIVATIONS[nonlinearity])(value)
