"""Numbers in memory as a view: an address, the type of an element, a stride for each dimension; and
vectors of the units of a row in the caller's memory, at any stride and of any number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .halves import stored
from .ir import Function, Int
from .vector import Vector


@dataclass(frozen=True)
class View:
    """The element at ``(i, j, ...)`` lies ``i * strides[0] + j * strides[1] + ...`` elements behind
    ``base``. Addresses are computed dimension by dimension, so that what is known outside of a
    loop is computed there: name the dimension that changes fastest last."""

    f: Function
    kind: str  # LLVM's type of an element
    base: str
    strides: tuple[Int, ...] = (1,)

    def at(self, *index: Int) -> str:
        """The address of an element; dimensions that are not named count as 0."""
        place = self.base
        for i, stride in zip(index, self.strides, strict=False):
            place = self.f.gep(self.kind, place, self.f.mul(i, stride))
        return place

    def row(self, *index: Int) -> View:
        """What has these indices in the first dimensions: a view of the others."""
        return View(self.f, self.kind, self.at(*index), self.strides[len(index) :])

    def past(self, *index: Int) -> View:
        """The same dimensions from an element on."""
        return View(self.f, self.kind, self.at(*index), self.strides)

    @property
    def transposed(self) -> View:
        """The same dimensions in the opposite order."""
        return View(self.f, self.kind, self.base, self.strides[::-1])

    def load(self, *index: Int) -> str:
        """One element."""
        return self.f.load(self.kind, self.at(*index))

    def store(self, value: Int, *index: Int) -> None:
        """Writes one element."""
        self.f.store(self.kind, value, self.at(*index))


# No function is called for a vector of units: around a call, all vectors of a loop would go to
# memory.


def load_units(v: Vector, row: View, unit: Int, units: Int, expanded: bool = True) -> str:
    """One vector of units from ``unit`` on; zeros beyond the last. Rows that are hardly ever
    ``expanded`` have no faster way for that."""
    f, left, (stride,), kind = v.f, v.f.sub(units, unit), row.strides, row.kind

    def beside() -> str:
        place = View(f, kind, row.base).at(unit)
        return f.either(
            f.compare("sge", left, v.lanes),
            v.type,
            lambda: v.load(place, kind),
            lambda: v.load_masked(place, v.first(left), kind),
        )

    def alike() -> str:  # an expanded tensor, such as the gradient of a sum
        return v.select(v.first(left), v.broadcast(row.base, kind), v.number(0.0))

    def scattered() -> str:
        stack, source = View(f, v.dtype, f.alloca(v.lanes, v.dtype)), row.past(unit)
        v.store(v.number(0.0), stack.base)
        with f.loop(0, f.min(left, v.lanes)) as i:
            stack.store(v.load_one(source.at(i), kind), i)
        return v.load(stack.base)

    def apart() -> str:
        if not expanded:
            return scattered()
        return f.either(f.compare("eq", stride, 0), v.type, alike, scattered)

    return f.either(f.compare("eq", stride, 1), v.type, beside, apart)


def store_units(v: Vector, value: str, row: View, unit: Int, units: Int) -> None:
    """Writes one vector of units from ``unit`` on, but none beyond the last."""
    f, left, (stride,), kind = v.f, v.f.sub(units, unit), row.strides, row.kind

    def beside() -> None:
        store_beside(v, [(value, View(f, kind, row.base))], unit, units)

    def apart() -> None:
        element = stored(kind)
        stack = View(f, element, f.alloca(v.lanes, element))
        goal = View(f, element, row.at(unit), row.strides)
        v.store(value, stack.base, kind)
        with f.loop(0, f.min(left, v.lanes)) as i:
            goal.store(stack.load(i), i)

    f.branch(f.compare("eq", stride, 1), beside, apart)


def store_beside(v: Vector, every: Sequence[tuple[str, View]], unit: Int, units: Int) -> None:
    """The same of several vectors, each to a row whose units lie side by side."""
    f, left = v.f, v.f.sub(units, unit)

    def whole() -> None:
        for value, row in every:
            v.store(value, row.at(unit), row.kind)

    def some() -> None:
        there = v.first(left)
        for value, row in every:
            v.store_masked(value, row.at(unit), there, row.kind)

    f.branch(f.compare("sge", left, v.lanes), whole, some)
