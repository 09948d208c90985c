"""Vectors of the units of a row in the caller's memory, which may lie at any stride, and of which
there are any number.

No function is called here: around a call, all vectors of a loop would go to memory.
"""

from __future__ import annotations

from .ir import Int
from .vector import Vector


def load_units(v: Vector, row: str, stride: Int, unit: Int, units: Int) -> str:
    """One vector of units from ``unit`` on; zeros beyond the last."""
    f, left = v.f, v.f.sub(units, unit)

    def alike() -> str:  # an expanded tensor, such as the gradient of a sum
        return v.select(v.first(left), v.broadcast(row), v.number(0.0))

    def scattered() -> str:
        stack, source = f.alloca(v.lanes, v.dtype), f.gep(v.dtype, row, f.mul(unit, stride))
        v.store(v.number(0.0), stack)
        with f.loop(0, f.min(left, v.lanes)) as i:
            value = f.load(v.dtype, source, f.mul(i, stride))
            f.store(v.dtype, value, f.gep(v.dtype, stack, i))
        return v.load(stack)

    def apart() -> str:
        return f.either(f.compare("eq", stride, 0), v.type, alike, scattered)

    beside = f.compare("eq", stride, 1)
    return f.either(beside, v.type, lambda: load_beside(v, row, unit, units), apart)


def load_beside(v: Vector, row: str, unit: Int, units: Int) -> str:
    """The same of units that lie side by side."""
    f, left, place = v.f, v.f.sub(units, unit), v.f.gep(v.dtype, row, unit)
    return f.either(
        f.compare("sge", left, v.lanes),
        v.type,
        lambda: v.load(place),
        lambda: v.load_masked(place, v.first(left)),
    )


def store_units(v: Vector, value: str, row: str, stride: Int, unit: Int, units: Int) -> None:
    """Writes one vector of units from ``unit`` on, but none beyond the last."""
    f = v.f

    def beside() -> Int:
        store_beside(v, value, row, unit, units)
        return 0

    def apart() -> Int:
        stack, goal = f.alloca(v.lanes, v.dtype), f.gep(v.dtype, row, f.mul(unit, stride))
        v.store(value, stack)
        with f.loop(0, f.min(f.sub(units, unit), v.lanes)) as i:
            one = f.load(v.dtype, stack, i)
            f.store(v.dtype, one, f.gep(v.dtype, goal, f.mul(i, stride)))
        return 0

    f.either(f.compare("eq", stride, 1), "i64", beside, apart)


def store_beside(v: Vector, value: str, row: str, unit: Int, units: Int) -> None:
    """The same where units lie side by side."""
    f, left, place = v.f, v.f.sub(units, unit), v.f.gep(v.dtype, row, unit)

    def whole() -> Int:
        v.store(value, place)
        return 0

    def part() -> Int:
        v.store_masked(value, place, v.first(left))
        return 0

    f.either(f.compare("sge", left, v.lanes), "i64", whole, part)
