"""The inputs' gradient, ``dx = sum over gates of a gate's gradient times W_ih``, row by row."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

from ..spaces import HIDDEN, INPUT
from .buffers import Slots
from .frame import Frame
from .ir import Int, Module
from .outer import lists, place_of
from .panel import each_panel_x
from .plan import Plan
from .target import Target
from .team import team_of
from .view import View, load_units, store_units


def wanted(frame: Frame) -> str:
    """Whether anybody asks for the input's gradient."""
    return frame.is_given("dx")


def emit_inputs(module: Module, target: Target, slots: Slots, plan: Plan) -> None:
    """``backward_inputs``: the gradient of the rows of a piece, one group of them."""
    frame = Frame(module, "backward_inputs", target, slots)
    f, v, shape = frame.f, frame.v, target.bulk
    padded, gates = frame.padded(INPUT), [*plan.input_columns]
    columns = [*plan.input_columns.values()]
    tile_width = shape.widths[0] * v.lanes
    acc = frame.view(f.alloca(shape.rows * tile_width, v.dtype), tile_width, 1)
    pointers = View(f, "ptr", f.alloca(shape.rows, "ptr"))
    start, end = (place_of(frame, f.sub(frame.slot(at), frame.slot("j"))) for at in ("from", "to"))
    tall = shape.height(f, f.sub(end, start))
    goals = frame.scratch("lists", len(lists(plan)))
    zeros = frame.view(frame.pointer("zeros"), 0)

    def operands(gate: Int) -> tuple[Callable[[Int], View], Callable[[Int], View]]:
        """By the row, a gate's gradients, and where what is made of them goes."""
        given = partial(frame.scratch, "gate_gradients", f.one_of(columns, gate))
        return given, partial(frame.scratch, "gate_gradients.pairs", gate)

    for gate in range(len(gates)):
        target.panel.prepare_all(f, (start, end), *operands(gate), frame.units(HIDDEN))
    begun = [frame.scratch("gate_gradients", column) for column in plan.raw_columns]
    team = team_of(frame)
    with (
        team.slices(INPUT) if team else nullcontext((0, padded)) as (begin, stop),
        shape.blocks(f, stop, v.lanes, begin) as (unit, count),
    ):
        with f.loop(start, end, tall) as row:
            rows = f.min(f.sub(end, row), tall)
            for number, panel in each_panel_x(frame, plan.step, gates, back=True):
                of_row = operands(number)
                with f.loop(0, rows) as m:
                    given, room = (partial(at, f.add(row, m)) for at in of_row)
                    pointers.store(target.panel.operand(given, room).base, m)
                first = f.compare("eq", number, 0)
                init = f.select(first, zeros.base, acc.base, "ptr"), f.select(first, 0, tile_width)
                panel.multiply((unit, count), acc, frame.view(*init, 1), (pointers.base, 1), rows)
            with f.loop(0, rows) as m:
                goal = frame.view(goals.load(f.add(row, m)))
                with f.loop(0, count, v.lanes) as u:
                    place = f.add(unit, u)
                    parts = [] if begun and not gates else [v.load(acc.at(m, u))]
                    parts += [v.load(column.at(f.add(row, m), place)) for column in begun]
                    value = functools.reduce(v.add, parts)
                    add_to_input(frame, goal, place, frame.units(INPUT), value)


def add_to_input(frame: Frame, goal: View, unit: Int, units: Int, value: str) -> None:
    """A vector of an input's gradient; the second direction adds to the first."""
    f, v = frame.f, frame.v
    adding = f.compare("ne", frame.slot("dx.add"), 0)
    before = f.either(
        adding, v.type, lambda: load_units(v, goal, unit, units), lambda: v.number(0.0)
    )
    store_units(v, v.add(before, value), goal, unit, units)
