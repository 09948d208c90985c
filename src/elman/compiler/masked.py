"""Masked matrices: products skip what a mask leaves out.

A block of units reads only some of the numbers that a row has. The rows of its panel that belong to
the others are not there, and a list says where along the sum each row belongs. Lists depend on the
masks and the sizes alone, so the table that has them is made once for each signature. A mask is
data: kernels of the same formula, whatever is masked, have the same code.
"""

from __future__ import annotations

import functools
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
from .plan import products_of
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
    """A matrix as products read it: what its mask keeps, of which units, over which ``k``."""

    mask: str
    transposed: bool
    units: Space
    k: Space


def masked_of(step: Step, program: Program) -> dict[Node, Masked]:
    """What the products of a program read."""
    found = {}
    for product in products_of(program):
        block, back = step.blocks["product", product.attr], product.op == "product_t"
        units, k = (block.columns, block.rows) if back else (block.rows, block.columns)
        found[product] = Masked(block.mask, back, units, k)
    return found


def numbers_of(step: Step, program: Program) -> dict[Node, int]:
    """For each product, which of the table's matrices it reads; gates have one in common."""
    every = masked_of(step, program)
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


def table(
    step: Step, program: Program, sizes: Sizes, padded: Sizes, width: int, depth: int
) -> array[int]:
    """The table for layers of these sizes, also in whole tiles, in blocks of ``width`` units; with
    ``depth`` numbers along the sum in each element of a panel."""
    matrices = dict.fromkeys(masked_of(step, program).values())
    found = array("q", [0] * len(matrices))
    for number, (mask, transposed, units, k) in enumerate(matrices):
        found[number] = len(found)
        size = sizes[units], sizes[k], padded[units]
        numbers = np.array(_blocks(mask, transposed, *size, width, depth), "q")
        blocks = -(-padded[units] // width)
        entries = numbers[: blocks * len(BLOCK)].reshape(blocks, -1)
        entries[:, 1:] += len(found)  # all but the counts are places
        found.frombytes(numbers.tobytes())
    return found


@functools.lru_cache(256)
def _blocks(
    mask: str, transposed: bool, units: int, k: int, padded: int, width: int, depth: int
) -> Sequence[int]:
    """The blocks of a matrix, then what their places lead to, as if the table began here."""
    grid = mask_grid(mask).T if transposed else mask_grid(mask)
    part = units // len(grid)
    reads = np.repeat(grid, k // grid.shape[1], 1)  # of a part's units, which numbers
    entries, behind = list[int](), list[int]()
    begin = -(-padded // width) * len(BLOCK)
    for first in range(0, padded, width):
        end = min(first + width, units)
        parts = range(first // part, -(-end // part)) if first < end else range(0)
        kept = reads[parts.start : parts.stop].any(0) if parts else np.zeros(k, bool)
        elements = np.pad(kept, (0, -k % depth)).reshape(-1, depth).any(1)
        kept = np.repeat(elements, depth)[:k]
        places = np.flatnonzero(elements).tolist()
        runs, holes, row = list[int](), list[int](), 0
        for start, stop in runs_of(kept):
            runs += [start, row, stop - start]
            row += stop - start
        for one in parts:
            own = max(one * part, first) - first, min((one + 1) * part, end) - first
            for start, stop in runs_of(~reads[one][kept]):
                holes += [*own, start, stop]
        at = [begin + len(behind)]
        for numbers in (places, runs, holes):
            behind += numbers
            at.append(begin + len(behind))
        entries += [row, at[0], at[1], at[2], at[2], at[3]]
    return entries + behind
