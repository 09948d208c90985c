"""What the numbers of a panel are: those that a kernel computes with, bfloat16s, or pairs of them.

A format says how many bytes a panel takes, how it is filled and loaded, what a product multiplies
its rows with, and how the product is added up. All else is the same for every format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .ir import Function, Int, Module
from .isa import ISA
from .vector import Vector
from .view import View, load_units

Numbers = NDArray[Any]
_UPPER = -(1 << 16)  # the mask of a float's upper half
_ONES = 0x3F803F80  # the pair of two ones
#: Of LLVM's types of numbers.
BYTES = {"float": 4, "double": 8, "bfloat": 2, "i32": 4}


@dataclass(frozen=True)
class Format:
    """The numbers that a kernel computes with: a matrix whose units lie side by side is a panel."""

    kind: str  # LLVM's type of an element
    depth: ClassVar[int] = 1  # numbers in an element, neighbours along the sum
    converts: ClassVar[bool] = False  # whether panels hold other numbers than matrices do
    gradients: ClassVar[bool] = True  # whether a backward pass can multiply what is no panel
    makes_operands: ClassVar[bool] = False  # whether rows have to be made that products multiply

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return BYTES[self.kind]

    def length(self, f: Function, k: Int) -> Int:
        """How many rows of a panel a sum of ``k`` products takes."""
        return f.div(f.add(k, self.depth - 1), self.depth)

    def nbytes(self, units: int, k: int) -> int:
        """What a panel of so many units takes."""
        return units * self.size * -(-k // self.depth)

    # -- a panel

    def stored(self, block: Numbers, lanes: int) -> bytes:
        """A block of a panel, ``(k, units)`` plain numbers, as memory holds it."""
        if self.converts:
            raise ValueError(f"panels of {type(self).__name__} are packed by kernels only")
        return block.tobytes()

    def define(self, module: Module, isa: ISA) -> None:
        """Adds the functions that the others call to the module."""

    def convert(self, f: Function, to: str, block: str, units: Int, k: Int) -> None:
        """Fills a block of a panel from a block of ``k`` rows of plain numbers."""
        raise AssertionError("a plain panel is packed as it is")

    def load(self, v: Vector, vectors: int, place: str) -> list[str]:
        """The vectors of a panel's row."""
        row = View(v.f, self.kind, place)
        return [v.load(row.at(w * v.lanes)) for w in range(vectors)]

    def multiply_add(self, v: Vector, a: str, column: str, total: str) -> str:
        """``total + a * column``."""
        return v.fma(a, column, total)

    # -- what a panel is multiplied with

    def operand(self, row: Callable[[], View], room: Callable[[], View]) -> View:
        """What products multiply of a row: it is in their ``room`` if it has to be made."""
        if not self.makes_operands:
            return row()
        made = room()
        return View(made.f, self.kind, made.base)

    def prepare(self, row: View, room: Callable[[], View], units: Int) -> View:
        """Makes the operand of a row."""
        return row

    def prepare_all(
        self,
        f: Function,
        span: tuple[Int, Int],
        row: Callable[[Int], View],
        room: Callable[[Int], View],
        units: Int,
    ) -> None:
        """Makes the operands of all rows of a span."""
        if self.makes_operands:
            with f.loop(*span) as i:
                self.prepare(row(i), partial(room, i), units)

    def prepare_sum(self, rows: View, units: Int, k: Int) -> None:
        """Makes, in their place, the operands of ``k`` rows that are summed up."""

    def one(self, f: Function, plain: str) -> str:
        """Where an operand of ones lies; a plain one does at ``plain``."""
        return plain


@dataclass(frozen=True)
class Bfloat16Weights(Format):
    """bfloat16s, of which twice as many come through the caches. Arithmetic is float32.

    A bfloat16 is the upper half of a float. The halves of two neighbouring vectors lie in one
    vector of whole numbers, the first's below the second's, so that one instruction widens each; a
    last vector without a neighbour lies by itself, and takes two. Weights are rounded beforehand.
    """

    kind: str = "bfloat"
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


#: By what is bfloat16 where the arithmetic is float32: the weights, or whatever products multiply.
BFLOAT16 = {"weights": Bfloat16Weights(), "products": Bfloat16Pairs()}
