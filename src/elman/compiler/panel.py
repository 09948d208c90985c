"""Matrices as tiles read them, and when they are packed.

A call of many steps packs each matrix once. A call of one step reads each weight once, and packs
none unless it has many rows: there the panel is *unpacked*, no more than a name for the matrix,
which is multiplied as it lies. So it is in a backward pass of few rows and steps, whose matrices
lie as tiles read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..expr import Node
from ..spaces import HIDDEN, Matrix
from ..step import Step
from . import pack, tile, unpacked
from .formats import Format
from .frame import Frame
from .graph import Program
from .ir import Int, Module
from .masked import HOLE, RUN, KeptBlock, block_of, numbers_of
from .plan import product_groups_of, products_of
from .target import Target
from .tile import Factor, Shape
from .vector import literal
from .view import View

#: Units and rows, of both the first, one past the last.
Span = tuple[tuple[Int, Int], tuple[Int, Int]]


def define_tiles(module: Module, target: Target, heads: int, back: bool = False) -> None:
    """Adds the functions that multiply, and those that pack unless weights are packed beforehand,
    for both shapes of a kernel, and matrices of so many heads; ``back``: for a backward pass."""
    shapes = target.shapes(back)
    if not target.constant:
        pack.define_parts(module, target)
        target.panel.define(module, target.isa)
        for shape in shapes:
            pack.define(module, target, shape)
        if heads > 1 and target.heads == 1:
            pack.define_heads(module, target)
    steps = ((target.step, splits, target.panel) for _, splits in target.split_k)
    for shape, splits, panel in dict.fromkeys(((shapes[0], 1, target.panel_x), *steps)):
        if not module.defines(target.tile(shape, splits, back, panel)):
            tile.define(module, target.isa, target.dtype, panel, shape, splits)
        lies = not (
            target.panel.converts or panel.masked or target.constant or target.packs or back
        )
        if lies and not module.defines(unpacked.name(splits)):
            unpacked.define(module, target, splits)


def tallest(target: Target, shape: Shape) -> int:
    """The most rows that are multiplied at once in a forward pass: those of a tile, or as many as a
    vector has lanes if the panel is unpacked."""
    packs = target.packs or target.panel.converts or target.panel.masked
    if target.single or packs:
        return shape.rows
    return max(shape.rows, target.isa.lanes(target.dtype))


def height(frame: Frame, shape: Shape, rows: Int) -> Int:
    """How many of so many rows are multiplied at once in a forward pass."""
    lanes = frame.target.isa.lanes(frame.target.dtype)
    return frame.f.select(is_unpacked(frame), lanes, shape.height(frame.f, rows))


@dataclass(frozen=True)
class Heads:
    """The heads of a block-diagonal matrix ``(units, k)``, of which only these are stored: element
    ``(unit, k)`` of head h lies ``h * shift`` elements before its place in a whole matrix."""

    units: Int  # of a head
    k: Int
    shift: Int


@contextmanager
def blocks_of_step(frame: Frame, shape: Shape, span: tuple[Int, Int]) -> Iterator[tuple[Int, Int]]:
    """A loop over the units of a step's results by blocks, which do not cross heads."""
    f, lanes, heads = frame.f, frame.v.lanes, frame.target.heads
    if heads == 1:
        with shape.blocks(f, span[1], lanes, span[0]) as block:
            yield block
        return
    size = f.div(frame.padded(HIDDEN), heads)
    with f.loop(f.div(span[0], size), f.div(span[1], size)) as head:
        first = f.mul(head, size)
        with shape.blocks(f, f.add(first, size), lanes, first) as block:
            yield block


