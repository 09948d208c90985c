"""Where both passes keep the values of a step."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from ..expr import PRIMITIVES, Node, walk
from ..spaces import ONE, Space
from ..step import Step
from .buffers import Argument, Buffer
from .frame import Frame
from .graph import Program, Store
from .ir import Int
from .plan import Plan, operands_of, reductions_of
from .target import Target
from .view import View, load_units, store_units


def values_of_step(target: Target, program: Program, states: int) -> list[Buffer]:
    """Rows of a step's values, for each row of the batch: states before and after the step, what
    one stage leaves for a later one, reductions over units."""
    return [
        Buffer("states", (2, states, "B", target.row.padded), target.dtype),
        Buffer("temporaries", (len(program.temporaries), "B", target.row.padded), target.dtype),
        Buffer("reductions", ("B", len(reductions_of(program))), target.dtype),
    ]


def fixed_values(target: Target, program: Program, packed: bool = False) -> list[Buffer]:
    """Rows of what has the same value at all steps. Artefacts, whose weights are packed elsewhere,
    compute it at each."""
    if target.constant or not program.fixed:
        return []
    size = len(program.fixed), target.row.padded
    return [Buffer("fixed", size, target.dtype, packed=packed)]


def pack_fixed(frame: Frame, program: Program, first: Int, last: Int) -> None:
    """Computes it, for some slices of the units."""
    f, v = frame.f, frame.v
    for i, value in enumerate(() if frame.target.constant else program.fixed):
        space = value.space.stored
        size = frame.slot(space.slice)
        begin, end = f.mul(first, size), f.min(f.mul(last, size), frame.padded(space))
        with f.loop(begin, end, v.lanes) as u:
            found: dict[Node, str] = {}
            for n in walk([value]):
                if n.op == "const":
                    found[n] = v.number(float.fromhex(n.attr))
                elif n.op == "vector":
                    found[n] = read_vector(frame, n, u)
                else:
                    found[n] = PRIMITIVES[n.op].emit(v, *(found[a] for a in n.args))
            v.store(found[value], frame.scratch("fixed", i).at(u))


def read_vector(frame: Frame, leaf: Node, unit: Int) -> str:
    """A learned vector from a unit on."""
    row = frame.given(f"weight_{leaf.attr}")
    if leaf.space is ONE:
        return frame.v.broadcast(row.at(0), row.kind)
    return load_units(frame.v, row, unit, frame.units(leaf.space), expanded=False)


def operands(target: Target, program: Program, k: Space) -> list[Buffer]:
    """What panels of another format than their matrices take besides: a block before it is
    converted, of a step's product or of others, over the units of ``k``; and operands of a step
    that have to be made."""

    def block(numbers: Mapping[str, int]) -> int:
        step = target.step.widths[0] * numbers[target.row.name]
        bulk = target.bulk.widths[0] * numbers[k.name]
        return max(step, bulk) * target.isa.lanes(target.dtype)

    packs = target.panel.converts and not target.constant
    found = [Buffer("block", (block,), target.dtype)] * packs
    rows = len(operands_of(program)), "B", target.row.padded
    return [*found, *[Buffer("pairs", rows, "bfloat")] * target.panel.makes_operands]


#: From which unit to which one.
Units = Callable[[Space], tuple[Int, Int]]


@dataclass(frozen=True)
class Spot:
    """One vector of units of one row: ``row`` of the batch, its first ``unit``."""

    row: Int
    unit: Int


def further_inputs(step: Step) -> list[Argument]:
    """What the caller gives at every step besides x. Directions share an input, and have random
    values of their own, side by side."""
    ways = {name: "units" if name in step.randoms else "" for name in step.inputs}
    return [Argument(f"input.{name}", "tru", of=of) for name, of in ways.items()]


def slot_of(leaf: Node) -> str:
    """The slot of a leaf that the caller gives at every step."""
    if leaf.op == "raw":
        return "x"
    return f"{'input' if leaf.op == 'random' else leaf.op}.{leaf.attr}"


class StepMemory:
    """Where a step's values are; a pass sets it anew for each step.

    Scratch memory holds rows of the states before and after the step, or of the gradients that
    arrive at them. It also holds what one stage leaves for a later one. The caller's memory holds
    what is saved for the backward pass.
    """

    def __init__(self, frame: Frame, plan: Plan, program: Program) -> None:
        self.frame, self.plan = frame, plan
        self._spaces = {name: plan.step.space(name) for name in plan.step.states}
        self.temporaries = {n: i for i, n in enumerate(program.temporaries)}
        self.now: Int = 0  # which half of the states' buffer holds the previous ones
        self.time: Int = 0
        self.flat: Int = 0
        self._place: tuple[Int, Int] = 0, 0  # of a row, see `at`

    def states(self, name: str, new: bool = False) -> View:
        """Rows of a state, or of its gradient, before the step or after it."""
        half = self.frame.f.sub(1, self.now) if new else self.now
        return self.frame.scratch("states", half, self.plan.step.states.index(name))

    def rows_of(self, value: Node) -> View:
        """A value in scratch memory: rows of the batch, units."""
        if value.op in ("state", "carry"):
            return self.states(value.attr)
        return self.frame.scratch("temporaries", self.temporaries[value])

    def start_of(self, value: Node, spot: Spot) -> View:
        """What a product starts from: rows, units, both from the spot on."""
        return self.rows_of(value).past(spot.row, spot.unit)

    def at(self, row: Int) -> None:
        """To a row: what follows reads and writes no other one."""
        self._place = self.frame.place_of_row(row)

    def of_caller(self, name: str, time: Int | None = None) -> View:
        """The row in a tensor of the caller that has rows for each step; at this step, or at the
        one with that index in time."""
        begin, place = self._place
        time = self.time if time is None else time
        return self.frame.given(name).row(self.frame.f.add(time, begin), place)

    def read(self, leaf: Node, spot: Spot) -> str:
        """A leaf's vector."""
        raise NotImplementedError

    def write(self, store: Store, value: str, spot: Spot) -> None:
        """Writes a vector where the store says."""
        raise NotImplementedError

    def write_all(self, values: Sequence[tuple[Store, str]], spot: Spot) -> None:
        """Writes all vectors of a spot."""
        for store, value in values:
            self.write(store, value, spot)

    def look_ahead(self, stores: Sequence[Store], spot: Spot, size: Int) -> None:
        """Prefetches the cache lines that this row will write, so many units from the spot on."""

    def has_read(self) -> None:
        """Runs once a spot has been read and written: prefetches what the next step reads."""

    def begin(self, kind: str, row: Int, keep: Container[str] = ()) -> None:
        """Reads the states of a row that begins from tensors of a kind; those to ``keep`` are kept
        for the backward pass."""
        f, v, frame = self.frame.f, self.frame.v, self.frame
        for name, space in self._spaces.items():
            given, state = frame.given(f"{kind}.{name}").row(row), self.states(name).row(row)
            with f.loop(0, frame.padded(space), v.lanes) as u:
                value = load_units(v, given, u, frame.room(space))
                v.store(value, state.at(u))
                if name in keep:
                    store_units(v, value, self.saved_state(name, row), u, frame.row_units)

    def finish(
        self,
        kind: str,
        row: Int,
        units: Units | None = None,
        optional: bool = False,
    ) -> None:
        """Writes the states of a row that ends to tensors of a kind, if they are given where they
        are ``optional``; all units, or some."""
        f, v, frame = self.frame.f, self.frame.v, self.frame
        for name, space in self._spaces.items():
            tensor = f"{kind}.{name}"
            with f.when(frame.is_given(tensor)) if optional else nullcontext():
                goal = frame.given(tensor).row(row)
                state = self.states(name, new=True).row(row)
                with f.loop(*(units(space) if units else (0, frame.padded(space))), v.lanes) as u:
                    store_units(v, v.load(state.at(u)), goal, u, frame.room(space))

    def saved_state(self, name: str, row: Int) -> View:
        """A saved state; row B + n belongs to the n-th row of all steps, the first B to h0."""
        view = self.frame.view(self.frame.pointer(f"saved.{name}"), self.frame.row_units, 1)
        return view.row(row)

    def saved(self, index: int, row: Int) -> View:
        """A saved value of a row of this step."""
        f, units = self.frame.f, self.frame.row_units
        strides = f.mul(units, len(self.plan.saved)), units, 1
        return self.frame.view(self.frame.pointer("saved"), *strides).row(
            f.add(self.flat, row), index
        )

    def read_given(self, leaf: Node, spot: Spot) -> str:
        """What both passes read where the caller has it: the input itself, a further input, a
        learned vector. A random value is a further input, too."""
        frame = self.frame
        if leaf.op == "vector":
            return read_vector(frame, leaf, spot.unit)
        row = self.of_caller(slot_of(leaf))
        return load_units(frame.v, row, spot.unit, frame.units(leaf.space))
