"""The weights' gradients: sums over rows and steps of outer products of ``z`` with what a weight
was applied to.

The tile again: a few columns of ``z`` times ``depth`` rows of a panel, in which the lists of rows
that a weight may be applied to lie side by side, and behind them, where a vector has room, a one:
one product gives the gradients of the matrices and the biases of a gate. A part of the batch has
sums of its own, segment of time by segment, and those of all parts are added up from first to last.
Parts, segments and the depth depend on the sizes of a call alone: the bits do not depend on the
number of threads, nor on whether a call does all segments or one. Where each row's gradients are
wanted apart, a row has sums of its own as a part has, which nothing is added to.

Three tables come from the caller: what is side by side (:data:`OPERAND`), the sums (:data:`JOB`),
and the gradients that they are (:data:`GOAL`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..expr import Node
from ..spaces import HIDDEN
from . import elements
from .buffers import Slots
from .frame import Frame
from .ir import Int, Module
from .plan import Plan
from .target import Target
from .units import load_beside, load_units, store_beside

#: Of the rows that a panel has side by side: the list of rows (an index; -1: ones), the stride
#: between units of such a row, how many units, where in a row of the panel they begin, and how much
#: they take to the end of their last vector there.
OPERAND = ("list", "stride", "units", "at", "room")
#: Of a sum, its place among the sums of a part, its rows and the column of z. Then units of the
#: panel: the first, how many, and that number padded. Then whether it is the first product that is
#: added to this sum. "apart": elements from one row's gradient to the next row's; 0 if all rows
#: have one. "goal": the gradient that the sum itself is, if it is one. A column alone is summed up
#: in one row.
JOB = ("sum", "rows", "column", "at", "units", "padded", "first", "apart", "goal")
#: Of any other gradient, where it goes, its first sum, rows, units, and what its sums' rows take;
#: "apart" as above.
GOAL = ("goal", "sum", "rows", "units", "padded", "apart")
#: Of a group: from which step of the chunk to which it is there, if rows are apart, and whether
#: there is anything in its sums.
RANGE = ("from", "to", "summed")


def lists(plan: Plan) -> tuple[Node | None, ...]:
    """What the weights' gradients are products with: the input (None), then the operands.

    Behind their lists is one more, of the rows of the inputs' gradient.
    """
    return None, *plan.operands


def emit_outer(module: Module, target: Target, slots: Slots, columns: int) -> None:
    """``add_up``: the sums of a chunk of a group, for so many columns of z; ``add_part``: a part
    to the gradients."""
    _define_add_up(module, target, slots, columns)
    _define_add_part(module, target, slots)


def range_of(frame: Frame, group: Int, name: str) -> str:
    """Where a number of :data:`RANGE` is kept of a group."""
    return frame.buffer("ranges", group, RANGE.index(name))


def place_of(frame: Frame, step: Int) -> Int:
    """Where the rows of a group begin, from a step of the chunk on, among all rows of it."""
    f, group = frame.f, frame.slot("group")

    def of_row() -> Int:
        begin, end = (f.load("i64", range_of(frame, group, name)) for name in ("from", "to"))
        return f.add(f.mul(group, frame.slot("pitch")), f.min(f.max(step, begin), end))

    def of_all() -> Int:
        return f.load("i64", frame.buffer("starts", step))

    return f.either(f.compare("ne", frame.slot("apart"), 0), "i64", of_row, of_all)


def z_at(frame: Frame, row: Int, column: Int) -> str:
    """Where the gradients at a gate are for a row of the chunk: those of all rows and steps follow
    one another, gate by gate."""
    return frame.buffer("z", column, row)


def _sums_of_part(frame: Frame) -> str:
    """The sums of a part: in scratch memory, or where the caller keeps them between calls. A thread
    that does one part after another needs memory for one."""
    f, own, given = frame.f, frame.buffer("partials"), frame.pointer("partials.given")
    base = f.op(f"select i1 {frame.null(given)}, ptr {own}, ptr {given}")
    one_by_one = f.compare("ne", frame.slot("one.by.one"), 0)
    part = f.select(one_by_one, 0, frame.slot("part"))
    return frame.at(base, (part, frame.slot("partials.size")))


def _entry_of(frame: Frame, table: str, kinds: Sequence[str], index: Int) -> dict[str, str]:
    f = frame.f
    base = f.gep("i64", frame.pointer(table), f.mul(index, len(kinds)))
    return {
        name: f.load("ptr" if name == "goal" else "i64", f.gep("i64", base, i))
        for i, name in enumerate(kinds)
    }


def _define_add_up(module: Module, target: Target, slots: Slots, columns: int) -> None:
    """Adds the segments of a chunk to all sums of a group, the last segment first."""
    frame = Frame(module, "add_up", target, slots)
    f, v, shape = frame.f, frame.v, target.bulk
    one = f.alloca(1, "ptr", 8)
    f.store("ptr", frame.pointer("one"), one)
    if target.couples:
        couple = f.alloca(1, elements.COUPLES, elements.SIZE[elements.COUPLES])
        f.store(elements.COUPLES, elements.ONES, couple)
        f.store("ptr", couple, one)
    pointers = f.alloca(shape.rows, "ptr")
    summed = range_of(frame, frame.slot("group"), "summed")
    sums, depth = _sums_of_part(frame), frame.slot("depth")
    j, stop, length = frame.slot("j"), frame.slot("j.end"), frame.slot("segment")
    segments = f.div(f.add(f.sub(stop, j), f.sub(length, 1)), length)
    with f.loop(0, segments) as i:
        step = f.mul(f.sub(f.sub(segments, 1), i), length)
        start = place_of(frame, step)
        end = place_of(frame, f.min(f.add(step, length), f.sub(stop, j)))
        size = f.equal(f.sub(end, start), depth)
        with f.loop(start, end, size) as begin:
            k = f.min(f.sub(end, begin), size)
            empty = f.compare("eq", f.load("i64", summed), 0)
            with f.loop(0, frame.slot("operands.n")) as n:
                _fill(frame, _entry_of(frame, "operands", OPERAND, n), begin, k)
            if target.couples:
                _couple(frame, columns, begin, k)
                k = elements.length(f, target.panel, k)
            with f.loop(0, frame.slot("matrices")) as job:
                given = _entry_of(frame, "jobs", JOB, job)
                fresh = f.op(f"and i1 {empty}, {f.compare('ne', given['first'], 0)}")
                _matrix(frame, given, pointers, (begin, k), fresh)
            with f.loop(frame.slot("matrices"), frame.slot("tasks")) as job:
                given = _entry_of(frame, "jobs", JOB, job)
                goal = frame.at(sums, given["sum"])
                with shape.blocks(f, given["padded"], v.lanes) as (unit, count):
                    z = frame.at(z_at(frame, begin, given["column"]), unit)
                    acc = frame.at(goal, unit)
                    init = f.op(f"select i1 {empty}, ptr {frame.pointer('zeros')}, ptr {acc}")
                    frame.call_tile(
                        shape.tile(1),
                        (acc, 0),
                        (init, 0),
                        (one, 0),
                        (z, frame.slot("Zp")),
                        (k, 1, f.div(count, v.lanes // 2)),
                    )
            f.store("i64", 1, summed)


def _couple(frame: Frame, columns: int, begin: Int, k: Int) -> None:
    """Couples of the panel's rows, and of so many rows of z from one on, in place of these."""
    f = frame.f
    width, rows = ("i64", frame.slot("width")), ("i64", k)
    f.call("couple", *[("ptr", frame.buffer("area"))] * 2, width, width, rows)
    z_row = ("i64", frame.slot("Zp")), ("i64", frame.padded(HIDDEN))
    with f.loop(0, columns) as column:
        f.call("couple", *[("ptr", z_at(frame, begin, column))] * 2, *z_row, rows)