@dataclass(frozen=True)
class Panel:
    """A matrix ``(units, k)``, and where it is packed: from an element on of a memory that all
    panels share. Sizes are (units, padded units, k); a slice has so many units."""

    frame: Frame
    shape: Shape
    splits: int
    memory: str
    begin: Int
    matrix: View
    sizes: tuple[Int, Int, Int]
    slice_: Int
    format: Format
    heads: Heads | None = None
    number: int = 0  # of those that lie beside one another, row by row, which it is
    beside: int = 1  # and how many they are
    masked: int | None = None  # if it is, which of the table's matrices it is

    @property
    def cut(self) -> Heads | None:
        """The heads, if each has blocks of units, and so sums, of its own."""
        return self.heads if self.frame.target.heads > 1 else None

    @property
    def k(self) -> Int:
        """How many products a sum has."""
        return self.cut.k if self.cut else self.sizes[2]

    @property
    def length(self) -> Int:
        """Its rows, over which a tile sums up."""
        return self.format.length(self.frame.f, self.k)

    @property
    def block_rows(self) -> Int:
        """Its rows in memory."""
        return self.format.block_rows(self.frame.f, self.length)

    def operand(self, row: View, unit: Int) -> View:
        """What a block of units from one on is multiplied with, of a row."""
        if not self.cut:
            return row
        f, depth = self.frame.f, self.frame.target.panel.depth
        return row.past(f.div(f.mul(f.div(unit, self.cut.units), self.cut.k), depth))

    def fill(self, first: Int, last: Int) -> None:
        """Packs the matrix from one slice of units to another, unless the panel is unpacked."""
        f, frame, padded, slice_ = self.frame.f, self.frame, self.sizes[1], self.slice_
        stop = f.min(f.mul(last, slice_), padded)
        with (
            f.when(f.compare("eq", frame.slot("unpacked"), 0)),
            f.loop(f.mul(first, slice_), stop, slice_) as unit,
        ):
            size = f.min(f.sub(padded, unit), slice_)
            if not frame.target.panel.converts and not self.heads and self.masked is None:
                self._pack(self._block(unit), unit, size)
            else:
                self._pack_blocks(unit, size)

    def _pack_blocks(self, first: Int, size: Int) -> None:
        """Packs a slice of units block by block: as it is, then in the panel's format."""
        f, frame, panel = self.frame.f, self.frame, self.frame.target.panel
        span = first, f.add(first, size)
        blocks: AbstractContextManager[tuple[Int, Int]]
        blocks = self.shape.blocks(f, span[1], frame.v.lanes, first)
        if self.cut:
            blocks = blocks_of_step(frame, self.shape, span)
        with blocks as (unit, count):
            if not panel.converts:
                self._pack(self._block(unit), unit, count)
            else:
                block = frame.scratch("block").base
                self._pack(block, unit, count)
                k = self.k if self.masked is None else self.kept(unit).count
                panel.convert(f, self._block(unit), block, count, k)

    def _pack(self, to: str, unit: Int, size: Int) -> None:
        """Packs so many units from one on."""
        f, (units, _, k), heads, strides = self.frame.f, self.sizes, self.heads, self.matrix.strides
        if self.masked is not None:
            self._pack_kept(to, unit, size)
            return
        if heads and not self.cut:  # all in one, with zeros between them
            given = *strides, unit, units, size, k, heads.units, heads.k, heads.shift
            f.call(pack.HEADS, ("ptr", to), ("ptr", self.matrix.base), *(("i64", x) for x in given))
            return
        place = self.matrix.at(unit)
        if heads:
            before = f.sub(f.mul(heads.k, strides[1]), heads.shift)
            place = f.gep(self.matrix.kind, place, f.mul(f.div(unit, heads.units), before))
        numbers = [("i64", x) for x in (*strides, f.sub(units, unit), size, self.k)]
        f.call(f"pack_{self.shape.name}", ("ptr", to), ("ptr", place), *numbers)

    def _pack_kept(self, to: str, unit: Int, size: Int) -> None:
        """Packs a block of a masked matrix."""
        f, strides, kept = self.frame.f, self.matrix.strides, self.kept(unit)
        goals = View(f, self.frame.v.dtype, to, (size, 1))
        with kept.each("runs", RUN) as (k, row, count):
            numbers = *strides, f.sub(self.sizes[0], unit), size, count
            places = ("ptr", goals.at(row)), ("ptr", self.matrix.at(unit, k))
            f.call(f"pack_{self.shape.name}", *places, *(("i64", n) for n in numbers))
        with (
            kept.each("holes", HOLE) as (first, end, row, stop),
            f.loop(row, stop) as i,
            f.loop(first, end) as u,
        ):
            goals.store(literal(0.0), i, u)

    def kept(self, unit: Int) -> KeptBlock:
        """Of a masked matrix, the block of units from one on."""
        assert self.masked is not None
        return block_of(self.frame, self.masked, unit)

    def sum_of(self, unit: Int) -> tuple[Int, View | None]:
        """The rows of the block of units from one on; if not all are there, where along the sum
        they belong."""
        if self.masked is None:
            return self.length, None
        kept = self.kept(unit)
        return self.format.length(self.frame.f, kept.count), kept.places

    def multiply(
        self,
        block: tuple[Int, Int],
        acc: View,
        init: View,
        a: tuple[str, Int],
        rows: Int,
        known_unpacked: bool = False,
        lanes: Callable[[], tuple[str, Int]] | None = None,
    ) -> None:
        """A tile with the block, or the pair of them, of so many units from a unit on; ``acc`` and
        ``init`` are views of rows and units, for the rest see ``tile``. Whether the panel is
        unpacked is asked of the call, unless it is known. Unless units lie side by side, the rows
        may have to be put in ``lanes`` then, see :meth:`lanes`."""
        f, frame, (unit, size) = self.frame.f, self.frame, block
        k, places = self.sum_of(unit)
        if places is not None:
            a = a[0], f.op(f"ptrtoint ptr {places.base} to i64")
        matrix = self.matrix.past(unit)

        def with_tile(b: View) -> None:
            name = frame.target.tile(self.shape, self.splits, not lanes, self.format)
            frame.call_tile(name, acc, init, a, b, (k, rows, f.div(size, frame.v.lanes)))

        def packed() -> None:
            most = self.shape.widths[0] * frame.v.lanes
            row = f.min(size, most) if self.shape.pairs else size
            place = self._block(unit, f.mul(row, self.number))
            with_tile(View(f, frame.target.panel.kind, place, (f.mul(row, self.beside), 1)))

        def as_it_lies() -> None:
            if not lanes:
                with_tile(matrix.transposed)
                return
            left = f.sub(self.sizes[0], unit)
            given: tuple[Int, ...] = acc.base, acc.strides[0], init.base, init.strides[0], a[0]
            given += matrix.base, matrix.strides[0], left, *lanes(), size, k, rows
            names = zip(unpacked.PARAMS, given, strict=True)
            f.call(unpacked.name(self.splits), *((kind, value) for (kind, _), value in names))

        f.branch("true" if known_unpacked else is_unpacked(frame), as_it_lies, packed)

    def factor(self, block: tuple[Int, Int], a: View, places: View | None = None) -> Factor:
        """One row times a block of units of the packed panel; ``places`` are those of its rows."""
        (unit, size), f = block, self.frame.f
        start = self._element(f.mul(unit, f.mul(self.block_rows, self.beside)))
        row = f.mul(size, self.beside)
        begin = f.add(self.begin, f.mul(size, self.number))
        return Factor(a, View(a.f, self.frame.target.panel.kind, start, (row, 1)), begin, places)

    def behind(self, block: tuple[Int, Int]) -> str:
        """Where what lies behind a block of the packed panel begins."""
        return self._block(self.frame.f.add(*block))

    def _block(self, unit: Int, more: Int = 0) -> str:
        """Where the block of units from ``unit`` on lies, or an element of its first row."""
        f = self.frame.f
        start = f.mul(unit, f.mul(self.block_rows, self.beside))
        return self._element(f.add(f.add(start, self.begin), more))

    def _element(self, index: Int) -> str:
        return View(self.frame.f, self.frame.target.panel.kind, self.memory).at(index)

    def lanes(self, unit: Int, row: Int, every: Span, again: bool = False) -> tuple[str, Int]:
        """Where the rows from one on are put in lanes if the panel is unpacked, and whether they
        are yet to be: at the first of every unit if there is room for every row, where the panel
        would be packed, or else at each; not if this is done ``again``, for another panel."""
        f, (units, rows) = self.frame.f, every
        memory = self._block(f.mul(f.div(unit, self.slice_), self.slice_))
        room = f.compare("sle", f.sub(rows[1], rows[0]), f.sub(units[1], units[0]))
        number = f.select(room, f.sub(row, rows[0]), 0)
        first = f.op(f"zext i1 {f.compare('eq', unit, units[0])} to i64")
        fresh = 0 if again else f.select(room, first, 1)
        return View(f, self.frame.v.dtype, memory, (self.sizes[2],)).at(number), fresh


