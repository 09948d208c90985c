"""Activations of cells that leave the choice: names, or any functions of symbolic values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import functions
from ..cell import Cell

#: Functions of one value by their names, as a cell's ``nonlinearity`` may name them.
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    name: getattr(functions, name)
    for name in (
        *("tanh", "relu", "sigmoid", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh"),
        *("leaky_relu", "silu", "sin", "softplus", "softsign"),
    )
} | {"identity": lambda a: a}

Activation = str | Callable[[Any], Any]


def check(nonlinearity: Activation, name: str = "nonlinearity") -> Activation:
    """What was given, if it is an activation."""
    if callable(nonlinearity) or nonlinearity in ACTIVATIONS:
        return nonlinearity
    raise ValueError(
        f"{name} must be one of {tuple(ACTIVATIONS)} or a function of one symbolic value, "
        f"got {nonlinearity!r}"
    )


def activate(nonlinearity: Activation, value: Any) -> Any:
    """The activation of a value."""
    return (nonlinearity if callable(nonlinearity) else ACTIVATIONS[nonlinearity])(value)


def chosen(name: str, default: str) -> Any:
    """An attribute that holds an activation, and takes no room where it is the default."""

    def read(cell: Cell) -> Activation:
        found: Activation = cell.__dict__.get(name, default)
        return found

    def write(cell: Cell, value: Activation) -> None:
        cell.__dict__.pop(name, None)
        if check(value, name) != default:
            cell.__dict__[name] = value

    return property(read, write)


class Activated(Cell):
    """A cell whose activations can be chosen: that of gates, and that of everything else. They have
    the names that Keras gives them."""

    activation = chosen("activation", "tanh")
    recurrent_activation = chosen("recurrent_activation", "sigmoid")

    def __init__(
        self,
        activation: Activation | None = None,
        recurrent_activation: Activation | None = None,
    ) -> None:
        if activation is not None:
            self.activation = activation
        if recurrent_activation is not None:
            self.recurrent_activation = recurrent_activation

    def act(self, value: Any) -> Any:
        """The activation of a value that is no gate."""
        return activate(self.activation, value)

    def gate(self, *values: Any) -> Any:
        """The activation of a gate, or of several."""
        found = tuple(activate(self.recurrent_activation, value) for value in values)
        return found if len(found) > 1 else found[0]
