"""The tile: the one kernel that does all products.

``acc[m][v] = init[m][v] + sum over k of a[m][k] * b[k][v]`` for a few rows ``m`` and vectors
``v`` at once, the accumulators in registers. The operand's rows are reached through pointers,
one a row, so that rows can lie anywhere (another step, another tensor); the other operand is a
packed panel, or any matrix whose rows hold contiguous vectors.

**Order of summation.** The sum over ``k`` is cut into ``chains`` contiguous blocks which run
side by side; the first starts from ``init``, and they are added from first to last. The cut
depends on the length of the sum alone, and not on the number of rows or vectors at hand: a
row's result has the same bits in every tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .ir import Function, Int, Module
from .isa import ISA
from .vector import Vector

#: acc, stride of its rows; init, stride of its rows (0: one row for all); pointers to the rows
#: of a, stride of k in a; b, stride of k in b; length of the sum; rows; vectors. Strides count
#: elements.
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
    ("i64", "width"),
)


@dataclass(frozen=True)
class Shape:
    """Up to how many rows a tile has, how many vectors it may have (widest first), and into how
    many chains its sums are cut."""

    rows: int
    widths: tuple[int, ...]
    chains: int

    @staticmethod
    def many(isa: ISA, chains: int) -> Shape:
        """The shape for products of many rows: as many accumulators as the registers hold."""
        widest = min(isa.vectors, 2) if chains == 4 else isa.vectors  # of a result, see isa.chains
        rows = isa.rows * isa.vectors // (chains * widest)
        return Shape(max(1, rows), tuple(range(widest, 0, -1)), chains)

    @staticmethod
    def single(isa: ISA, dtype: str, chains: int, units: int) -> Shape:
        """The shape for products of one row: its vectors in equal blocks of at most eight."""
        vectors = math.ceil(units / isa.lanes(dtype))
        blocks = math.ceil(vectors / 8)
        return Shape(1, (math.ceil(vectors / blocks),), chains)

    @property
    def name(self) -> str:
        return f"tile_{self.rows}x{'_'.join(map(str, self.widths))}_{self.chains}"

    def padded(self, units: int, lanes: int) -> int:
        """The units rounded up to whole tiles."""
        whole = self.widths[-1] * lanes
        return math.ceil(units / whole) * whole

    def width(self, f: Function, left: Int, lanes: int) -> Int:
        """How many vectors the next tile of a row takes if so many units are left: blocks as equal
        as can be, since a narrow one loads more than it multiplies."""
        most, *narrower = self.widths
        if not narrower:
            return most
        vectors = f.div(left, lanes)
        blocks = f.div(f.add(vectors, most - 1), most)
        return f.div(f.add(vectors, f.sub(blocks, 1)), blocks)

    @property
    def heights(self) -> tuple[int, ...]:
        """For how many rows there is a loop; other numbers are added up of these."""
        return (self.rows, *(m for m in (4, 2, 1) if m < self.rows))


def define(module: Module, isa: ISA, dtype: str, shape: Shape) -> None:
    """Adds the tile to the module: one loop over ``k`` for each number of rows and vectors."""
    f = Function(module, shape.name, PARAMS)
    v = Vector(f, isa, dtype)
    leave = f.name("leave")
    for width in shape.widths:
        here, after = f.name("width"), f.name("narrower")
        f.do(f"br i1 {f.compare('eq', '%width', width)}, label %{here}, label %{after}")
        f.label(here)
        other, cases = f.name("other"), {m: f.name(f"case{m}x{width}_") for m in shape.heights}
        table = " ".join(f"i64 {m}, label %{cases[m]}" for m in shape.heights)
        f.do(f"switch i64 %rows, label %{other} [ {table} ]")
        for m, label in cases.items():
            f.label(label)
            _sum(f, v, m, width, shape.chains)
            f.do(f"br label %{leave}")
        f.label(other)
        if set(shape.heights) < set(range(1, shape.rows + 1)):
            _split(f, v, shape)
        f.do(f"br label %{leave}")
        f.label(after)
    f.do(f"br label %{leave}")
    f.label(leave)


def _split(f: Function, v: Vector, shape: Shape) -> None:
    """Other numbers of rows: as many as there is a loop for, then the rest."""
    acc, acc_row, init, init_row, a, *others, rows, width = f.params
    part: Int = 1
    for m in reversed(shape.heights):
        part = f.select(f.compare("sge", rows, m), m, part)
    for first, count in ((0, part), (part, f.sub(rows, part))):
        sums = f.gep(v.dtype, acc, f.mul(first, acc_row)), acc_row
        begun = f.gep(v.dtype, init, f.mul(first, init_row)), init_row
        values = *sums, *begun, f.gep("ptr", a, first), *others, count, width
        given = zip(PARAMS, values, strict=True)
        f.call(shape.name, *((kind, value) for (kind, _), value in given))


def _sum(f: Function, v: Vector, rows: int, width: int, chains: int) -> None:
    """The loop over ``k`` for this many rows and vectors, from init to acc."""
    acc, acc_row, init, init_row, a, a_k, b, b_k, k, _, _ = f.params
    pointers = [f.load("ptr", a, m) for m in range(rows)]
    places = [(m, w) for m in range(rows) for w in range(width)]
    sums: list[dict[tuple[int, int], str]] = [
        {(m, w): v.number(0.0) for m, w in places} for _ in range(chains)
    ]
    for m, w in places:
        start = f.gep(v.dtype, init, f.add(f.mul(init_row, m), w * v.lanes))
        sums[0][m, w] = v.load(start)
    block = f.div(k, chains)
    _accumulate(f, v, sums, pointers, 0, block, block, (a_k, b, b_k), width)
    if chains > 1:  # the remainder of the division goes to the last block
        rest = sums[-1:]
        _accumulate(f, v, rest, pointers, f.mul(block, chains), k, 0, (a_k, b, b_k), width)
        sums[-1:] = rest
    for m, w in places:
        total = sums[0][m, w]
        for chain in sums[1:]:
            total = v.add(total, chain[m, w])
        v.store(total, f.gep(v.dtype, acc, f.add(f.mul(acc_row, m), w * v.lanes)))


def _accumulate(
    f: Function,
    v: Vector,
    sums: list[dict[tuple[int, int], str]],
    pointers: list[str],
    start: Int,
    stop: Int,
    block: Int,
    operands: tuple[str, str, str],
    width: int,
) -> None:
    """Adds ``k`` from start to stop to the sums in place; chain ``c`` is ``c`` blocks ahead."""
    a_k, b, b_k = operands
    head, body, leave = f.name("khead"), f.name("kbody"), f.name("kleave")
    index, following = "%" + f.name("k"), "%" + f.name("knext")
    before = f.block
    f.do(f"br label %{head}")
    f.label(head)
    f.do(f"{index} = phi i64 [ {start}, %{before} ], [ {following}, %{body} ]")
    names: list[dict[tuple[int, int], tuple[str, str]]] = []
    for chain in sums:
        names.append({place: ("%" + f.name("s"), "%" + f.name("t")) for place in chain})
        for place, (now, after) in names[-1].items():
            f.do(f"{now} = phi {v.type} [ {chain[place]}, %{before} ], [ {after}, %{body} ]")
    f.do(f"br i1 {f.compare('slt', index, stop)}, label %{body}, label %{leave}")
    f.label(body)
    for c in range(len(sums)):
        position = f.add(index, f.mul(block, c))
        row_of_b = f.gep(v.dtype, b, f.mul(position, b_k))
        columns = [v.load(f.gep(v.dtype, row_of_b, w * v.lanes)) for w in range(width)]
        step = f.mul(position, a_k)
        for m, pointer in enumerate(pointers):
            scalar = v.broadcast(f.gep(v.dtype, pointer, step))
            for w in range(width):
                now, after = names[c][m, w]
                value = v.fma(scalar, columns[w], now)
                f.do(f"{after} = bitcast {v.type} {value} to {v.type}")
    f.do(f"{following} = add i64 {index}, 1")
    f.do(f"br label %{head}")
    f.label(leave)
    for c, chain in enumerate(sums):
        for place in chain:
            chain[place] = names[c][place][0]