def is_unpacked(frame: Frame) -> str:
    """Whether panels are unpacked in this call."""
    return frame.f.compare("ne", frame.slot("unpacked"), 0)


class Place(NamedTuple):
    """Where a panel lies: behind so many others, and beside others as which of how many."""

    behind: Int
    number: int = 0
    beside: int = 1


def places(target: Target, panel: Format, groups: Iterable[Sequence[Node]]) -> dict[Node, Place]:
    """Where panels lie, of which those of a group are read at once.

    In code for one layer these lie beside one another, row by row: a loop reads one stream of
    memory, which the caches bring faster than several.
    """
    found, beside = dict[Node, Place](), target.beside(panel)
    for group in groups:
        behind = len(found)
        for i, one in enumerate(group):
            found[one] = Place(behind, i, len(group)) if beside else Place(behind + i)
    return found


def places_of(target: Target, program: Program) -> dict[Node, Place]:
    """Where the panels of a program's products lie."""
    alone = [products_of(program)]
    beside = target.beside(target.panel)
    return places(target, target.panel, product_groups_of(program) if beside else alone)


def columns_at_once(target: Target, columns: Sequence[Node]) -> list[Sequence[Node]]:
    """The projected inputs that registers have room for in one loop over the features of a row."""
    most = max(1, target.isa.accumulators // target.front.widths[0])
    return [columns[i : i + most] for i in range(0, len(columns), most)]


def panels_of(frame: Frame, step: Step, program: Program) -> dict[Node, Panel]:
    """The panels of a program's products. All have the same room, whatever their spaces: where all
    units are one block, it is a number, and one pointer leads to all panels."""
    at_once = {p: len(group) for group in product_groups_of(program) for p in group}
    masked = numbers_of(frame.target, step, program) if frame.target.panel.masked else {}
    found = {}
    for product, place in places_of(frame.target, program).items():
        panel = _panel_of(frame, step, product, place, at_once[product])
        found[product] = replace(panel, masked=masked[product]) if masked else panel
    return found


def each_panel(frame: Frame, step: Step, program: Program) -> Iterator[Panel]:
    """The same one by one as they lie behind one another, to be filled."""
    if frame.target.panel.masked:  # each has lists of its own
        yield from panels_of(frame, step, program).values()
        return
    products = products_of(program)
    blocks = [(step.blocks["product", p.attr], p.op == "product_t") for p in products]
    at_once = len(product_groups_of(program)[0]) if products else 0  # of no matter here
    for one, number, behind in _each(frame, blocks):
        yield _panel_of(frame, step, products[one], Place(behind), at_once, number)


def each_panel_x(
    frame: Frame, step: Step, gates: Sequence[str], back: bool = False
) -> Iterator[tuple[Int, Panel]]:
    """Panels of ``weight_ih`` that lie behind one another, one by one, with their numbers; see
    :func:`panel_x`."""
    for one, number, behind in _each(frame, [(step.blocks["x", gate], back) for gate in gates]):
        yield behind, panel_x(frame, step, gates[one], Place(behind), back, number)


def _each(frame: Frame, blocks: Sequence[tuple[Matrix, bool]]) -> Iterator[tuple[int, Int, Int]]:
    """Matrices one by one, transposed or not: which of them, the number of its block, and how many
    lie before it. If all are blocks of one parameter this is a loop, in which the first stands for
    the others."""
    alike = {(replace(block, block=0), back) for block, back in blocks}
    if len(blocks) < 2 or len(alike) > 1:
        yield from ((i, block.block, i) for i, (block, _) in enumerate(blocks))
        return
    with frame.f.loop(0, len(blocks)) as i:
        yield 0, frame.f.one_of([block.block for block, _ in blocks], i), i


def _panel_of(
    frame: Frame,
    step: Step,
    product: Node,
    place: Place,
    at_once: int,
    number: Int | None = None,
) -> Panel:
    """That of a product of which a stage has so many, or of a block of the same parameter."""
    f, target = frame.f, frame.target
    row = frame.padded(target.row)
    room = f.mul(row, _block_rows(frame, target.panel, row))
    of = step.blocks["product", product.attr], product.op == "product_t", number
    return _panel(frame, target.step, target.splits_of(at_once), "panels", place, room, *of)


def panel_x(
    frame: Frame,
    step: Step,
    gate: str,
    place: Place,
    back: bool = False,
    number: Int | None = None,
) -> Panel:
    """A panel of ``weight_ih``, the rows of a gate, or of the block of a number; ``back``: those of
    its columns."""
    block, shape = step.blocks["x", gate], frame.target.bulk if back else frame.target.front
    units, k = (block.columns, block.rows) if back else (block.rows, block.columns)
    panel = frame.target.panel_x
    room = frame.f.mul(frame.padded(units), _block_rows(frame, panel, frame.units(k)))
    return _panel(frame, shape, 1, "panels_x", place, room, block, back, number)


def _block_rows(frame: Frame, panel: Format, k: Int) -> Int:
    """The rows in memory of a panel whose sums have ``k`` products."""
    return panel.block_rows(frame.f, panel.length(frame.f, k))


def _panel(
    frame: Frame,
    shape: Shape,
    splits: int,
    memory: str,
    place: Place,
    room: Int,
    block: Matrix,
    back: bool,
    number: Int | None = None,
) -> Panel:
    """The panel of a matrix, or of the transposed one for a way back, each in so much room."""
    matrix, units, k = frame.block(block, number), block.rows, block.columns
    if back:
        matrix, units, k = matrix.transposed, k, units
    sizes = frame.units(units), frame.padded(units), frame.units(k)
    heads = None
    if block.heads > 1:
        f, (of_units, of_k) = frame.f, (frame.f.div(n, block.heads) for n in (sizes[0], sizes[2]))
        shift = f.mul(of_units, matrix.strides[0]) if back else f.mul(of_k, matrix.strides[1])
        heads = Heads(of_units, of_k, shift)
    base, slice_ = frame.scratch(memory).base, frame.slot(units.stored.slice)
    begin = frame.f.mul(room, place.behind)
    target = frame.target
    panel = target.panel if memory == "panels" else target.panel_x
    lies = panel, heads, place.number, place.beside
    return Panel(frame, shape, splits, base, begin, matrix, sizes, slice_, *lies)
