"""What the functions of a pass have in common: arguments, memory, the walk over ragged steps."""

from __future__ import annotations

import functools

from ..expr import Node
from ..reductions import REDUCTIONS, unit_of
from ..spaces import INPUT, ONE, Matrix, Space
from ..step import Step
from .buffers import Argument, Slot, Slots
from .graph import Program
from .ir import Function, Int, Module
from .routine import BESIDE, SHARED, Routine
from .target import Target
from .vector import Vector, literal
from .view import View

#: Of rows that lie in padded tensors: at which steps they begin there, and their places in the
#: second dimension. Other code does not read them.
PLACES = "begins", "places"


def common(step: Step) -> list[Slot]:
    """The slots of every pass of a step.

    Steps, rows, rows of all steps together; where time starts and which way it goes; the tables of
    a ragged batch (null: every step has B rows); how the work is divided: slices of the rows, and
    of the units of these; how many units each space has, in whole tiles, and in a slice. Rows of
    scratch memory have the padded hidden units.
    """
    spaces = dict.fromkeys([INPUT, *step.spaces, step.row])
    return [
        *("T", "B", "N", "t0", "dt"),
        *map(Argument, ("counts", "offsets", *PLACES)),
        *("slices", "slice", "unit.slices", "unpacked", "scratch", "zeros"),
        *(*SHARED, *BESIDE),
        *(name for space in spaces for name in (space.name, space.padded, space.slice)),
    ]


def parameters(step: Step) -> list[Argument]:
    """A layer's parameters: matrices, and vectors of units."""
    vectors = {block.parameter for block in step.blocks.values() if block.columns is ONE}
    return [Argument(name, "u" if name in vectors else "rc") for name in step.parameters]


