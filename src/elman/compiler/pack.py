"""Weights packed into panels: blocks of columns as wide as a tile, one row of the block after
another, padded with zeros, so that a tile reads one stream."""

from __future__ import annotations

from dataclasses import dataclass

from ..cell import Step
from ..expr import Node
from .frame import Frame, Target
from .graph import Program
from .ir import Function, Int, Module
from .plan import products_of
from .tile import Shape
from .turned import name as turned_name
from .vector import Vector

_PARAMS = (
    *(("ptr", "panel"), ("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "k_stride")),
    *(("i64", "units"), ("i64", "padded"), ("i64", "k")),
)


def define(module: Module, target: Target, shape: Shape) -> None:
    """``panel[block][k][unit] = matrix[unit * unit_stride + k * k_stride]``.

    A matrix whose units lie side by side is copied by vectors, one whose ``k`` do (a weight as
    PyTorch holds it) in squares that are turned in the registers. The rest goes one by one.
    """
    f = Function(module, f"pack_{shape.name}", _PARAMS)
    v = Vector(f, target.isa, target.dtype)
    panel, matrix, unit_stride, k_stride, units, padded, k = f.params
    dtype, lanes = v.dtype, v.lanes
    copied, turned = (f.compare("eq", stride, 1) for stride in (unit_stride, k_stride))

    def size(left: Int) -> Int:
        return f.mul(shape.width(f, left, lanes), lanes)

    with f.blocks(padded, size) as (unit, count), f.loop(0, count, lanes) as u:
        first = f.add(unit, u)
        left = f.min(f.sub(units, first), lanes)
        goal = f.add(f.mul(unit, k), u)
        whole = f.compare("eq", left, lanes)
        with f.loop(0, k, lanes) as begin:
            depth = f.min(f.sub(k, begin), lanes)
            square = f.op(f"and i1 {whole}, {f.compare('eq', depth, lanes)}")
            source = f.add(f.mul(first, unit_stride), f.mul(begin, k_stride))
            operands = (
                *(("ptr", f.gep(dtype, panel, f.add(goal, f.mul(begin, count)))), ("i64", count)),
                *(("ptr", f.gep(dtype, matrix, source)), ("i64", unit_stride)),
            )
            copy = f.op(f"and i1 {whole}, {copied}")
            turn = f.op(f"and i1 {square}, {turned}")
            neither = f.op(f"xor i1 {f.op(f'or i1 {copy}, {turn}')}, true")
            with f.when(copy):
                f.call("pack_copy", *operands, ("i64", k_stride), ("i64", depth))
            with f.when(f.op(f"and i1 {turn}, {f.op(f'xor i1 {copied}, true')}")):
                f.call("pack_turn", *operands)
            with f.when(neither):
                f.call("pack_single", *operands, ("i64", k_stride), ("i64", depth), ("i64", left))


def define_parts(module: Module, target: Target) -> None:
    """What packs one vector of units for a few ``k``: ``to[k][unit]``, rows ``count`` apart."""
    places = (("ptr", "to"), ("i64", "count"), ("ptr", "from"), ("i64", "unit_stride"))

    f = Function(module, "pack_copy", [*places, ("i64", "k_stride"), ("i64", "k")])
    v = Vector(f, target.isa, target.dtype)
    with f.loop(0, "%k") as i:
        value = v.load(f.gep(v.dtype, "%from", f.mul(i, "%k_stride")))
        v.store(value, f.gep(v.dtype, "%to", f.mul(i, "%count")))

    f = Function(module, "pack_turn", places)
    v = Vector(f, target.isa, target.dtype)
    rows = [v.load(f.gep(v.dtype, "%from", f.mul("%unit_stride", r))) for r in range(v.lanes)]
    for number, column in enumerate(v.transpose(rows)):
        v.store(column, f.gep(v.dtype, "%to", f.mul("%count", number)))

    f = Function(
        module, "pack_single", [*places, ("i64", "k_stride"), ("i64", "k"), ("i64", "units")]
    )
    v = Vector(f, target.isa, target.dtype)
    with f.loop(0, "%k") as i:
        goal = f.gep(v.dtype, "%to", f.mul(i, "%count"))
        source = f.gep(v.dtype, "%from", f.mul(i, "%k_stride"))
        v.store(v.number(0.0), goal)
        with f.loop(0, "%units") as u:
            value = f.load(v.dtype, f.gep(v.dtype, source, f.mul(u, "%unit_stride")))
            f.store(v.dtype, value, f.gep(v.dtype, goal, u))


@dataclass(frozen=True)
class Panel:
    """A matrix and the panel that it is packed into.

    Strides are those of (units, k), sizes are (units, padded units, k). A call of one step reads
    each weight once: there the panel is *fleeting*. Every block of it is packed into the same
    memory just before it is used, and has not left the nearest caches by then; or a tile can read
    the matrix itself, and nothing is packed.
    """

    frame: Frame
    shape: Shape
    panel: str
    matrix: str
    strides: tuple[Int, Int]
    sizes: tuple[Int, Int, Int]

    def fill(self) -> None:
        """Packs the whole matrix, unless the panel is fleeting."""
        f = self.frame.f
        with f.when(f.op(f"xor i1 {self._fleeting()}, true")):
            self._pack(self.matrix, *self.sizes)

    def refill(self, unit: Int, size: Int) -> None:
        """Packs a block of units, if the panel is fleeting and the matrix not read itself."""
        f, (units, _, k) = self.frame.f, self.sizes
        with f.when(self._fleeting()):
            read = f.op(f"or i1 {self._in_place(unit, size)}, {self._turned()}")
            with f.when(f.op(f"xor i1 {read}, true")):
                matrix = self.frame.at(self.matrix, (unit, self.strides[0]))
                self._pack(matrix, f.sub(units, unit), size, k)

    def multiply(
        self,
        block: tuple[Int, Int],
        acc: tuple[str, Int],
        init: tuple[str, Int],
        a: tuple[str, Int],
        rows: Int,
    ) -> None:
        """A tile with the block of so many units from a unit on; for the rest see ``tile``."""
        f, frame, (unit, size), k = self.frame.f, self.frame, block, self.sizes[2]
        width = f.div(size, frame.v.lanes)

        def tile(b: str, b_k: Int) -> Int:
            frame.call_tile(self.shape, acc, init, a, (b, b_k), (k, rows, width))
            return 0

        def packed() -> Int:
            return tile(frame.at(self.panel, (unit, k)), size)

        def fleeting() -> Int:
            matrix = frame.at(self.matrix, (unit, self.strides[0]))

            def read() -> Int:
                there = self._in_place(unit, size)
                b = f.op(f"select i1 {there}, ptr {matrix}, ptr {self.panel}")
                return tile(b, f.select(there, self.strides[1], size))

            def turned() -> Int:
                f.call(
                    turned_name(self.shape),
                    *(("ptr", acc[0]), ("ptr", init[0])),
                    *(("ptr", f.load("ptr", a[0])), ("i64", a[1])),
                    *(("ptr", matrix), ("i64", self.strides[0]), ("i64", k)),
                    *(("i64", f.sub(self.sizes[0], unit)), ("i64", width)),
                )
                return 0

            if frame.target.step.rows > 1:
                return read()
            f.either(self._turned(), "i64", turned, read)
            return 0

        f.either(self._fleeting(), "i64", fleeting, packed)

    def _fleeting(self) -> str:
        return self.frame.f.compare("ne", self.frame.slot("fleeting"), 0)

    def _in_place(self, unit: Int, size: Int) -> str:
        """Whether a tile reads the matrix itself: whole vectors of units, side by side."""
        f = self.frame.f
        inside = f.compare("sle", f.add(unit, size), self.sizes[0])
        return f.op(f"and i1 {inside}, {f.compare('eq', self.strides[0], 1)}")

    def _turned(self) -> str:
        """Whether one row is multiplied with squares of the matrix, see ``turned``."""
        f = self.frame.f
        if self.frame.target.step.rows > 1:
            return "false"
        alone = f.compare("eq", self.frame.slot("B"), 1)
        return f.op(f"and i1 {alone}, {f.compare('eq', self.strides[1], 1)}")

    def _pack(self, matrix: str, *sizes: Int) -> None:
        numbers = [("i64", x) for x in (*self.strides, *sizes)]
        self.frame.f.call(f"pack_{self.shape.name}", ("ptr", self.panel), ("ptr", matrix), *numbers)


def panels_of(frame: Frame, step: Step, program: Program) -> dict[Node, Panel]:
    """The panels of a program's products. All have the same room, whatever their spaces."""
    f, found = frame.f, {}
    for index, product in enumerate(products_of(program)):
        room = f.mul(frame.slot("Hp"), index)
        panel = frame.at(frame.buffer("panels"), (room, frame.slot("H")))
        matrix, strides, spaces = _matrix_of(frame, step, product.attr)
        if product.op == "product_t":
            strides, spaces = strides[::-1], spaces[::-1]
        sizes = frame.units(spaces[0]), frame.padded(spaces[0]), frame.units(spaces[1])
        found[product] = Panel(frame, frame.target.step, panel, matrix, strides, sizes)
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
    panel = frame.at(frame.buffer("panels_x"), (f.mul(sizes[1], index), sizes[2]))
    return Panel(frame, frame.target.bulk, panel, matrix, strides, sizes)
