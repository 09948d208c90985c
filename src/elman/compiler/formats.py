"""What a panel holds: here the numbers that a kernel computes with, in `narrow` all other formats.

A format says how many bytes a panel takes, how it is filled and loaded, what a product multiplies
its rows with, and how the product is added up. All else is the same for every format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, ClassVar

from numpy.typing import NDArray

from .ir import Function, Int, Module
from .isa import ISA
from .vector import Vector
from .view import View

Numbers = NDArray[Any]
#: Of LLVM's types of numbers.
BYTES = {"float": 4, "double": 8, "bfloat": 2, "half": 2, "i32": 4, "i16": 2, "i8": 1}


@dataclass(frozen=True)
class Format:
    """The numbers that a kernel computes with: a matrix whose units lie side by side is a panel."""

    kind: str  # LLVM's type of an element
    #: So many rows of each block are stored, all others are zeros. Behind them a list says where
    #: along the sum they belong, in so many rows of memory. 0: all are stored, without a list.
    listed: int = 0
    list_rows: int = 0
    list_kind: str = ""  # LLVM's type of its numbers
    masked: bool = False  # a table says which rows are there, see `masked`
    label: ClassVar[str] = ""  # in words, for `elman.explain`; none for plain numbers
    depth: ClassVar[int] = 1  # numbers in an element, neighbours along the sum
    scale_rows: ClassVar[int] = 0  # of a block, behind the rows that are summed up
    converts: ClassVar[bool] = False  # whether panels hold other numbers than matrices do
    gradients: ClassVar[bool] = True  # whether a backward pass can multiply what is no panel
    makes_operands: ClassVar[bool] = False  # whether rows have to be made that products multiply

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return BYTES[self.kind]

    def length(self, f: Function, k: Int) -> Int:
        """How many rows of a panel a sum of ``k`` products takes."""
        return self.listed or f.div(f.add(k, self.depth - 1), self.depth)

    def block_rows(self, f: Function, length: Int) -> Int:
        """How many rows of memory a block takes of which so many are summed up."""
        return f.add(length, self.scale_rows + self.list_rows)

    def nbytes(self, units: int, k: int) -> int:
        """What a panel of so many units takes."""
        length = self.listed or -(-k // self.depth)
        return units * self.size * (length + self.scale_rows + self.list_rows)

    def along(self, f: Function, matrix: View, begin: Int, position: Int) -> Int:
        """Where along the sum a panel's row belongs."""
        if not self.listed:
            return position
        kind, numbers = self.list_kind, matrix.at(self.listed + self.scale_rows, begin)
        return f.word(f.load(kind, numbers, position, min(BYTES[kind], self.size)), kind)

    @property
    def suffix(self) -> str:
        """What names of functions end with that read such panels."""
        return f"_{self.listed}_{self.list_kind}" if self.listed else "_masked" * self.masked

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

    def total(
        self, v: Vector, w: int, sums: Sequence[str], start: str, behind: Callable[[], str]
    ) -> str:
        """What the ``w``-th vector of units comes to: the partial sums, added to where it starts.
        ``behind`` gives the address of the row behind the last that was summed up."""
        return reduce(v.add, sums, start)

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