class Frame(Routine):
    """A function of a pass, whose argument is the pass's table."""

    def __init__(self, module: Module, name: str, target: Target, slots: Slots) -> None:
        super().__init__(module, name, target.isa, slots, target.known, target.schedule)
        self.target = target
        self.v = Vector(self.f, target.isa, target.dtype)

    # -- memory

    def scratch(self, name: str, *index: Int) -> View:
        """A buffer of the call's scratch memory, or what has these indices in it. Weights may be
        packed elsewhere."""
        declared, f = self.slots.buffers[name], self.f
        if (name, "buffer") not in self._loaded:
            base = self.pointer("weights" if declared.packed else "scratch")
            offset = self.slot(name)
            self._loaded[name, "buffer"] = f.first(f"getelementptr i8, ptr {base}, i64 {offset}")
        strides: list[Int] = [1]
        for length in reversed(declared.lengths[1:]):
            assert not callable(length)
            size = self.slot(length) if isinstance(length, str) else length
            strides.append(f.mul(strides[-1], size))
        buffer = View(f, declared.kind, self._loaded[name, "buffer"], tuple(reversed(strides)))
        return buffer.row(*index)

    def given(self, name: str) -> View:
        """A tensor of the caller, with the strides that are declared for it."""
        letters, kind = self.slots.arguments[name].strides, self.target.kind_of(name)
        strides = tuple(self.slot(f"{name}.{i}") for i in letters)
        return View(self.f, kind, self.pointer(name), strides or (1,))

    def view(self, base: str, *strides: Int) -> View:
        """Numbers in memory; those of the last dimension lie side by side if no stride is given."""
        return View(self.f, self.v.dtype, base, strides or (1,))

    def units(self, space: Space) -> Int:
        """How many units a value of a space has in memory."""
        return self.slot(space.stored.name)

    def padded(self, space: Space) -> Int:
        """These units rounded up to whole tiles."""
        return self.slot(space.stored.padded)

    def room(self, space: Space) -> Int:
        """How many units of a state the caller's memory has room for: in code for one layer whole
        tiles, as those of outputs that other layers read."""
        return self.padded(space) if self.target.constant else self.units(space)

    @property
    def row_units(self) -> Int:
        """How many units a row of memory has that is kept for the backward pass."""
        return self.slot(self.target.row.name)

    def count_of_units(self, space: Space) -> str:
        """The number of units as a vector of numbers."""
        if (space.name, "number") not in self._loaded:
            number = self.f.first(f"sitofp i64 {self.units(space)} to {self.v.dtype}")
            self._loaded[space.name, "number"] = number
        return self.v.splat(self._loaded[space.name, "number"])

    def is_unit(self, leaf: Node, first: Int) -> str:
        """1 for the unit of each head that a leaf ``unit`` means, else 0, in the vector from a unit
        on. Floats count exactly as far as layers have units."""
        v, (index, heads) = self.v, unit_of(leaf)
        lanes = ", ".join(f"{v.dtype} {literal(lane)}" for lane in range(v.lanes))
        start = self.f.op(f"sitofp i64 {first} to {v.dtype}")
        place = v.add(v.splat(start), f"<{lanes}>")
        size = self.count_of_units(leaf.space)
        if heads > 1:
            size = v.div(size, v.number(heads))
            head = v.floor(v.div(v.add(place, v.number(0.5)), size))
            place = v.sub(place, v.mul(head, size))
        goal = v.number(index) if index >= 0 else v.add(size, v.number(index))
        return v.select(v.compare("eq", place, goal), v.number(1.0), v.number(0.0))

    def block(self, block: Matrix, number: Int | None = None) -> View:
        """A gate's rows of a parameter, or all of them; or those of the block of this number."""
        number = block.block if number is None else number
        return self.given(block.parameter).past(self.f.mul(self.units(block.rows), number))

    def is_given(self, name: str) -> str:
        """Whether the caller has brought a tensor."""
        return self.f.op(f"icmp ne ptr {self.pointer(name)}, null")

    def null(self, pointer: str) -> str:
        return self.f.op(f"icmp eq ptr {pointer}, null")

    # -- ragged steps; a single row is there at all of them

    def slice_of(self, ticket: Int) -> tuple[Int, Int]:
        """The rows of a slice: first, one past the last."""
        f, size = self.f, self.slot("slice")
        if self.slot("B") == 1:
            return 0, 1
        first = f.mul(ticket, size)
        return first, f.min(f.add(first, size), self.slot("B"))

    def count(self, t: Int) -> Int:
        """How many rows are active at a step."""
        if self.slot("B") == 1:
            return 1
        table = self.pointer("counts")
        f = self.f
        return f.either(
            self.null(table), "i64", lambda: self.slot("B"), lambda: f.load("i64", table, t)
        )

    def place(self, t: Int) -> tuple[Int, Int]:
        """Of a step: its index along the caller's time stride, and its first row among all."""
        if self.slot("B") == 1:
            return t, t
        f, table = self.f, self.pointer("offsets")
        if self.target.padded:
            return t, f.load("i64", table, t)
        plain = self.null(table)
        flat = f.either(
            plain, "i64", lambda: f.mul(t, self.slot("B")), lambda: f.load("i64", table, t)
        )
        return f.select(plain, t, flat), flat

    def place_of_row(self, row: Int) -> tuple[Int, Int]:
        """Of a row: the step at which it begins in the caller's tensors, and its index along their
        row stride."""
        if not self.target.padded:
            return 0, row
        f = self.f
        there = f.min(row, f.sub(self.slot("B"), 1))  # who prefetches asks for rows behind the last
        begin, place = (f.load("i64", self.pointer(name), there) for name in PLACES)
        return begin, place

    def neighbour(self, t: Int, step: Int, exists: str) -> Int:
        """The rows active at the step before or after ``t``; 0 if there is none."""
        f = self.f
        if self.slot("B") == 1:
            return f.op(f"zext i1 {exists} to i64")
        return f.either(exists, "i64", lambda: self.count(f.add(t, step)), lambda: 0)

    # -- tiles

    def call_tile(
        self,
        tile: str,
        acc: View,
        init: View,
        a: tuple[str, Int],
        b: View,
        sizes: tuple[Int, Int, Int],
    ) -> None:
        """A tile, by its name: ``acc`` and ``init`` (rows, units), pointers to the rows of ``a``
        with their stride, ``b`` (k, units); sizes are (k, rows, vectors)."""
        given = acc.base, acc.strides[0], init.base, init.strides[0], *a, b.base, b.strides[0]
        kinds = ("ptr", "i64") * 4 + ("i64",) * 3
        self.f.call(tile, *zip(kinds, (*given, *sizes), strict=True))


def define_reductions(module: Module, target: Target, program: Program) -> None:
    """``sum_of_row`` and so on, as far as a program has them: of so many numbers that lie side by
    side."""
    for name in dict.fromkeys(n.op for stage in program.stages for n in stage.reductions):
        if module.defines(f"{name}_of_row"):
            continue
        reduction, params = REDUCTIONS[name], [("ptr", "to"), ("ptr", "from"), ("i64", "count")]
        f = Function(module, f"{name}_of_row", params, shared=True)
        dtype, lanes = target.dtype, target.isa.lanes(target.dtype)
        v, total = Vector(f, target.isa, dtype), f.alloca(lanes, dtype)
        v.store(v.number(reduction.start), total)
        whole = f.op(f"and i64 %count, {-lanes}")
        with f.loop(0, whole, lanes) as i:
            more = v.load(f.gep(dtype, "%from", i))
            v.store(reduction.combine(v, v.load(total), more), total)
        there = v.first(f.sub("%count", whole))
        tail = v.load_masked(f.gep(dtype, "%from", whole), there)
        if reduction.start:
            tail = v.select(there, tail, v.number(reduction.start))
        every = reduction.combine(v, v.load(total), tail)
        f.store(dtype, v.total(every, functools.partial(reduction.combine, v)), "%to")
