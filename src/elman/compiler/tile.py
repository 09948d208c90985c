"""The tile: the one kernel that does all products.

``acc[m][v] = init[m][v] + sum over k of a[m][k] * b[k][v]`` for a few rows ``m`` and vectors
``v`` at once, the accumulators in registers. The operand's rows are reached through pointers,
one a row, so that rows can lie anywhere (another step, another tensor); the other operand is a
packed panel, or any matrix whose rows hold contiguous vectors.

**Order of summation.** The sum over ``k`` is cut into ``chains`` contiguous blocks which run
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

from . import elements
from .ir import Function, Int, Module
from .isa import ISA
from .vector import Vector

#: acc, stride of its rows; init, stride of its rows (0: one row for all); pointers to the rows
#: of a, stride of k in a; b, stride of k in b; length of the sum; rows; halves of vectors. Strides
#: count elements.
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
    ("i64", "halves"),
)


#: Rows of a tile: taller ones load no less and leave more of a batch over.
_TALLEST = 8


@dataclass(frozen=True)
class Shape:
    """Up to how many rows a tile has, and how many vectors it may have (widest first)."""

    rows: int
    widths: tuple[int, ...]
    whole: bool = False  # a tile of one row has all units
    half: int = 0  # in a last block of so many vectors half of one may do, and costs half; 0: none
    pairs: bool = False  # a row that is alone may have two blocks at once: it waits less for itself

    @staticmethod
    def many(
        isa: ISA, vectors: int, chains: int, half: bool, any_width: bool, pairs: bool = False
    ) -> Shape:
        """The shape for products of many rows: as many accumulators as the registers hold. Their
        results have so many vectors, of the last of which half may do, or others of any width."""
        blocks = _blocks(vectors, isa.vectors)
        widths = range(isa.vectors, 0, -1) if any_width else dict.fromkeys(blocks)
        rows = isa.accumulators // (chains * max(widths))
        return Shape(
            max(1, min(rows, _TALLEST)), tuple(widths), half=blocks[-1] if half else 0, pairs=pairs
        )

    @staticmethod
    def single(isa: ISA, vectors: int, products: int, half: bool) -> Shape:
        """The shape for one row, of which so many products are done at once: the result's vectors
        in equal blocks, with the least padding."""
        most = max(1, min(8, isa.accumulators // products, vectors))
        widths = range(most, most // 2, -1)
        width = min(widths, key=lambda width: -(-vectors // width) * width)
        whole = width >= vectors
        return Shape(1, (width,), whole, half=width if half and whole else 0)

    @property
    def name(self) -> str:
        return f"{self.rows}x{'_'.join(map(str, self.widths))}{f'h{self.half}' * bool(self.half)}"

    def tile(self, chains: int) -> str:
        """The name of the tile whose sums are cut into so many chains."""
        return f"tile_{self.name}_{chains}"

    def covers(self, other: Shape) -> bool:
        """Whether tiles of this shape can be used as those of another."""
        return other.rows <= self.rows and {*other.sizes} <= {*self.sizes}

    @property
    def sizes(self) -> list[int]:
        """What tiles may calculate of a row, in halves of vectors."""
        return [2 * width for width in self.widths] + [2 * self.half - 1] * bool(self.half)

    def padded(self, units: int, lanes: int) -> int:
        """The units rounded up to whole vectors, or whole tiles if all are alike."""
        whole = lanes if len(self.widths) > 1 else self.widths[0] * lanes
        return math.ceil(units / whole) * whole

    def reads_within(self, units: int, lanes: int) -> bool:
        """Whether tiles read no more than so many units of a row of a matrix as it lies."""
        padded = self.padded(units, lanes)
        alike = len(self.widths) == 1 or not units
        last = self.widths[0] if alike else _blocks(padded // lanes, self.widths[0])[-1]
        spare = lanes // 2 if self.half == last and padded - units >= lanes // 2 else 0
        return padded - spare == units

    def slice_of(self, vectors: int, slices: int) -> int:
        """The vectors of a slice, if so many are to be cut into so many slices that tiles can do;
        there are fewer if they can't."""
        for each in range(max(1, -(-vectors // slices)), vectors):
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

    def halves(self, f: Function, size: Int, left: Int, lanes: int) -> Int:
        """What a tile calculates of a block of ``size`` units, of which ``left`` there are, in
        halves of vectors; a pair of blocks is calculated whole."""
        every = f.div(size, lanes // 2)
        if not self.half:
            return every
        spare = f.compare("sle", left, f.sub(size, lanes // 2))
        can = f.compare("eq", every, 2 * self.half)
        return f.select(f.op(f"and i1 {spare}, {can}"), f.sub(every, 1), every)

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


def define(module: Module, isa: ISA, dtype: str, panel: str, shape: Shape, chains: int) -> None:
    """Adds the tile to the module: one loop over ``k`` for each number of rows and vectors. For
    what ``b`` holds, ``panel``, see ``elements``."""
    f = Function(module, shape.tile(chains), PARAMS)
    v = Vector(f, isa, dtype)
    leave = f.name("leave")
    for halves in shape.sizes:
        here, after = f.name("width"), f.name("narrower")
        f.do(f"br i1 {f.compare('eq', '%halves', halves)}, label %{here}, label %{after}")
        f.label(here)
        cases = {m: f.name(f"case{m}x{halves}_") for m in range(1, shape.rows + 1)}
        table = " ".join(f"i64 {m}, label %{label}" for m, label in cases.items())
        f.do(f"switch i64 %rows, label %{leave} [ {table} ]")
        for m, label in cases.items():
            f.label(label)
            _sum(f, v, panel, m, halves, chains)
            f.do(f"br label %{leave}")
        f.label(after)
    if shape.pairs:
        with f.when(f.compare("eq", "%halves", 4 * shape.widths[0])):
            _sum(f, v, panel, 1, 2 * shape.widths[0], chains, blocks=2)
    f.do(f"br label %{leave}")
    f.label(leave)


def _sum(
    f: Function, v: Vector, panel: str, rows: int, halves: int, chains: int, blocks: int = 1
) -> None:
    """The loop over ``k`` for this many rows and halves of vectors, from init to acc; of so many
    blocks of a panel that lie behind one another."""
    acc, acc_row, init, init_row, a, a_k, b, b_k, k, _, _ = f.params
    kinds = vectors_of(v, halves)
    places = [(m, n * len(kinds) * v.lanes) for m in range(rows) for n in range(blocks)]
    factors = [
        Factor(f.load("ptr", a, m), a_k, f.gep(panel, b, f.mul(k, unit)), b_k, panel)
        for m, unit in places
    ]
    found = add_up(f, kinds, factors, k, chains)
    for (m, unit), sums in zip(places, found, strict=True):
        start = f.gep(v.dtype, init, f.add(f.mul(init_row, m), unit))
        goal = f.gep(v.dtype, acc, f.add(f.mul(acc_row, m), unit))
        for w, (mine, kind) in enumerate(zip(sums, kinds, strict=True)):
            begun = kind.load(f.gep(v.dtype, start, w * v.lanes))
            total = functools.reduce(kind.add, mine, begun)
            store_whole(v, kind, total, f.gep(v.dtype, goal, w * v.lanes))


def vectors_of(v: Vector, halves: int) -> list[Vector]:
    """Arithmetic on each of a row's vectors, of which the last may be half one."""
    return [v] * (halves // 2) + [v.half()] * (halves % 2)


def store_whole(v: Vector, kind: Vector, value: str, place: str) -> None:
    """Writes a whole vector, zeros above half one: what is written in parts is late when it is
    read as a whole."""
    v.store(value if kind is v else v.widened(value), place)


@dataclass(frozen=True)
class Factor:
    """What is multiplied: a row, the stride of k in it; a matrix, the stride of k in it."""

    a: str
    a_k: Int
    b: str
    b_k: Int
    panel: str  # what the matrix holds, see ``elements``
    begin: Int = 0  # the matrix begins so many elements behind ``b``


def add_up(
    f: Function, kinds: Sequence[Vector], factors: Sequence[Factor], k: Int, chains: int
) -> list[list[list[str]]]:
    """One loop over ``k`` for several products: of each factor, of each vector, the chains."""
    sums = [[[kind.number(0.0)] * chains for kind in kinds] for _ in factors]
    block = f.div(k, chains)
    every = range(chains)
    _accumulate(f, kinds, factors, sums, every, (0, block), block)
    if chains > 1:  # the remainder of the division goes to the last block
        _accumulate(f, kinds, factors, sums, every[-1:], (f.mul(block, chains), k), 0)
    return sums


def _accumulate(
    f: Function,
    kinds: Sequence[Vector],
    factors: Sequence[Factor],
    sums: list[list[list[str]]],
    chains: Sequence[int],
    span: tuple[Int, Int],
    block: Int,
) -> None:
    """Adds ``k`` of the span to some chains of the sums in place; chain ``c`` is ``c`` blocks
    ahead."""
    places = [(p, w, c) for p in range(len(factors)) for w in range(len(kinds)) for c in chains]
    v = kinds[0]

    def turn(index: Int, totals: list[str]) -> list[str]:
        total = dict(zip(places, totals, strict=True))
        for c in chains:
            position = f.add(index, f.mul(block, c))
            scalars: dict[tuple[str, Int], list[str]] = {}
            columns: dict[tuple[str, Int, Int], list[str]] = {}
            for p, factor in enumerate(factors):
                row, matrix = (factor.a, factor.a_k), (factor.b, factor.b_k, factor.begin)
                if matrix not in columns:
                    start = f.gep(factor.panel, factor.b, f.mul(position, factor.b_k))
                    start = f.gep(factor.panel, start, factor.begin)
                    columns[matrix] = elements.load(kinds, factor.panel, start)
                if row not in scalars:
                    place = f.gep(v.dtype, factor.a, f.mul(position, factor.a_k))
                    wide = v.broadcast(place)
                    if kinds[-1] is not v:
                        wide = v.opaque(wide)
                    scalars[row] = [wide if kind is v else v.lower(wide) for kind in kinds]
                for w, kind in enumerate(kinds):
                    before = total[p, w, c]
                    both = scalars[row][w], columns[matrix][w]
                    total[p, w, c] = elements.multiply_add(kind, factor.panel, *both, before)
        return [total[place] for place in places]

    types = [kinds[w].type for _, w, _ in places]
    found = f.carry(span, types, [sums[p][w][c] for p, w, c in places], turn)
    for (p, w, c), total in zip(places, found, strict=True):
        sums[p][w][c] = total
