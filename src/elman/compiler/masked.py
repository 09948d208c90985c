"""Masked matrices: products skip what a mask leaves out.

A block of units reads only some of the numbers that a row has. The rows of its panel that belong to
the others are not there, and a list says where along the sum each row belongs. A sum that is cut
has its parts where they were, each filled up with zeros. So its order stays, and a masked matrix
has the bits of a whole one with zeros in it.

Lists depend on the masks and the sizes alone, so the table that has them is made once for each
signature. It is data: kernels of the same formula have the same code, whatever is masked.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..expr import Node
from ..spaces import Sizes, Space, mask_grid
from ..step import Step
from .frame import Frame
from .graph import Program
from .ir import Int
from .plan import product_groups_of
from .target import Target
from .view import View

#: Of a block of units: how many numbers of a row it reads, and where in the table the following
#: begin: the list of their places along the sum, the runs and the holes, each up to an end.
BLOCK = ("count", "list", "runs", "runs.end", "holes", "holes.end")
#: Numbers that are neighbours in the matrix: the first, its row of the panel, how many.
RUN = ("k", "row", "count")
#: What is zero all the same, as other units of the block read it: units of the block and rows of
#: its panel, each from one to another.
HOLE = ("unit", "unit.end", "row", "row.end")
#: The slot of the table. It begins with the place of the blocks of each matrix.
SLOT = "masks"


class Masked(NamedTuple):
    """A matrix as products read it: what its mask keeps, of which units, over which ``k``, and into
    how many parts their sums are cut."""

    mask: str
    transposed: bool
    units: Space
    k: Space
    splits: int


def masked_of(target: Target, step: Step, program: Program) -> dict[Node, Masked]:
    """What the products of a program read."""
    found = {}
    for group in product_groups_of(program):
        for product in group:
            block, back = step.blocks["product", product.attr], product.op == "product_t"
            units, k = (block.columns, block.rows) if back else (block.rows, block.columns)
            splits = target.splits_of(len(group))
            found[product] = Masked(block.mask, back, units, k, splits)
    return found


def numbers_of(target: Target, step: Step, program: Program) -> dict[Node, int]:
    """For each product, which of the table's matrices it reads; gates have one in common."""
    every = masked_of(target, step, program)
    order = [*dict.fromkeys(every.values())]
    return {product: order.index(matrix) for product, matrix in every.items()}


@dataclass(frozen=True)
class KeptBlock:
    """A block of units as code reads it of the table."""

    table: View
    entry: View

    @property
    def count(self) -> str:
        """How many numbers of a row it reads."""
        return self.entry.load(BLOCK.index("count"))

    @property
    def places(self) -> View:
        """Where along the sum the rows of its panel belong."""
        return self.table.past(self.entry.load(BLOCK.index("list")))

    @contextmanager
    def each(self, name: str, kinds: Sequence[str]) -> Iterator[list[str]]:
        """A loop over its runs or holes."""
        first, end = (self.entry.load(BLOCK.index(at)) for at in (name, f"{name}.end"))
        with self.table.f.loop(first, end, len(kinds)) as at:
            yield [self.table.load(self.table.f.add(at, i)) for i in range(len(kinds))]


def block_of(frame: Frame, number: int, unit: Int) -> KeptBlock:
    """The block of a matrix' units that begins at one."""
    f, table = frame.f, View(frame.f, "i64", frame.pointer(SLOT))
    index = f.div(unit, frame.target.step.widths[0] * frame.v.lanes)
    entry = f.add(table.load(number), f.mul(index, len(BLOCK)))
    return KeptBlock(table, table.past(entry))


def runs_of(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where neighbours are true: each from one to another."""
    ends = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return [(int(start), int(stop)) for start, stop in ends.reshape(-1, 2)]


def table(target: Target, step: Step, program: Program, sizes: Sizes, padded: Sizes) -> array[int]:
    """The table for layers of these sizes, also in whole tiles."""
    matrices = dict.fromkeys(masked_of(target, step, program).values())
    width = target.step.widths[0] * target.isa.lanes(target.dtype)
    found = array("q", [0] * len(matrices))
    for number, (mask, back, units, k, splits) in enumerate(matrices):
        grid, size = mask_grid(mask), (sizes[units], sizes[k], padded[units])
        found[number] = len(found)
        blocks = _Blocks(grid.T if back else grid, *size, width, splits, target.panel.depth)
        found.extend(blocks.numbers(len(found)))
    return found


class _Blocks(NamedTuple):
    """The blocks of a matrix, each of ``width`` units; in a panel, ``depth`` numbers along the sum
    are an element."""

    grid: NDArray[np.bool_]
    units: int
    k: int
    padded: int
    width: int
    splits: int
    depth: int

    def numbers(self, begin: int) -> list[int]:
        """All numbers of them, where the table has so many before."""
        entries, behind = list[int](), list[int]()
        begin += -(-self.padded // self.width) * len(BLOCK)
        for first in range(0, self.padded, self.width):
            count, *lists = self._block(first)
            ends = []
            for numbers in lists:
                behind += numbers
                ends.append(begin + len(behind))
            places, runs, holes = ends
            entries += [count, places - len(lists[0]), places, runs, runs, holes]
        return entries + behind

    def _block(self, first: int) -> tuple[int, list[int], list[int], list[int]]:
        """Of the block of units from one on, how many numbers it reads, their places, its runs and
        holes."""
        part, end = self.units // self.grid.shape[0], min(first + self.width, self.units)
        parts = range(first // part, -(-end // part)) if first < end else range(0)
        reads = {one: np.repeat(self.grid[one], self.k // self.grid.shape[1]) for one in parts}
        kept = np.array([np.zeros(self.k, bool), *reads.values()]).any(0)
        elements = np.pad(kept, (0, -self.k % self.depth)).reshape(-1, self.depth).any(1)
        length = -(-self.k // self.depth) // self.splits
        *cut, rest = np.split(elements, [length * (i + 1) for i in range(self.splits)])
        most = max(np.count_nonzero(mine) for mine in cut)
        places = np.full(self.splits * most, -2)  # which no neighbour follows
        for i, mine in enumerate(cut):
            there = np.flatnonzero(mine)
            places[i * most : i * most + len(there)] = i * length + there
        places = np.append(places, self.splits * length + np.flatnonzero(rest))
        rows = (places[:, None] * self.depth + np.arange(self.depth)).ravel()  # of the matrix
        rows = rows[: self.k]
        real = (rows >= 0) & (rows < self.k)
        begins = real & (np.diff(rows, prepend=-2) != 1)
        ends = real & np.append((begins | ~real)[1:], True)
        runs = list[int]()
        pairs = zip(np.flatnonzero(begins).tolist(), np.flatnonzero(ends).tolist(), strict=True)
        for row, last in pairs:
            runs += [int(rows[row]), row, last - row + 1]
        holes = [n for hole in runs_of(~real) for n in (0, self.width, *hole)]  # what fills up
        for one, mine in reads.items():
            own = max(one * part, first) - first, min((one + 1) * part, end) - first
            missing = real & ~mine[np.where(real, rows, 0)]
            holes += [n for hole in runs_of(missing) for n in (*own, *hole)]
        return len(rows), np.maximum(places, 0).tolist(), runs, holes
