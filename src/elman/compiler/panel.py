"""Matrices as tiles read them, and when they are packed.

A call of many steps packs each matrix once. A call of one step reads each weight once, and packs
none unless it has many rows: there the panel is *fleeting*, no more than a name for the matrix,
which is multiplied as it lies. So it is in a backward pass of few rows and steps, whose matrices
lie as tiles read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..expr import Node
from ..spaces import HIDDEN, Matrix
from ..step import Step
from . import across, elements, pack, tile, turned
from .frame import Frame
from .graph import Program
from .ir import Function, Int, Module
from .plan import bundles_of, products_of
from .target import Target
from .tile import Factor, Shape

#: acc, init and a, with their strides; a matrix from some unit on: address, stride of its units,
#: units that there are; memory for the rows of a, turned, and whether they are yet to be; units of
#: the block, length of the sum, rows.
_PARAMS = (
    *(*tile.PARAMS[:5], ("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "units")),
    *(("ptr", "turned"), ("i64", "fresh"), ("i64", "size"), ("i64", "k"), ("i64", "rows")),
)
Span = tuple[tuple[Int, Int], tuple[Int, Int]]  # units and rows, of both the first and last but one


def define_tiles(module: Module, target: Target, back: bool = False) -> None:
    """Adds the functions that multiply, and those that pack, for both shapes of a kernel; ``back``:
    for a backward pass."""
    pack.define_parts(module, target)
    if target.couples:
        elements.define_couples(module, target.isa)
    elif target.narrow:
        elements.define_narrow(module, target.isa)
    shapes = target.shapes(back)
    for shape in shapes:
        pack.define(module, target, shape)
    steps = ((target.step, chains) for _, chains in target.chains)
    for shape, chains in dict.fromkeys(((shapes[0], 1), *steps)):
        if not module.defines(target.tile(shape, chains, back)):
            tile.define(module, target.isa, target.dtype, target.panel, shape, chains)
        if not target.narrow and not back and not module.defines(_fleeting(chains)):
            _define_fleeting(module, target, chains)


def _fleeting(chains: int) -> str:
    """The function that stands in for a tile where a panel is fleeting."""
    return f"fleeting_{chains}"


def _define_fleeting(module: Module, target: Target, chains: int) -> None:
    """A few rows, see :func:`height`, times some units of a matrix whose ``k`` lie side by side."""
    isa, dtype = target.isa, target.dtype
    heights = turned.heights(isa, dtype, target.single)
    for most in heights:
        turned.define(module, isa, dtype, most, chains)
    if not target.single:
        across.define(module, isa, dtype, chains)
    f = Function(module, _fleeting(chains), _PARAMS)

    def call(function: str, params: tuple[tuple[str, str], ...]) -> Int:
        f.call(function, *((kind, f"%{name}") for kind, name in params))
        return 0

    def crosswise() -> Int:
        with f.when(f.compare("ne", "%fresh", 0)):
            call("turn_rows", across.ROWS)
        return call(across.name(chains), across.PARAMS)

    def few(most: int, *more: int) -> Int:
        def fits() -> Int:
            return call(turned.name(most, chains), turned.PARAMS)

        if target.single:
            return fits()
        others = (lambda: few(*more)) if more else crosswise
        return f.either(f.compare("sle", "%rows", most), "i64", fits, others)

    if heights:
        few(*heights)
    else:
        crosswise()


def tallest(target: Target, shape: Shape) -> int:
    """The most rows that are multiplied at once in a forward pass: those of a tile, or as many as a
    vector has lanes if the panel is fleeting."""
    if target.single or target.narrow:
        return shape.rows
    return max(shape.rows, target.isa.lanes(target.dtype))


def height(frame: Frame, shape: Shape, rows: Int) -> Int:
    """How many of so many rows are multiplied at once in a forward pass."""
    lanes = frame.target.isa.lanes(frame.target.dtype)
    return frame.f.select(fleeting_in(frame), lanes, shape.height(frame.f, rows))


@dataclass(frozen=True)
class Panel:
    """A matrix and where it is packed: from an element on of a memory that all panels share.
    Strides are those of (units, k), sizes are (units, padded units, k)."""

    frame: Frame
    shape: Shape
    chains: int
    memory: str
    begin: Int
    matrix: str
    strides: tuple[Int, Int]
    sizes: tuple[Int, Int, Int]

    @property
    def length(self) -> Int:
        """Its rows, over which a tile sums up."""
        return elements.length(self.frame.f, self.frame.target.panel, self.sizes[2])

    def fill(self) -> None:
        """Packs the whole matrix, unless the panel is fleeting."""
        f, frame, padded = self.frame.f, self.frame, self.sizes[1]
        slice_ = frame.slot("unit.slice")
        with (
            f.when(f.compare("eq", frame.slot("fleeting"), 0)),
            f.loop(0, padded, slice_) as unit,
        ):
            size = f.min(f.sub(padded, unit), slice_)
            if frame.target.narrow:
                self._fill_narrow(unit, size)
            else:
                self._pack(self._block(unit), unit, size)

    def _fill_narrow(self, first: Int, size: Int) -> None:
        """Packs a slice of units block by block: as it is, then narrower."""
        f, frame, k = self.frame.f, self.frame, self.sizes[2]

        stop, lanes = f.add(first, size), frame.v.lanes
        with self.shape.blocks(f, stop, lanes, first) as (unit, count):
            block = ("ptr", self._block(unit)), ("ptr", frame.buffer("block"))
            self._pack(frame.buffer("block"), unit, count)
            if frame.target.couples:
                f.call("couple", *block, ("i64", count), ("i64", count), ("i64", k))
            else:
                f.call("narrow", *block, ("i64", count), ("i64", k))

    def _pack(self, to: str, unit: Int, size: Int) -> None:
        """Packs so many units from one on."""
        f, frame, (units, _, k) = self.frame.f, self.frame, self.sizes
        matrix = frame.at(self.matrix, (unit, self.strides[0]))
        numbers = [("i64", x) for x in (*self.strides, f.sub(units, unit), size, k)]
        f.call(f"pack_{self.shape.name}", ("ptr", to), ("ptr", matrix), *numbers)

    def multiply(
        self,
        block: tuple[Int, Int],
        acc: tuple[str, Int],
        init: tuple[str, Int],
        a: tuple[str, Int],
        rows: Int,
        is_fleeting: str = "",
        turned: Callable[[], tuple[str, Int]] | None = None,
    ) -> None:
        """A tile with the block, or the pair of them, of so many units from a unit on; for the rest
        see ``tile``. Whether the panel is fleeting is asked of the call, unless it is known. Unless
        units lie side by side, the rows may have to be ``turned`` then, see there."""
        f, frame, (unit, size), k = self.frame.f, self.frame, block, self.length
        matrix, left = frame.at(self.matrix, (unit, self.strides[0])), f.sub(self.sizes[0], unit)

        def with_tile(b: tuple[str, Int]) -> Int:
            sizes = (k, rows, self.shape.halves(f, size, left, frame.v.lanes))
            name = frame.target.tile(self.shape, self.chains, back=not turned)
            frame.call_tile(name, acc, init, a, b, sizes)
            return 0

        def packed() -> Int:
            most = self.shape.widths[0] * frame.v.lanes
            return with_tile((self._block(unit), f.min(size, most) if self.shape.pairs else size))

        def fleeting() -> Int:
            if not turned:
                return with_tile((matrix, self.strides[1]))
            given = *acc, *init, a[0], matrix, self.strides[0], left, *turned(), size, k, rows
            names = zip(_PARAMS, given, strict=True)
            f.call(_fleeting(self.chains), *((kind, value) for (kind, _), value in names))
            return 0

        f.either(is_fleeting or fleeting_in(frame), "i64", fleeting, packed)

    def factor(self, block: tuple[Int, Int], a: str) -> Factor:
        """One row times a block of units of the packed panel."""
        unit, size = block
        start = self._element(self.frame.f.mul(unit, self.length))
        return Factor(a, 1, start, size, self.frame.target.panel, self.begin)

    def _block(self, unit: Int) -> str:
        """Where the block of units from ``unit`` on lies."""
        return self._element(self.frame.f.add(self.frame.f.mul(unit, self.length), self.begin))

    def _element(self, index: Int) -> str:
        return self.frame.f.gep(self.frame.target.panel, self.memory, index)

    def turned(self, unit: Int, row: Int, every: Span, again: bool = False) -> tuple[str, Int]:
        """Where the rows from one on are turned to if the panel is fleeting, and whether they are
        yet to be: at the first of every unit if there is room for every row, where the panel would
        be packed, or else at each; not if this is done ``again``, for another panel."""
        f, (units, rows) = self.frame.f, every
        slice_ = self.frame.slot("unit.slice")
        memory = self._block(f.mul(f.div(unit, slice_), slice_))
        room = f.compare("sle", f.sub(rows[1], rows[0]), f.sub(units[1], units[0]))
        place = f.mul(f.select(room, f.sub(row, rows[0]), 0), self.sizes[2])
        first = f.op(f"zext i1 {f.compare('eq', unit, units[0])} to i64")
        fresh = 0 if again else f.select(room, first, 1)
        return f.gep(self.frame.v.dtype, memory, place), fresh


def fleeting_in(frame: Frame) -> str:
    """Whether panels are fleeting in this call."""
    return frame.f.compare("ne", frame.slot("fleeting"), 0)


def panels_of(frame: Frame, step: Step, program: Program) -> dict[Node, Panel]:
    """The panels of a program's products. All have the same room, whatever their spaces: where all
    units are one block, it is a number, and one pointer leads to all panels."""
    f, found = frame.f, {}
    together = {p: len(bundle) for bundle in bundles_of(program) for p in bundle}
    for index, product in enumerate(products_of(program)):
        longest = elements.length(f, frame.target.panel, frame.padded(HIDDEN))
        begin = f.mul(f.mul(frame.padded(HIDDEN), longest), index)
        block = step.blocks["product", product.attr]
        chains = frame.target.chains_of(together[product])
        of = block, product.op == "product_t"
        found[product] = _panel(frame, frame.target.step, chains, "panels", begin, *of)
    return found


def panel_x(frame: Frame, step: Step, gate: str, index: int, turned: bool = False) -> Panel:
    """The ``index``-th panel of ``weight_ih``, the rows of a gate; turned, those of its columns."""
    block, shape = step.blocks["x", gate], frame.target.bulk if turned else frame.target.front
    units, length = (block.columns, block.rows) if turned else (block.rows, block.columns)
    longest = elements.length(frame.f, frame.target.panel, frame.units(length))
    begin = frame.f.mul(frame.f.mul(frame.padded(units), index), longest)
    return _panel(frame, shape, 1, "panels_x", begin, block, turned)


def _panel(
    frame: Frame, shape: Shape, chains: int, memory: str, begin: Int, block: Matrix, turned: bool
) -> Panel:
    """The panel of a matrix, or turned of the transposed one."""
    strides = frame.slot(f"{block.parameter}.r"), frame.slot(f"{block.parameter}.c")
    units, length = block.rows, block.columns
    if turned:
        strides, units, length = strides[::-1], length, units
    sizes = frame.units(units), frame.padded(units), frame.units(length)
    matrix = frame.block(block)
    return Panel(frame, shape, chains, frame.buffer(memory), begin, matrix, strides, sizes)
