"""The formats of narrow panels: bfloat16 weights, pairs of bfloat16s, and int8 weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from .formats import BYTES, Format, Numbers
from .ir import Function, Int, Module
from .isa import ISA
from .vector import Vector
from .view import View, load_units

_UPPER = -(1 << 16)  # the mask of a float's upper half
_ONES = 0x3F803F80  # the pair of two ones

#: Of the int8s of a matrix's row. Its scale is its largest weight / 127, without the last seven
#: bits of a float: so `q * scale` is exact, and gives back the same scale and the same `q`. A row
#: whose scale would be smaller than a normal number has the scale 1, and is all zeros.
LARGEST = 127
SCALE_UNIT = 1 << 7
LEAST_SCALE = 2.0**-126


@dataclass(frozen=True)
class Bfloat16Weights(Format):
    """bfloat16s, of which twice as many come through the caches. Arithmetic is float32.

    A bfloat16 is the upper half of a float. The halves of two neighbouring vectors lie in one
    vector of whole numbers, the first's below the second's, so that one instruction widens each; a
    last vector without a neighbour lies by itself, and takes two. Weights are rounded beforehand.
    """

    kind: str = "bfloat"
    label: ClassVar[str] = "bfloat16 weights"
    converts: ClassVar[bool] = True
    gradients: ClassVar[bool] = False

    def stored(self, block: Numbers, lanes: int) -> bytes:
        upper = (block.view(np.uint32) >> 16).astype(np.uint16)
        k, units = upper.shape
        pairs = units // (2 * lanes) * 2 * lanes
        both = upper[:, :pairs].reshape(k, -1, 2, lanes).swapaxes(2, 3).reshape(k, pairs)
        return np.concatenate([both, upper[:, pairs:]], 1).tobytes()

    def define(self, module: Module, isa: ISA) -> None:
        """``narrow``: a packed block of so many units and rows, from floats to bfloat16s; what
        their lower halves hold is lost."""
        params = ("ptr", "to"), ("ptr", "from"), ("i64", "units"), ("i64", "rows")
        f = Function(module, "narrow", params, shared=True)
        v = Vector(f, isa, "float")
        to, source, units, rows = f.params
        pairs = f.op(f"and i64 {units}, {-2 * v.lanes}")
        goals, numbers = View(f, self.kind, to, (units, 1)), View(f, v.dtype, source, (units, 1))

        def bits(row: Int, unit: Int) -> str:
            return v.bits(v.load(numbers.at(row, unit)))

        with f.loop(0, rows) as row:
            with f.loop(0, pairs, 2 * v.lanes) as unit:
                lower = v.integer_op("lshr", bits(row, unit), v.integer(16))
                upper = bits(row, f.add(unit, v.lanes))
                both = v.integer_op("or", lower, v.integer_op("and", upper, v.integer(_UPPER)))
                f.store(v.int_type, both, goals.at(row, unit), align=self.size)
            with f.when(f.compare("slt", pairs, units)):
                lower = v.integer_op("lshr", bits(row, pairs), v.integer(16))
                kind = f"<{v.lanes} x i16>"
                last = f.op(f"trunc {v.int_type} {lower} to {kind}")
                f.store(kind, last, goals.at(row, pairs), align=self.size)

    def convert(self, f: Function, to: str, block: str, units: Int, k: Int) -> None:
        f.call("narrow", ("ptr", to), ("ptr", block), ("i64", units), ("i64", k))

    def load(self, v: Vector, vectors: int, place: str) -> list[str]:
        f, row = v.f, View(v.f, self.kind, place)
        places = [row.at(w * v.lanes) for w in range(vectors)]
        found = []
        for place in places[: vectors // 2 * 2 : 2]:
            both = f.load(v.int_type, place, align=self.size)
            found += [_widened(v, both), v.from_bits(v.integer_op("and", both, v.integer(_UPPER)))]
        if vectors % 2:
            bits = f"<{v.lanes} x i16>"
            alone = f.load(bits, places[-1], align=self.size)
            found.append(_widened(v, f.op(f"zext {bits} {alone} to {v.int_type}")))
        return found


@dataclass(frozen=True)
class Bfloat16Pairs(Format):
    """Pairs of bfloat16s, which one instruction multiplies and adds to a float.

    The numbers of a pair are neighbours along the sum, the first in the lower half. A row that is
    multiplied is one of pairs too, and each sum is half as long: what a tile calls ``k`` counts
    pairs. A sum of an odd number of products ends with a zero.
    """

    kind: str = "i32"
    label: ClassVar[str] = "bfloat16 products"
    depth: ClassVar[int] = 2
    converts: ClassVar[bool] = True
    makes_operands: ClassVar[bool] = True

    def define(self, module: Module, isa: ISA) -> None:
        """``pair``: pairs of neighbouring rows, so many units of each in whole vectors, rounded;
        they may take the place of the rows. ``pair_row``: pairs of the neighbours in a row, behind
        its last unit zeros to the end of a vector."""
        row, units = (("ptr", "to"), ("ptr", "from"), ("i64", "stride")), ("i64", "units")
        f = Function(module, "pair", [*row, units, ("i64", "rows")], shared=True)
        v = Vector(f, isa, "float")
        to, source, stride, count, rows = f.params
        goals, numbers = View(f, self.kind, to, (stride, 1)), View(f, v.dtype, source, (stride, 1))

        def bits(row: Int, unit: Int) -> str:
            value = v.load(numbers.at(row, unit))
            return f.op(f"zext <{v.lanes} x i16> {v.rounded(value)} to {v.int_type}")

        with f.loop(0, self.length(f, rows)) as i:
            first = f.mul(i, 2)
            paired = f.compare("slt", f.add(first, 1), rows)
            with f.loop(0, count, v.lanes) as u:
                lower = bits(first, u)

                def upper(row: Int = first, u: Int = u) -> str:
                    return v.integer_op("shl", bits(f.add(row, 1), u), v.integer(16))

                beside = f.either(paired, v.int_type, upper, lambda: "zeroinitializer")
                both = v.integer_op("or", lower, beside)
                f.store(v.int_type, both, goals.at(i, u), align=self.size)

        f = Function(module, "pair_row", [*row, units], shared=True)
        v = Vector(f, isa, "float")
        to, source, stride, count = f.params
        halves, numbers = View(f, "bfloat", to), View(f, v.dtype, source, (stride,))
        with f.loop(0, count, v.lanes) as u:
            half = v.rounded(load_units(v, numbers, u, count))
            f.store(f"<{v.lanes} x i16>", half, halves.at(u), align=BYTES["bfloat"])

    def convert(self, f: Function, to: str, block: str, units: Int, k: Int) -> None:
        self._pair(View(f, "float", block, (units, 1)), to, units, k)

    def _pair(self, rows: View, to: str, units: Int, count: Int) -> None:
        given = ("ptr", to), ("ptr", rows.base), ("i64", rows.strides[0])
        rows.f.call("pair", *given, ("i64", units), ("i64", count))

    def multiply_add(self, v: Vector, a: str, column: str, total: str) -> str:
        return v.multiply_add_pairs(a, column, total)

    def prepare(self, row: View, room: Callable[[], View], units: Int) -> View:
        goal = room()
        given = ("ptr", goal.base), ("ptr", row.base), ("i64", row.strides[0]), ("i64", units)
        row.f.call("pair_row", *given)
        return goal

    def prepare_sum(self, rows: View, units: Int, k: Int) -> None:
        self._pair(rows, rows.base, units, k)

    def one(self, f: Function, plain: str) -> str:
        pair = f.alloca(1, self.kind, self.size)
        f.store(self.kind, _ONES, pair)
        return pair


def _widened(v: Vector, bits: str) -> str:
    """The numbers whose upper halves are the lower ones of these."""
    return v.from_bits(v.integer_op("shl", bits, v.integer(16)))


@dataclass(frozen=True)
class Int8Weights(Format):
    """int8s, of which four times as many come through the caches, and a scale for each unit.

    A weight is ``q * scale``. A sum adds up ``a * q`` in float32, and is multiplied by the scale
    once, at its end. The scales, floats, are four more rows of a block. Weights are rounded
    beforehand: packing finds the same scales again, see :data:`LARGEST`.
    """

    kind: str = "i8"
    label: ClassVar[str] = "int8 weights"
    converts: ClassVar[bool] = True
    gradients: ClassVar[bool] = False
    scale_rows: ClassVar[int] = BYTES["float"] // BYTES["i8"]

    def stored(self, block: Numbers, lanes: int) -> bytes:
        scale = np.abs(block).max(0) / np.float32(LARGEST)
        scale = np.where(scale >= LEAST_SCALE, scale, np.float32(1))
        return (block / scale).astype(np.int8).tobytes() + scale.tobytes()

    def define(self, module: Module, isa: ISA) -> None:
        """``to_int8``: a packed block of so many units and rows."""
        params = ("ptr", "to"), ("ptr", "from"), ("i64", "units"), ("i64", "rows")
        f = Function(module, "to_int8", params, shared=True)
        v = Vector(f, isa, "float")
        to, source, units, rows = f.params
        goals, numbers = View(f, self.kind, to, (units, 1)), View(f, v.dtype, source, (units, 1))
        scales = View(f, v.dtype, goals.at(rows))
        with f.loop(0, units, v.lanes) as unit:

            def larger(row: Int, before: list[str], unit: Int = unit) -> list[str]:
                size = v.abs(v.load(numbers.at(row, unit)))
                return [v.select(v.compare("gt", size, before[0]), size, before[0])]

            (largest,) = f.carry((0, rows), [v.type], [v.number(0.0)], larger)
            scale = v.div(largest, v.number(LARGEST))
            is_scale = v.compare("ge", scale, v.number(LEAST_SCALE))
            scale = v.select(is_scale, scale, v.number(1.0))
            f.store(v.type, scale, scales.at(unit), align=1)
            with f.loop(0, rows) as row:
                number = v.div(v.load(numbers.at(row, unit)), scale)
                whole = f.op(f"fptosi {v.type} {number} to {v.int_type}")
                kind = f"<{v.lanes} x i8>"
                small = f.op(f"trunc {v.int_type} {whole} to {kind}")
                f.store(kind, small, goals.at(row, unit), align=1)

    def convert(self, f: Function, to: str, block: str, units: Int, k: Int) -> None:
        f.call("to_int8", ("ptr", to), ("ptr", block), ("i64", units), ("i64", k))

    def load(self, v: Vector, vectors: int, place: str) -> list[str]:
        f, row, found = v.f, View(v.f, self.kind, place), []
        for w in range(vectors):
            small = f.load(f"<{v.lanes} x i8>", row.at(w * v.lanes), align=1)
            whole = f.op(f"sext <{v.lanes} x i8> {small} to {v.int_type}")
            found.append(f.op(f"sitofp {v.int_type} {whole} to {v.type}"))
        return found

    def total(
        self, v: Vector, w: int, sums: Sequence[str], start: str, behind: Callable[[], str]
    ) -> str:
        place = View(v.f, v.dtype, behind()).at(w * v.lanes)
        return v.fma(v.f.load(v.type, place, align=1), reduce(v.add, sums), start)


#: By the name that calls give: what is narrow where the arithmetic is float32, the weights or
#: whatever products multiply.
NARROW: dict[str, Format] = {
    "weights": Bfloat16Weights(),
    "products": Bfloat16Pairs(),
    "int8": Int8Weights(),
}
