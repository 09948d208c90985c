"""What a cell's step says, run once on symbolic values: its lines, with the names they have there.

The formula and the picture of a cell are made of this, so neither can disagree with its code.
"""

from __future__ import annotations

import copy
import inspect
import sys
from dataclasses import dataclass, field
from types import FrameType, SimpleNamespace
from typing import Any

import elman
from elman import functions, reductions
from elman.cell import Cell
from elman.expr import PRIMITIVES, Node, constant, node, walk
from elman.spaces import HIDDEN, ONE, first_space, sized

LEAVES = "x", "state", "bias", "vector", "input", "raw", "symbol", "const"


@dataclass
class Written:
    """A step as it is written.

    ``new`` are the new states by their names. ``names`` says what the step calls its values.
    ``calls`` are the values that a function of elman returned: the function's name, its arguments,
    and the value's place if the function returned several.
    """

    gates: tuple[str, ...]
    new: dict[str, Node] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)
    calls: dict[Node, tuple[str, tuple[Node, ...], int | None]] = field(default_factory=dict)

    def args(self, value: Node) -> tuple[Node, ...]:
        """What a value is computed from, as it is written."""
        return self.calls[value][1] if value in self.calls else value.args

    def lines(self) -> list[Node]:
        """The values that have a name of their own. Each comes after those that it is made of;
        otherwise they are in the order of the step."""
        new = self.new.values()
        wanted = {*self.names, *new} & {*walk(new, self.args)}
        named = [value for value in self.names if value in wanted]
        return [value for value in walk([*named, *new], self.args) if value in wanted]


def written(cell: Cell) -> Written:
    """The step of a cell; numbers that it is made with are symbols of their names."""
    cell = copy.copy(cell)
    for name, value in vars(cell).items():
        if type(value) is float:
            vars(cell)[name] = node("symbol", attr=name, space=ONE)
    spaces = dict.fromkeys(cell.states, HIDDEN) | {cell.states[0]: first_space(cell.projection)}
    spaces |= {n: sized(units) for n, units in dict(cell.sizes).items() if n in cell.states}
    states = {n: node("state", attr=n, space=space) for n, space in spaces.items()}
    x = {gate: node("x", attr=gate, space=HIDDEN) for gate in cell.gates}

    class U:
        def __getattr__(self, gate: str) -> Node:
            return cell.product(gate, states[cell.states[0]])

    seen, given = Written(cell.gates), {}

    def watch(frame: FrameType, event: str, returned: Any) -> None:
        if event == "call" and frame.f_code in FUNCTIONS:
            given[frame] = _arguments(frame)
        elif event == "return" and frame.f_code is type(cell).step.__code__:
            for name, value in frame.f_locals.items():
                if isinstance(value, Node) and value.op not in LEAVES:
                    seen.names.setdefault(value, name)
        elif event == "return" and given.get(frame) is not None:
            several = isinstance(returned, tuple)
            for place, value in enumerate(returned if several else [returned]):
                if isinstance(value, Node):  # of functions that call one another, the outer one
                    name = FUNCTIONS[frame.f_code].__name__
                    seen.calls[value] = name, given[frame], place if several else None

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        new = cell.step(SimpleNamespace(**x), U(), SimpleNamespace(**states))
    finally:
        sys.setprofile(before)
    seen.new.update(zip(cell.states, new if isinstance(new, tuple) else (new,), strict=False))
    return seen


#: What formulas call besides primitives, by its code.
FUNCTIONS = {
    value.__code__: value
    for room in (functions, reductions)
    for name, value in vars(room).items()
    if inspect.isfunction(value) and getattr(elman, name, None) is value
    if name not in PRIMITIVES
}


def _arguments(frame: FrameType) -> tuple[Node, ...] | None:
    """The arguments that a function was called with, but for those with a name; None where some
    are no values of a formula."""
    parameters = inspect.signature(FUNCTIONS[frame.f_code]).parameters
    found: list[Any] = []
    for name, parameter in parameters.items():
        value = frame.f_locals[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            found += value
        elif parameter.kind is not parameter.KEYWORD_ONLY and value is not parameter.default:
            found.append(value)
    nodes = [constant(it) if isinstance(it, (int, float)) else it for it in found]
    return tuple(nodes) if all(isinstance(it, Node) for it in nodes) else None