def _fill(frame: Frame, given: dict[str, str], begin: Int, k: Int) -> None:
    """Copies rows of a list, from one on so many, into the panel. Each is written in whole vectors,
    and what that is too much under the next list, or behind the last one."""
    f, v = frame.f, frame.v
    goal, width = frame.buffer("area", 0, given["at"]), frame.slot("width")
    ones = f.compare("slt", given["list"], 0)
    rows = frame.buffer("lists", given["list"], begin)
    with f.loop(0, k) as i:
        listed = f.select(ones, frame.address("one"), f.gep("ptr", rows, i), "ptr")
        row = f.load("ptr", listed)
        with f.loop(0, given["room"], v.lanes) as u:
            value = load_units(v, row, given["stride"], u, given["units"])
            v.store(value, frame.at(goal, (i, width), u))


def _matrix(
    frame: Frame, given: dict[str, str], pointers: str, rows_of_z: tuple[Int, Int], fresh: str
) -> None:
    """Adds some rows of z, from one on so many, times the panel to the sum of a matrix."""
    f, v, shape, (begin, k) = frame.f, frame.v, frame.target.bulk, rows_of_z
    padded, z = given["padded"], z_at(frame, begin, given["column"])
    own = frame.at(_sums_of_part(frame), given["sum"])
    mine = frame.at(given["goal"], (frame.slot("part"), given["apart"]))
    goal = f.select(frame.null(given["goal"]), own, mine, "ptr")
    panel, width = frame.buffer("area", 0, given["at"]), frame.slot("width")
    with f.loop(0, given["rows"], shape.rows) as m:
        rows = f.min(f.sub(given["rows"], m), shape.rows)
        with f.loop(0, rows) as r:
            f.store("ptr", frame.at(z, m, r), f.gep("ptr", pointers, r))
        with shape.blocks(f, padded, v.lanes) as (unit, count):
            acc = frame.at(goal, (m, padded), unit)
            init = f.op(f"select i1 {fresh}, ptr {frame.pointer('zeros')}, ptr {acc}")
            halves = shape.halves(f, count, f.sub(given["units"], unit), v.lanes)
            frame.call_tile(
                shape.tile(1),
                (acc, padded),
                (init, f.select(fresh, 0, padded)),
                (pointers, frame.slot("Zp")),
                (frame.at(panel, unit), width),
                (k, rows, halves),
            )


def _define_add_part(module: Module, target: Target, slots: Slots) -> None:
    """Adds the sums of a part to the gradients; the first ones are these, and those apart."""
    frame = Frame(module, "add_part", target, slots)
    f, v = frame.f, frame.v
    sums, part = _sums_of_part(frame), frame.slot("part")
    with f.loop(0, frame.slot("goals.n")) as i:
        given = _entry_of(frame, "goals", GOAL, i)
        units, apart = given["units"], f.mul(part, given["apart"])
        begins = f.compare("eq", f.select(f.compare("ne", given["apart"], 0), 0, part), 0)
        with f.loop(0, given["rows"]) as m, f.loop(0, units, v.lanes) as u:
            goal = frame.at(given["goal"], apart, (m, units))
            mine = v.load(frame.at(sums, given["sum"], (m, given["padded"]), u))

            def alone(mine: str = mine) -> str:
                return mine

            def added(goal: str = goal, u: Int = u, units: Int = units, mine: str = mine) -> str:
                return v.add(load_beside(v, goal, u, units), mine)

            value = f.either(begins, v.type, alone, added)
            store_beside(v, value, goal, u, units)
