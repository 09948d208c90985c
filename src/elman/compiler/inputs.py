"""The inputs' gradient, ``dx = sum over gates of z W_ih``, row by row."""

from __future__ import annotations

from ..spaces import HIDDEN, INPUT
from .buffers import Slots
from .frame import Frame
from .ir import Int, Module
from .outer import lists, place_of, z_at
from .panel import Panel, panel_x
from .plan import Plan
from .target import Target
from .units import load_units, store_units


def wanted(frame: Frame) -> str:
    """Whether anybody asks for the input's gradient."""
    return frame.f.op(f"icmp ne ptr {frame.pointer('dx')}, null")


def panels_to_x(frame: Frame, plan: Plan) -> list[Panel]:
    """The panels of the products that give the inputs' gradient, one for each gate."""
    return [panel_x(frame, plan.step, gate, i, turned=True) for i, gate in enumerate(plan.z_x)]


def emit_inputs(module: Module, target: Target, slots: Slots, plan: Plan) -> None:
    """``backward_inputs``: the gradient of the rows of a piece, one group of them."""
    frame = Frame(module, "backward_inputs", target, slots)
    f, v, shape = frame.f, frame.v, target.bulk
    padded, panels = frame.padded(INPUT), panels_to_x(frame, plan)
    tile_width = shape.widths[0] * v.lanes
    acc = f.alloca(shape.rows * tile_width, v.dtype)
    pointers = f.alloca(shape.rows, "ptr")
    start, end = (place_of(frame, f.sub(frame.slot(at), frame.slot("j"))) for at in ("from", "to"))
    tall = shape.height(f, f.sub(end, start))
    goals = frame.buffer("lists", len(lists(plan)))

    def place(row: Int, gate: int, column: int) -> str:
        """What is multiplied of a row."""
        if not target.couples:
            return z_at(frame, row, column)
        return frame.buffer("couples_z", gate, row)

    if target.couples:
        with f.loop(start, end) as row:
            for gate, column in enumerate(plan.z_x.values()):
                both = ("ptr", place(row, gate, column)), ("ptr", z_at(frame, row, column))
                f.call("couple_row", *both, ("i64", 1), ("i64", frame.units(HIDDEN)))
    with shape.blocks(f, padded, v.lanes) as (unit, count):
        with f.loop(start, end, tall) as row:
            rows = f.min(f.sub(end, row), tall)
            for i, column in enumerate(plan.z_x.values()):
                with f.loop(0, rows) as m:
                    z = place(f.add(row, m), i, column)
                    f.store("ptr", z, f.gep("ptr", pointers, m))
                init = (acc, tile_width) if i else (frame.pointer("zeros"), 0)
                panels[i].multiply((unit, count), (acc, tile_width), init, (pointers, 1), rows)
            with f.loop(0, rows) as m:
                goal = f.load("ptr", f.gep("ptr", goals, f.add(row, m)))
                with f.loop(0, count, v.lanes) as u:
                    value = v.load(f.gep(v.dtype, acc, f.add(f.mul(m, tile_width), u)))
                    _add_to_x(frame, goal, f.add(unit, u), value)


def _add_to_x(frame: Frame, goal: str, unit: Int, value: str) -> None:
    """A vector of the inputs' gradient; the second direction adds to the first."""
    f, v, inputs = frame.f, frame.v, frame.units(INPUT)
    adding = f.compare("ne", frame.slot("dx.add"), 0)
    before = f.either(
        adding,
        v.type,
        lambda: load_units(frame.v, goal, 1, unit, inputs),
        lambda: v.number(0.0),
    )
    store_units(frame.v, v.add(before, value), goal, 1, unit, inputs)
