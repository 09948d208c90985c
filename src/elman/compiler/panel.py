"""Matrices as tiles read them, and when they are packed.

A call of many steps packs each matrix once. A call of one step reads each weight once: there the
panel is *fleeting*. Every block of it is packed into the same memory just before it is used, and
has not left the nearest caches by then; or a tile reads the matrix itself, and nothing is packed.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..cell import Step
from ..expr import Node
from . import elements, pack, tile, turned
from .frame import Frame
from .graph import Program
from .ir import Function, Int, Module
from .plan import bundles_of, products_of
from .target import Target
from .tile import Factor, Shape

#: A matrix from some unit on: address, strides of units and k, units that there are; the memory
#: that its block is packed into, units of the block, length of the sum.
_MATRIX = (
    *(("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "k_stride"), ("i64", "units")),
    *(("ptr", "panel"), ("i64", "size"), ("i64", "k")),
)
_TILE = tile.PARAMS[:6]  # acc, init and a, with their strides


def define_tiles(module: Module, target: Target) -> None:
    """Adds the functions that multiply, and those that pack, for both shapes of a kernel."""
    pack.define_parts(module, target)
    if target.couples:
        elements.define_couples(module, target.isa)
    elif target.narrow:
        elements.define_narrow(module, target.isa)
    for shape in dict.fromkeys((target.bulk, target.step)):
        pack.define(module, target, shape)
        if not target.narrow:
            _define_refill(module, target, shape)
    steps = ((target.step, chains) for _, chains in target.chains)
    for shape, chains in dict.fromkeys(((target.bulk, 1), *steps)):
        tile.define(module, target.isa, target.dtype, target.panel, shape, chains)
        if not target.narrow:
            _define_fleeting(module, target, shape, chains)


def _in_place(f: Function) -> str:
    """Whether a tile reads the matrix itself: whole vectors of units, side by side."""
    inside = f.compare("sle", "%size", "%units")
    return f.op(f"and i1 {inside}, {f.compare('eq', '%unit_stride', 1)}")


def _turned(f: Function, target: Target) -> str:
    """Whether one row is multiplied with squares of the matrix, see ``turned``."""
    if not target.single:
        return "false"
    return f.compare("eq", "%k_stride", 1)


def _define_refill(module: Module, target: Target, shape: Shape) -> None:
    """Packs a block of a fleeting panel, unless the matrix is read itself."""
    f = Function(module, f"refill_{shape.name}", _MATRIX)
    read = f.op(f"or i1 {_in_place(f)}, {_turned(f, target)}")
    with f.when(f.op(f"xor i1 {read}, true")):
        names = "panel", "matrix", "unit_stride", "k_stride", "units", "size", "k"
        given = [(kind, f"%{name}") for (kind, _), name in zip(pack.PARAMS, names, strict=True)]
        f.call(f"pack_{shape.name}", *given)


def _define_fleeting(module: Module, target: Target, shape: Shape, chains: int) -> None:
    """A tile with a block of a fleeting panel."""
    if target.single:
        turned.define(module, target.isa, target.dtype, chains)
    params = (*_TILE, *_MATRIX, ("i64", "rows"))
    f = Function(module, f"fleeting_{shape.tile(chains)}", params)
    lanes = target.isa.lanes(target.dtype)

    def packed() -> Int:
        there = _in_place(f)
        b = f.op(f"select i1 {there}, ptr %matrix, ptr %panel")
        b_k = f.select(there, "%k_stride", "%size")
        before = [(kind, f"%{name}") for kind, name in _TILE]
        halves = shape.halves(f, "%size", "%units", lanes)
        sizes = ("i64", "%k"), ("i64", "%rows"), ("i64", halves)
        f.call(shape.tile(chains), *before, ("ptr", b), ("i64", b_k), *sizes)
        return 0

    def single() -> Int:
        row = f.load("ptr", "%a")
        sums = ("ptr", "%acc"), ("ptr", "%init"), ("ptr", row), ("i64", "%a_k")
        matrix = ("ptr", "%matrix"), ("i64", "%unit_stride")
        sizes = ("i64", "%k"), ("i64", "%units"), ("i64", f.div("%size", lanes))
        f.call(turned.name(chains), *sums, *matrix, *sizes)
        return 0

    if not target.single:
        packed()
    else:
        f.either(_turned(f, target), "i64", single, packed)


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

    def refill(self, unit: Int, size: Int) -> None:
        """Packs a block of units, if the panel is fleeting and the matrix not read itself."""
        if self.frame.target.narrow:
            return
        f = self.frame.f
        with f.when(fleeting_in(self.frame)):
            f.call(f"refill_{self.shape.name}", *self._from(unit, size))

    def multiply(
        self,
        block: tuple[Int, Int],
        acc: tuple[str, Int],
        init: tuple[str, Int],
        a: tuple[str, Int],
        rows: Int,
        is_fleeting: str = "",
    ) -> None:
        """A tile with the block, or the pair of them, of so many units from a unit on; for the rest
        see ``tile``. Whether the panel is fleeting is asked of the call, unless it is known."""
        f, frame, (unit, size), k = self.frame.f, self.frame, block, self.length

        def packed() -> Int:
            most = self.shape.widths[0] * frame.v.lanes
            b = self._block(unit), f.min(size, most) if self.shape.pairs else size
            left = f.sub(self.sizes[0], unit)
            sizes = (k, rows, self.shape.halves(f, size, left, frame.v.lanes))
            frame.call_tile(self.shape.tile(self.chains), acc, init, a, b, sizes)
            return 0

        def fleeting() -> Int:
            before = [x for p in (acc, init, a) for x in (("ptr", p[0]), ("i64", p[1]))]
            given = *before, *self._from(*block), ("i64", rows)
            f.call(f"fleeting_{self.shape.tile(self.chains)}", *given)
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

    def _from(self, unit: Int, size: Int) -> list[tuple[str, Int]]:
        """The matrix from a unit on, see ``_MATRIX``."""
        matrix = self.frame.at(self.matrix, (unit, self.strides[0]))
        f, slice_ = self.frame.f, self.frame.slot("unit.slice")
        left = f.sub(self.sizes[0], unit)
        memory = self._block(f.mul(f.div(unit, slice_), slice_))
        values = matrix, *self.strides, left, memory, size, self.sizes[2]
        return [(kind, value) for (kind, _), value in zip(_MATRIX, values, strict=True)]


def fleeting_in(frame: Frame) -> str:
    """Whether panels are fleeting in this call."""
    return frame.f.compare("ne", frame.slot("fleeting"), 0)


def panels_of(frame: Frame, step: Step, program: Program) -> dict[Node, Panel]:
    """The panels of a program's products. All have the same room, whatever their spaces: where all
    units are one block, it is a number, and one pointer leads to all panels."""
    f, found = frame.f, {}
    together = {p: len(bundle) for bundle in bundles_of(program) for p in bundle}
    for index, product in enumerate(products_of(program)):
        longest = elements.length(f, frame.target.panel, frame.slot("Hp"))
        begin = f.mul(f.mul(frame.slot("Hp"), longest), index)
        matrix, strides, spaces = _matrix_of(frame, step, product.attr)
        if product.op == "product_t":
            strides, spaces = strides[::-1], spaces[::-1]
        sizes = frame.units(spaces[0]), frame.padded(spaces[0]), frame.units(spaces[1])
        chains = frame.target.chains_of(together[product])
        found[product] = Panel(
            frame, frame.target.step, chains, frame.buffer("panels"), begin, matrix, strides, sizes
        )
    return found


def _matrix_of(frame: Frame, step: Step, name: str) -> tuple[str, tuple[Int, Int], tuple[str, str]]:
    """Of a gate or further matrix: the address of its rows; of rows and columns the strides, and
    the spaces."""
    matrix, first, spaces = f"weight_{name}", 0, step.matrices.get(name)
    if spaces is None:
        matrix, spaces = "weight_hh", ("H", step.output_space)
        first = step.u_gates.index(name)
    rows, columns = frame.slot(f"{matrix}.r"), frame.slot(f"{matrix}.c")
    start = (frame.f.mul(frame.slot("H"), first), rows)
    return frame.at(frame.pointer(matrix), start), (rows, columns), spaces


def panel_x(frame: Frame, step: Step, gate: str, index: int, turned: bool = False) -> Panel:
    """The ``index``-th panel of ``weight_ih``, the rows of a gate; turned, those of its columns."""
    f, strides = frame.f, (frame.slot("weight_ih.r"), frame.slot("weight_ih.c"))
    units, inputs = frame.slot("H"), frame.slot("I")
    first = f.mul(units, step.x_gates.index(gate))
    matrix = frame.at(frame.pointer("weight_ih"), (first, strides[0]))
    sizes = (units, frame.slot("Hp"), inputs)
    if turned:
        strides, sizes = strides[::-1], (inputs, frame.slot("Ip"), units)
    begin = f.mul(f.mul(sizes[1], index), elements.length(f, frame.target.panel, sizes[2]))
    memory = frame.buffer("panels_x")
    return Panel(frame, frame.target.bulk, 1, memory, begin, matrix, strides, sizes)
