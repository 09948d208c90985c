"""Where both passes keep the values of a step."""

from __future__ import annotations

from collections.abc import Mapping

from ..expr import Node
from ..spaces import HIDDEN, Space
from .buffers import Buffer
from .frame import Frame
from .graph import Program
from .ir import Int
from .plan import Plan, operands_of, sums_of
from .stage import Spot
from .target import Target
from .units import load_units


def values_of_step(target: Target, program: Program, states: int) -> list[Buffer]:
    """Rows of a step's values, for each row of the batch: states before and after the step, what
    one stage leaves for a later one, sums over units."""
    return [
        Buffer("states", (2, states, "B", HIDDEN.padded), target.dtype),
        Buffer("crossing", (len(program.crossing), "B", HIDDEN.padded), target.dtype),
        Buffer("sums", ("B", len(sums_of(program))), target.dtype),
    ]


def operands(target: Target, program: Program, k: Space) -> list[Buffer]:
    """What narrow panels take besides: a block of one before it is narrowed, of a step's product or
    of others, over the units of ``k``; and what a step multiplies, as couples."""

    def block(numbers: Mapping[str, int]) -> int:
        step = target.step.widths[0] * numbers[HIDDEN.name]
        bulk = target.bulk.widths[0] * numbers[k.name]
        return max(step, bulk) * target.isa.lanes(target.dtype)

    found = [Buffer("block", (block,), target.dtype)] * target.narrow
    rows = len(operands_of(program)), "B", HIDDEN.padded
    return [*found, *[Buffer("couples", rows, "bfloat")] * target.couples]


class StepMemory:
    """Addresses of a step's values; a pass sets it anew for each step.

    Scratch memory holds rows of the states, or of the gradients that arrive at them, before and
    after the step, and rows of what one stage leaves for a later one. The caller's memory holds
    what is kept for the backward pass.
    """

    def __init__(self, frame: Frame, plan: Plan, program: Program) -> None:
        self.frame, self.plan = frame, plan
        self.crossing = {n: i for i, n in enumerate(program.crossing)}
        self.now: Int = 0  # which half of the states' buffer holds the previous ones
        self.time: Int = 0
        self.flat: Int = 0

    def state(self, name: str, row: Int, new: bool = False) -> str:
        """A row of a state, or of its gradient, before the step or after it."""
        half = self.frame.f.sub(1, self.now) if new else self.now
        return self.frame.buffer("states", half, self.plan.step.states.index(name), row)

    def crossing_row(self, value: Node, row: Int) -> str:
        """A row of what one stage leaves for a later one."""
        return self.frame.buffer("crossing", self.crossing[value], row)

    def row_of(self, value: Node, row: Int) -> tuple[str, Int]:
        """Address and row stride of a value that lies in rows of scratch memory."""
        own = value.op in ("state", "carry")
        place = self.state(value.attr, row) if own else self.crossing_row(value, row)
        return place, self.frame.padded(HIDDEN)

    def start_of(self, value: Node, spot: Spot) -> tuple[str, Int]:
        """Address and row stride of what a product starts from."""
        base, stride = self.row_of(value, spot.row)
        return self.frame.at(base, spot.unit), stride

    def kept(self, name: str, row: Int) -> str:
        """A kept state; row B + n belongs to the n-th row of all steps, the first B to h0."""
        return self.frame.at(self.frame.pointer(f"saved.{name}"), (row, self.frame.units(HIDDEN)))

    def saved(self, index: int, row: Int) -> str:
        """A kept value of a row of this step."""
        f = self.frame.f
        column = f.add(f.mul(f.add(self.flat, row), len(self.plan.saved)), index)
        return self.frame.at(self.frame.pointer("saved"), (column, self.frame.units(HIDDEN)))

    def read_given(self, leaf: Node, spot: Spot) -> str:
        """What both passes read where the caller has it: a further input, a learned vector."""
        frame = self.frame
        if leaf.op == "vector":
            name = f"weight_{leaf.attr}"
            row = frame.pointer(name)
        else:
            name = f"{leaf.op}.{leaf.attr}"
            row = frame.extern_row(name, self.time, spot.row)
        units = frame.units(leaf.space)
        return load_units(frame.v, row, frame.slot(f"{name}.u"), spot.unit, units)
