"""What the numbers of a panel are: those that a kernel computes with; bfloat16s, of which twice
as many come through the caches; or couples of them, which are multiplied as they are.

A bfloat16 is the upper half of a float. In a panel of single ones the halves of two neighbouring
vectors lie in one vector of whole numbers, the first's below the second's, so that one instruction
widens each; a last vector without a neighbour lies by itself, and takes two.

A couple is two bfloat16s that are neighbours along the sum, the first in the lower half. Where all
products are of couples, a row that is multiplied is one of couples too, and each sum is half as
long: what a tile calls ``k`` counts couples. A sum of an odd number of products ends with a zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from .ir import Function, Int, Module
from .isa import ISA
from .units import load_units
from .vector import Vector

COUPLES = "i32"  # LLVM's type of a couple, which names the kind of panel too
ONES = 0x3F803F80  # the couple of two ones
#: By LLVM's name the bytes of what lies in a panel.
SIZE = {"float": 4, "double": 8, "bfloat": 2, COUPLES: 4}
_UPPER = -(1 << 16)  # the mask of a float's upper half


def load(kinds: Sequence[Vector], panel: str, row: str) -> list[str]:
    """The vectors of a panel's row."""
    v, f = kinds[0], kinds[0].f
    places = [f.gep(panel, row, w * v.lanes) for w in range(len(kinds))]
    if panel in (v.dtype, COUPLES):
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


def multiply_add(v: Vector, panel: str, a: str, column: str, total: str) -> str:
    """``total + a * column``, of numbers or of couples."""
    return v.couples(a, column, total) if panel == COUPLES else v.fma(a, column, total)


def length(f: Function, panel: str, k: Int) -> Int:
    """How many rows of a panel a sum of ``k`` products takes."""
    return f.div(f.add(k, 1), 2) if panel == COUPLES else k


def nbytes(panel: str, units: int, k: int) -> int:
    """What a panel of so many units takes."""
    return units * SIZE[panel] * (-(-k // 2) if panel == COUPLES else k)


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


def define_couples(module: Module, isa: ISA) -> None:
    """``couple``: couples of neighbouring rows, so many units of each in whole vectors, rounded;
    they may take the place of the rows. ``couple_row``: couples of the neighbours in a row, behind
    its last unit zeros to the end of a vector."""
    params = ("ptr", "to"), ("ptr", "from"), ("i64", "stride"), ("i64", "units"), ("i64", "rows")
    f = Function(module, "couple", params)
    v = Vector(f, isa, "float")
    to, source, stride, units, rows = f.params

    def bits(row: Int, unit: Int) -> str:
        value = v.load(f.gep(v.dtype, source, f.add(f.mul(row, stride), unit)))
        return f.op(f"zext <{v.lanes} x i16> {v.rounded(value)} to {v.int_type}")

    with f.loop(0, length(f, COUPLES, rows)) as i:
        row = f.mul(i, 2)
        paired = f.compare("slt", f.add(row, 1), rows)
        with f.loop(0, units, v.lanes) as u:
            lower = bits(row, u)

            def upper(row: Int = row, u: Int = u) -> str:
                return v.integer_op("shl", bits(f.add(row, 1), u), v.integer(16))

            beside = f.either(paired, v.int_type, upper, lambda: "zeroinitializer")
            goal = f.gep(COUPLES, to, f.add(f.mul(i, stride), u))
            f.store(v.int_type, v.integer_op("or", lower, beside), goal, align=SIZE[COUPLES])

    f = Function(module, "couple_row", params[:-1])
    v = Vector(f, isa, "float")
    to, source, stride, units = f.params
    with f.loop(0, units, v.lanes) as u:
        half = v.rounded(load_units(v, source, stride, u, units))
        f.store(f"<{v.lanes} x i16>", half, f.gep("bfloat", to, u), align=SIZE["bfloat"])
