"""The inputs' gradient, ``dx = sum over gates of a gate's gradient times W_ih``, row by row."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from functools import partial

from ..spaces import HIDDEN, INPUT
from .buffers import Slots
from .frame import Frame
from .ir import Int, Module
from .outer import lists, place_of
from .panel import Panel, Place, panel_x
from .plan import Plan
from .target import Target
from .team import team_of
from .view import View, load_units, store_units


def wanted(frame: Frame) -> str:
    """Whether anybody asks for the input's gradient."""
    return frame.is_given("dx")


def panels_to_x(frame: Frame, plan: Plan) -> list[Panel]:
    """The panels of the products that give the inputs' gradient, one for each gate."""
    gates = enumerate(plan.input_columns)
    return [panel_x(frame, plan.step, gate, Place(i), back=True) for i, gate in gates]


def emit_inputs(module: Module, target: Target, slots: Slots, plan: Plan) -> None:
    """``backward_inputs``: the gradient of the rows of a piece, one group of them."""
    frame = Frame(module, "backward_inputs", target, slots)
    f, v, shape = frame.f, frame.v, target.bulk
    padded, panels = frame.padded(INPUT), panels_to_x(frame, plan)
    tile_width = shape.widths[0] * v.lanes
    acc = frame.view(f.alloca(shape.rows * tile_width, v.dtype), tile_width, 1)
    pointers = View(f, "ptr", f.alloca(shape.rows, "ptr"))
    start, end = (place_of(frame, f.sub(frame.slot(at), frame.slot("j"))) for at in ("from", "to"))
    tall = shape.height(f, f.sub(end, start))
    goals = frame.scratch("lists", len(lists(plan)))
    zeros = frame.view(frame.pointer("zeros"), 0)
    #: Of each gate, by the row: its gradients, and where what is made of them goes.
    places = [
        (
            partial(frame.scratch, "gate_gradients", column),
            partial(frame.scratch, "gate_gradients.pairs", gate),
        )
        for gate, column in enumerate(plan.input_columns.values())
    ]
    for given, room in places:
        target.panel.prepare_all(f, (start, end), given, room, frame.units(HIDDEN))
    begun = [frame.scratch("gate_gradients", column) for column in plan.raw_columns]
    team = team_of(frame)
    with (
        team.slices(INPUT) if team else nullcontext((0, padded)) as (begin, stop),
        shape.blocks(f, stop, v.lanes, begin) as (unit, count),
    ):
        with f.loop(start, end, tall) as row:
            rows = f.min(f.sub(end, row), tall)
            for panel, of_gate in zip(panels, places, strict=True):
                with f.loop(0, rows) as m:
                    operand = (partial(of_row, f.add(row, m)) for of_row in of_gate)
                    pointers.store(target.panel.operand(*operand).base, m)
                init = zeros if panel is panels[0] else acc
                panel.multiply((unit, count), acc, init, (pointers.base, 1), rows)
            with f.loop(0, rows) as m:
                goal = frame.view(goals.load(f.add(row, m)))
                with f.loop(0, count, v.lanes) as u:
                    place = f.add(unit, u)
                    parts = [] if begun and not panels else [v.load(acc.at(m, u))]
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
