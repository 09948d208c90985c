"""Vectors of the units of a row in the caller's memory, which may lie at any stride, and of which
there are any number.

No function is called here: around a call, all vectors of a loop would go to memory.
"""

from __future__ import annotations

from .ir import Int
from .vector import Vector
from .view import View


def load_units(v: Vector, row: View, unit: Int, units: Int) -> str:
    """One vector of units from ``unit`` on; zeros beyond the last."""
    f, left, (stride,) = v.f, v.f.sub(units, unit), row.strides

    def beside() -> str:
        place = View(f, v.dtype, row.base).at(unit)
        return f.either(
            f.compare("sge", left, v.lanes),
            v.type,
            lambda: v.load(place),
            lambda: v.load_masked(place, v.first(left)),
        )

    def alike() -> str:  # an expanded tensor, such as the gradient of a sum
        return v.select(v.first(left), v.broadcast(row.base), v.number(0.0))

    def scattered() -> str:
        stack, source = View(f, v.dtype, f.alloca(v.lanes, v.dtype)), row.past(unit)
        v.store(v.number(0.0), stack.base)
        with f.loop(0, f.min(left, v.lanes)) as i:
            stack.store(source.load(i), i)
        return v.load(stack.base)

    def apart() -> str:
        return f.either(f.compare("eq", stride, 0), v.type, alike, scattered)

    return f.either(f.compare("eq", stride, 1), v.type, beside, apart)


def store_units(v: Vector, value: str, row: View, unit: Int, units: Int) -> None:
    """Writes one vector of units from ``unit`` on, but none beyond the last."""
    f, left, (stride,) = v.f, v.f.sub(units, unit), row.strides

    def beside() -> None:
        place = View(f, v.dtype, row.base).at(unit)
        f.branch(
            f.compare("sge", left, v.lanes),
            lambda: v.store(value, place),
            lambda: v.store_masked(value, place, v.first(left)),
        )

    def apart() -> None:
        stack, goal = View(f, v.dtype, f.alloca(v.lanes, v.dtype)), row.past(unit)
        v.store(value, stack.base)
        with f.loop(0, f.min(left, v.lanes)) as i:
            goal.store(stack.load(i), i)

    f.branch(f.compare("eq", stride, 1), beside, apart)
