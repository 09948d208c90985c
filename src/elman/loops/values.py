"""What a body of a loop computes, as expressions over whole tensors.

A value has one of three levels: it depends on parameters alone, on what is given at every step
besides, or on what the loop carries. Values of rows are ``(B, n)``, or ``(B,)`` for one number.
Parts of a value are pushed down to what they are made of, so that no part of a carried value is
left: a part of a product is a product with fewer rows of the matrix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..errors import FormulaError
from ..expr import PRIMITIVES, apply, walk
from ..reductions import REDUCTIONS

PARAMETER, GIVEN, CARRIED = range(3)
#: The primitives, as functions of tensors and of symbolic values.
POINT = {name: functools.partial(apply, name) for name in PRIMITIVES}


@dataclass(frozen=True, eq=False)
class Value:
    """An expression; equal ones of one :class:`Values` are one object.

    ``size`` is how many numbers a row has, 0 for tensors that have no rows. ``kind`` is one of:

    - ``number``: ``attr``;
    - ``tensor``, ``given``, ``state``: the ``attr``-th tensor that the body reads, gets at every
      step, or carries;
    - ``call``: the function ``attr`` of tensors without rows, or unit by unit of ones with rows;
    - ``point``: a function of a formula, ``attr``, unit by unit;
    - ``linear``: a value of rows times a matrix ``(n, k)``;
    - ``part``: the numbers ``attr[1]`` to ``attr[2]`` of dimension ``attr[0]``;
    - ``cat``: rows side by side;
    - ``reduce``: the reduction ``attr`` over a row;
    - ``random``: drawn by the function ``attr[0]``, at every step anew;
    - ``embedding``: the rows of a matrix that whole numbers say.
    """

    kind: str
    args: tuple[Value, ...]
    attr: Any
    size: int
    level: int


class Values:
    """Makes values, each once."""

    def __init__(self) -> None:
        self._made: dict[Any, Value] = {}

    def make(self, kind: str, *args: Value, attr: Any = None, size: int, level: int = 0) -> Value:
        level = max([level, *(a.level for a in args)])
        key = kind, args, attr
        return self._made.setdefault(key, Value(kind, args, attr, size, level))

    def number(self, value: float, size: int = 1) -> Value:
        return self.make("number", attr=float(value).hex(), size=size)

    def point(self, function: Callable[..., Any], *args: Value) -> Value:
        """A function unit by unit. Rows side by side are taken one by one."""
        size = max(a.size or 1 for a in args)
        for a in args:
            if a.kind == "cat" and a.level == CARRIED:
                ends = _ends(a.args)
                pieces = [[self.units(b, *end) for b in args] for end in ends]
                return self.cat([self.point(function, *piece) for piece in pieces])
        return self.make("point", *args, attr=function, size=size)

    def linear(self, value: Value, matrix: Value, rows: int) -> Value:
        """``value W^T``, with a matrix ``(rows, value.size)``."""
        if value.kind == "cat" and value.level == CARRIED:
            parts = zip(value.args, _ends(value.args), strict=True)
            products = [self.linear(v, self.part(matrix, 1, *end), rows) for v, end in parts]
            return self.total(products)
        return self.make("linear", value, matrix, size=rows)

    def turned(self, matrix: Value, size: int) -> Value:
        """A matrix with its rows, ``size`` numbers each, as columns; twice is itself."""
        if matrix.kind == "call" and matrix.attr is torch.t:
            return matrix.args[0]
        return self.make("call", matrix, attr=torch.t, size=size)

    def total(self, values: Sequence[Value]) -> Value:
        result = values[0]
        for value in values[1:]:
            result = self.point(POINT["add"], result, value)
        return result

    def reduce(self, name: str, value: Value) -> Value:
        if value.kind == "cat" and value.level == CARRIED:
            found = [self.reduce(name, part) for part in value.args]
            combine = POINT[{"sum": "add", "amax": "maximum"}[name]]
            result = found[0]
            for more in found[1:]:
                result = self.point(combine, result, more)
            return result
        return self.make("reduce", value, attr=name, size=1)

    def cat(self, values: Sequence[Value]) -> Value:
        flat: list[Value] = []
        for value in values:
            flat += value.args if value.kind == "cat" else [value]
        if len(flat) == 1:
            return flat[0]
        return self.make("cat", *flat, size=sum(v.size for v in flat))

    def units(self, value: Value, first: int, stop: int) -> Value:
        """Some numbers of each row; of a vector without rows likewise."""
        size = value.size
        if value.kind == "number":
            return self.number(float.fromhex(value.attr), stop - first)
        if size == 1 or (first, stop) == (0, size):
            return value
        if value.level == PARAMETER:
            return self.part(value, -1, first, stop)
        match value.kind:
            case "point":
                return self.point(value.attr, *(self.units(a, first, stop) for a in value.args))
            case "linear":
                rows, matrix = value.args
                return self.linear(rows, self.part(matrix, 0, first, stop), stop - first)
            case "cat":
                found = [
                    self.units(v, max(first, a) - a, min(stop, b) - a)
                    for v, (a, b) in zip(value.args, _ends(value.args), strict=True)
                    if max(first, a) < min(stop, b)
                ]
                return self.cat(found)
        if value.level == CARRIED:
            raise FormulaError(
                "a part of a carried tensor is read: carry its parts as tensors of their own"
            )
        return self.part(value, -1, first, stop)

    def part(self, value: Value, dim: int, first: int, stop: int) -> Value:
        size = stop - first if value.size and dim == -1 else value.size
        if value.kind == "part" and value.attr[0] == dim:
            (value,), (_, begin, _) = value.args, value.attr
            first, stop = begin + first, begin + stop
        return self.make("part", value, attr=(dim, first, stop), size=size)


def _ends(parts: Iterable[Value]) -> list[tuple[int, int]]:
    """Where each part begins and ends."""
    found, end = [], 0
    for part in parts:
        found.append((end, end + part.size))
        end += part.size
    return found


def evaluate(
    roots: Sequence[Value], known: dict[Value, Any], lead: tuple[int, ...], like: Tensor
) -> list[Any]:
    """The values by PyTorch operations. ``known`` are those that are there already, ``(*lead, n)``
    if they have rows."""
    for current in walk(roots, lambda value: () if value in known else value.args):
        if current not in known:
            known[current] = _compute(current, [known[a] for a in current.args], lead, like)
    return [known[root] for root in roots]


def _compute(value: Value, args: list[Any], lead: tuple[int, ...], like: Tensor) -> Any:
    match value.kind:
        case "number":
            return like.new_full((), float.fromhex(value.attr))
        case "call":
            return value.attr(*args)
        case "point":
            return value.attr(*args)
        case "linear":
            return linear(*args)
        case "part":
            dim, first, stop = value.attr
            return args[0].narrow(dim, first, stop - first)
        case "cat":
            return torch.cat([v.expand(*lead, v.shape[-1]) for v in args], -1)
        case "reduce":
            return REDUCTIONS[value.attr].torch(args[0])
        case "random":
            return value.attr[0](like.new_empty(*lead, value.size))
        case "embedding":
            return torch.nn.functional.embedding(args[1].squeeze(-1), args[0])
    raise AssertionError(value.kind)


def place_of(part: Value) -> tuple[int, int]:
    """Which tensor a part is of, and where it begins there."""
    if part.kind != "part":
        return -1, 0
    whole = part.args[0].attr if part.args[0].kind == "tensor" else -1
    return whole, part.attr[1]
