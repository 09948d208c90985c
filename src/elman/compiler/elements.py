"""What the numbers of a panel are: those that a kernel computes with, or bfloat16s, of which twice
as many come through the caches.

A bfloat16 is the upper half of a float. The halves of two neighbouring vectors lie in one vector of
whole numbers, the first's below the second's, so that one instruction widens each; a last vector
without a neighbour lies by itself, and takes two.
"""

from __future__ import annotations

from collections.abc import Sequence

from .ir import Function, Int, Module
from .isa import ISA
from .vector import Vector

#: By LLVM's name the bytes of a number in a panel.
SIZE = {"float": 4, "double": 8, "bfloat": 2}
_UPPER = -(1 << 16)  # the mask of a float's upper half


def load(kinds: Sequence[Vector], panel: str, row: str) -> list[str]:
    """The vectors of a panel's row."""
    v, f = kinds[0], kinds[0].f
    places = [f.gep(panel, row, w * v.lanes) for w in range(len(kinds))]
    if panel == v.dtype:
        return [kind.load(place) for kind, place in zip(kinds, places, strict=True)]
    found = []
    for place in places[: len(places) // 2 * 2 : 2]:
        both = f.load(v.int_type, place, align=SIZE[panel])
        found += [_widened(v, both), v.from_bits(v.integer_op("and", both, v.integer(_UPPER)))]
    last = kinds[-1]
    if len(kinds) % 2:
        bits = f"<{last.lanes} x i16>"
        alone = f.load(bits, places[-1], align=SIZE[panel])
        found.append(_widened(last, f.op(f"zext {bits} {alone} to {last.int_type}")))
    elif last.lanes < v.lanes:
        found[-1] = v.lower(found[-1])
    return found


def _widened(v: Vector, bits: str) -> str:
    """The numbers whose upper halves are the lower ones of these."""
    return v.from_bits(v.integer_op("shl", bits, v.integer(16)))


def define_narrow(module: Module, isa: ISA) -> None:
    """``narrow``: a packed block of so many units and rows, from floats to bfloat16s; what their
    lower halves hold is lost."""
    params = ("ptr", "to"), ("ptr", "from"), ("i64", "units"), ("i64", "rows")
    f = Function(module, "narrow", params)
    v = Vector(f, isa, "float")
    to, source, units, rows = f.params
    pairs = f.op(f"and i64 {units}, {-2 * v.lanes}")

    def bits(place: Int) -> str:
        return v.bits(v.load(f.gep(v.dtype, source, place)))

    with f.loop(0, rows) as row:
        start = f.mul(row, units)
        with f.loop(0, pairs, 2 * v.lanes) as unit:
            place = f.add(start, unit)
            lower = v.integer_op("lshr", bits(place), v.integer(16))
            upper = v.integer_op("and", bits(f.add(place, v.lanes)), v.integer(_UPPER))
            both = v.integer_op("or", lower, upper)
            f.store(v.int_type, both, f.gep("bfloat", to, place), align=SIZE["bfloat"])
        with f.when(f.compare("slt", pairs, units)):
            place = f.add(start, pairs)
            lower = v.integer_op("lshr", bits(place), v.integer(16))
            kinds = f"<{v.lanes} x i16>"
            last = f.op(f"trunc {v.int_type} {lower} to {kinds}")
            f.store(kinds, last, f.gep("bfloat", to, place), align=SIZE["bfloat"])
