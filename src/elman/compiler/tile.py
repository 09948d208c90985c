"""The tile: the one kernel that does all products.

``acc[m][v] = init[m][v] + sum over k of a[m][k] * b[k][v]`` for a few rows ``m`` and vectors
``v`` at once, the accumulators in registers. The operand's rows are reached through pointers,
one a row, so that rows can lie anywhere (another step, another tensor); the other operand is a
packed panel, or any matrix whose rows hold contiguous vectors.

**Order of summation.** The sum over ``k`` is cut into ``splits`` contiguous blocks which run
side by side, each from zero; they are added to ``init`` from first to last. The cut depends on
the formula and the length of the sum alone, and not on the number of rows or vectors at hand: a
row's result has the same bits in every tile, and in the one loop that does several products of
one row (:func:`add_up`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ..runtime.alignment import ALIGNMENT
from .formats import Format
from .ir import Function, Int, Module
from .isa import ISA
from .schedule import Schedule
from .vector import Vector
from .view import View

#: acc, stride of its rows; init, stride of its rows (0: one row for all); pointers to the rows
#: of a, stride of k in a; b, stride of k in b; length of the sum; rows; vectors. Strides count
#: elements. For a masked panel the stride of k in a is an address: of the places along a.
PARAMS = (
    ("ptr", "acc"),
    ("i64", "acc_row"),
    ("ptr", "init"),
    ("i64", "init_row"),
    ("ptr", "a"),
    ("i64", "a_k"),
    ("ptr", "b"),
    ("i64", "b_k"),
    ("i64", "k"),
    ("i64", "rows"),
    ("i64", "vectors"),
)


@dataclass(frozen=True)
class Shape:
    """Up to how many rows a tile has, and how many vectors it may have (widest first)."""

    rows: int
    widths: tuple[int, ...]
    whole: bool = False  # a tile of one row has all units
    pairs: bool = False  # a row that is alone may have two blocks at once: it waits less for itself

    @staticmethod
    def many(
        isa: ISA,
        schedule: Schedule,
        vectors: int,
        splits: int,
        any_width: bool,
        pairs: bool = False,
    ) -> Shape:
        """The shape for products of many rows: as many accumulators as the registers hold. Their
        results have so many vectors, or any number."""
        blocks = _blocks(vectors, isa.vectors)
        widths = range(isa.vectors, 0, -1) if any_width else dict.fromkeys(blocks)
        rows = min(isa.accumulators // (splits * max(widths)), schedule.tile_rows)
        return Shape(max(1, rows), tuple(widths), pairs=pairs)

    @staticmethod
    def single(
        isa: ISA, schedule: Schedule, vectors: int, products: int, part: bool = False
    ) -> Shape:
        """The shape for one row, of which so many products are done at once: the result's vectors
        in equal blocks, with the least padding; with none for ``part`` of a row."""
        most = max(1, min(schedule.row_vectors, isa.accumulators // products, vectors))
        widths = range(most, 0 if part else most // 2, -1)
        width = min(widths, key=lambda width: -(-vectors // width) * width)
        return Shape(1, (width,), whole=width >= vectors and not part)

    @property
    def name(self) -> str:
        return f"{self.rows}x{'_'.join(map(str, self.widths))}"

    def tile(self, splits: int, suffix: str = "") -> str:
        """The name of the tile whose sums are cut into so many, for a format with a suffix."""
        return f"tile_{self.name}_{splits}{suffix}"

    def covers(self, other: Shape) -> bool:
        """Whether tiles of this shape can be used as those of another."""
        return other.rows <= self.rows and {*other.widths} <= {*self.widths}

    def padded(self, units: int, lanes: int) -> int:
        """The units rounded up to whole vectors, or whole tiles if all are alike."""
        whole = lanes if len(self.widths) > 1 else self.widths[0] * lanes
        return math.ceil(units / whole) * whole

    def slice_of(self, vectors: int, slices: int, whole: int = 1) -> int:
        """The vectors of a slice, if so many are to be cut into so many slices that tiles can do,
        of parts that stay ``whole``; there are fewer if they can't."""
        least = -(-vectors // (slices * whole)) * whole
        for each in range(max(whole, least), vectors, whole):
            blocks = {w for left in (each, vectors % each) for w in _blocks(left, self.widths[0])}
            if blocks <= set(self.widths):
                return each
        return max(1, vectors)

    def _width(self, f: Function, left: Int, lanes: int) -> Int:
        """How many vectors the next tile of a row takes if so many units are left: blocks as equal
        as can be, since a narrow one loads more than it multiplies."""
        most, *narrower = self.widths
        if not narrower:
            return most
        return f.equal(f.div(left, lanes), most)

    def blocks(
        self, f: Function, stop: Int, lanes: int, start: Int = 0, alone: str = ""
    ) -> AbstractContextManager[tuple[Int, Int]]:
        """A loop over the units of a row by blocks, as tiles take them: the first, how many. If the
        row is ``alone`` (a condition), two of the widest blocks may be one."""
        return f.blocks(stop, lambda left: self._block(f, left, lanes, alone), start)

    def _block(self, f: Function, left: Int, lanes: int, alone: str) -> Int:
        """How many units the next tile takes if so many are left."""
        widest = self.widths[0]
        size = f.mul(self._width(f, left, lanes), lanes)
        if not self.pairs or not alone:
            return size
        after = self._width(f, f.max(f.sub(left, widest * lanes), lanes), lanes)
        both = f.compare("eq", f.add(size, f.mul(after, lanes)), 2 * widest * lanes)
        return f.select(f.op(f"and i1 {alone}, {both}"), 2 * widest * lanes, size)

    def height(self, f: Function, rows: Int) -> Int:
        """How many of so many rows each tile takes: tiles as equal as can be, since a low one loads
        more than it multiplies."""
        return 1 if self.rows == 1 else f.equal(rows, self.rows)


def odd(units: int, lanes: int) -> int:
    """Units rounded up to an odd number of vectors: rows that lie so far apart, caches take to
    different places."""
    return (-(-units // lanes) | 1) * lanes


def _blocks(vectors: int, most: int) -> list[int]:
    """A row's vectors in blocks as tiles take them, see ``Shape.blocks``."""
    count = -(-vectors // most)
    return [-(-(vectors - i) // count) for i in range(count)]


def define(module: Module, isa: ISA, dtype: str, panel: Format, shape: Shape, splits: int) -> None:
    """Adds the tile to the module: one loop over ``k`` for each number of rows and vectors."""
    f = Function(module, shape.tile(splits, panel.suffix), PARAMS, shared=True)
    v = Vector(f, isa, dtype)
    leave = f.name("leave")
    for vectors in shape.widths:
        here, after = f.name("width"), f.name("narrower")
        f.do(f"br i1 {f.compare('eq', '%vectors', vectors)}, label %{here}, label %{after}")
        f.label(here)
        cases = {m: f.name(f"case{m}x{vectors}_") for m in range(1, shape.rows + 1)}
        table = " ".join(f"i64 {m}, label %{label}" for m, label in cases.items())
        f.do(f"switch i64 %rows, label %{leave} [ {table} ]")
        for m, label in cases.items():
            f.label(label)
            _sum(f, v, panel, m, vectors, splits)
            f.do(f"br label %{leave}")
        f.label(after)
    if shape.pairs:
        with f.when(f.compare("eq", "%vectors", 2 * shape.widths[0])):
            _sum(f, v, panel, 1, shape.widths[0], splits, blocks=2)
    f.do(f"br label %{leave}")
    f.label(leave)


def _sum(
    f: Function, v: Vector, panel: Format, rows: int, vectors: int, splits: int, blocks: int = 1
) -> None:
    """The loop over ``k`` for this many rows and vectors, from init to acc; of so many blocks of a
    panel that lie behind one another."""
    acc, acc_row, init, init_row, a, a_k, b, b_k, k, _, _ = f.params
    goals, starts = View(f, v.dtype, acc, (acc_row, 1)), View(f, v.dtype, init, (init_row, 1))
    pointers, matrix = View(f, "ptr", a), View(f, panel.kind, b, (panel.block_rows(f, k), b_k, 1))
    places = [(m, n * vectors * v.lanes) for m in range(rows) for n in range(blocks)]
    stride: Int = a_k
    listed: View | None = None
    if panel.masked:
        stride, listed = 1, View(f, "i64", f.op(f"inttoptr i64 {a_k} to ptr"))
    factors = [
        Factor(View(f, v.dtype, pointers.load(m), (stride,)), matrix.row(unit), places=listed)
        for m, unit in places
    ]
    found = add_up(v, vectors, panel, factors, k, splits)
    for (m, unit), sums, factor in zip(places, found, factors, strict=True):
        start, goal = starts.past(m, unit), goals.past(m, unit)
        behind = functools.partial(factor.behind, k)
        for w, mine in enumerate(sums):
            total = panel.total(v, w, mine, v.load(start.at(0, w * v.lanes)), behind)
            v.store(total, goal.at(0, w * v.lanes))


@dataclass(frozen=True)
class Factor:
    """What is multiplied: a row over ``k``, and a matrix over ``k`` and units, from a unit on."""

    row: View
    matrix: View
    begin: Int = 0
    places: View | None = None  # along the row, of those of the matrix' rows, if not all are there

    def behind(self, k: Int) -> str:
        """The address of the matrix's row behind the last of ``k``."""
        return self.matrix.at(k, self.begin)


def add_up(
    v: Vector,
    vectors: int,
    panel: Format,
    factors: Sequence[Factor],
    k: Int,
    splits: int,
    ahead: int = 0,
) -> list[list[list[str]]]:
    """One loop over ``k`` for several products: of each factor, of each vector, the partial sums.
    What their matrices hold, ``panel`` says; so many bytes ``ahead`` are prefetched."""
    sums = [[[v.number(0.0)] * splits for _ in range(vectors)] for _ in factors]
    f, every = v.f, range(splits)
    block = f.div(k, splits)
    _accumulate(v, panel, factors, sums, every, (0, block), block, ahead)
    if splits > 1:  # the remainder of the division goes to the last block
        _accumulate(v, panel, factors, sums, every[-1:], (f.mul(block, splits), k), 0)
    return sums


def _accumulate(
    v: Vector,
    panel: Format,
    factors: Sequence[Factor],
    sums: list[list[list[str]]],
    splits: Sequence[int],
    span: tuple[Int, Int],
    block: Int,
    ahead: int = 0,
) -> None:
    """Adds ``k`` of the span to some of the partial sums in place; number ``c`` is ``c`` blocks
    ahead."""
    f, vectors = v.f, len(sums[0])
    places = [(p, w, c) for p in range(len(factors)) for w in range(vectors) for c in splits]

    def turn(index: Int, totals: list[str]) -> list[str]:
        total = dict(zip(places, totals, strict=True))
        for c in splits:
            position = f.add(index, f.mul(block, c))
            scalars: dict[tuple[View, Int], str] = {}
            columns: dict[tuple[View, Int], list[str]] = {}
            listed: dict[View, str] = {}
            for p, factor in enumerate(factors):
                matrix = factor.matrix, factor.begin
                if matrix not in columns:
                    place = factor.matrix.at(position, factor.begin)
                    columns[matrix] = panel.load(v, vectors, place)
                    if ahead:
                        size = vectors * v.lanes * panel.size
                        for line in range(ahead, ahead + size, ALIGNMENT):
                            v.prefetch(f.gep("i8", place, line), near=True)
                if factor.places is None:
                    along = panel.along(f, *matrix, position)
                else:
                    if factor.places not in listed:
                        listed[factor.places] = factor.places.load(position)
                    along = listed[factor.places]
                if (factor.row, along) not in scalars:
                    scalars[factor.row, along] = v.broadcast(factor.row.at(along), factor.row.kind)
                for w, column in enumerate(columns[matrix]):
                    before = total[p, w, c]
                    total[p, w, c] = panel.multiply_add(
                        v, scalars[factor.row, along], column, before
                    )
        return [total[place] for place in places]

    begun = [sums[p][w][c] for p, w, c in places]
    found = f.carry(span, [v.type] * len(places), begun, turn)
    for (p, w, c), total in zip(places, found, strict=True):
        sums[p][w][c] = total
