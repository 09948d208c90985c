"""A cell: the formula of one step, and the tracing that turns it into a graph."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import FormulaError
from .expr import Node, node


class Cell:
    """The formula of one step of a recurrence. Subclass it and write :meth:`step`.

    ``gates`` are the blocks of rows of ``weight_ih``, ``weight_hh`` and the biases, in order.
    ``states`` are the values carried from step to step; the first one is the output.
    ``inputs`` are further values given at every step, one number a row and unit.

    The step receives three groups of symbolic values and returns the new states, in order:

    - ``x.gate``: ``W_ih x_t + b_ih``, the gate's rows;
    - ``u.gate``: ``W_hh h + b_hh``, the gate's rows, with h the first state;
    - ``s.state``: the previous states.

    Further inputs are read as ``self.input("name")``. ``self.product("gate", value)`` applies
    the gate's rows of ``weight_hh`` (and its bias) to a value other than the previous output.

    >>> class LightGRU(Cell):
    ...     gates = ("z", "n")
    ...     states = ("h",)
    ...     def step(self, x, u, s):
    ...         z = elman.sigmoid(x.z + u.z)
    ...         n = elman.relu(x.n + u.n)
    ...         return (1 - z) * n + z * s.h
    >>> import elman
    >>> LightGRU().trace().states
    ('h',)
    """

    gates: tuple[str, ...] = ()
    states: tuple[str, ...] = ("h",)
    inputs: tuple[str, ...] = ()

    def step(self, x: Any, u: Any, s: Any) -> Any:
        """The new states from the inputs, the products and the previous states."""
        raise NotImplementedError(f"{type(self).__name__} must define step(self, x, u, s)")

    def product(self, gate: str, value: Node) -> Node:
        """``W_hh value + b_hh`` for the gate's rows of the recurrent weight."""
        _check_name(self, "gate", gate, self.gates)
        return node("product", value, attr=gate) + node("bias", attr=gate)

    def input(self, name: str) -> Node:
        """This step's value of a further input."""
        _check_name(self, "input", name, self.inputs)
        return node("input", attr=name)

    def trace(self, name: str = "") -> Step:
        """The graph of the step, under a name that is unique unless one is given.

        Raises:
            FormulaError: where the formula is wrong.
            ValueError: if the given name is taken.
        """
        if name in STEPS:
            raise ValueError(f"name must be one that no traced step has, got {name!r}")
        h = node("state", attr=self.states[0])
        outputs = self.step(
            _Group(self, "gate", self.gates, lambda name: node("x", attr=name)),
            _Group(self, "gate", self.gates, lambda name: self.product(name, h)),
            _Group(self, "state", self.states, lambda name: node("state", attr=name)),
        )
        new = outputs if isinstance(outputs, tuple) else (outputs,)
        if len(new) != len(self.states) or not all(isinstance(v, Node) for v in new):
            raise FormulaError(
                f"{type(self).__name__}.step must return one value for each of the states "
                f"{self.states}, got {outputs!r}"
            )
        step = Step(self.gates, self.states, self.inputs, new, name or f"cell{next(_numbers)}")
        STEPS[step.name] = step
        return step


@dataclass(frozen=True, eq=False)
class Step:
    """A traced step: the names, and for each state the node of its new value."""

    gates: tuple[str, ...]
    states: tuple[str, ...]
    inputs: tuple[str, ...]
    new: tuple[Node, ...]
    name: str  # by which a compiled or exported program finds it again


STEPS: weakref.WeakValueDictionary[str, Step] = weakref.WeakValueDictionary()
"""Every traced step by its name, as long as it is held by someone."""
_numbers = itertools.count()


class _Group:
    """The values ``x``, ``u`` or ``s`` of a step, read by name."""

    def __init__(
        self, cell: Cell, kind: str, names: tuple[str, ...], make: Callable[[str], Node]
    ) -> None:
        self._cell, self._kind, self._names, self._make = cell, kind, names, make

    def __getattr__(self, name: str) -> Node:
        _check_name(self._cell, self._kind, name, self._names)
        return self._make(name)


def _check_name(cell: Cell, kind: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise FormulaError(
            f"{type(cell).__name__} has no {kind} {name!r}, only {names}: "
            f"add it to `{kind}s` or correct the name in step()"
        )
