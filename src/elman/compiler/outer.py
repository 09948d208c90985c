"""The weights' gradients: sums over rows and steps of outer products of gates' gradients with
what a weight was applied to.

The tile again: a few units of a gate times ``depth`` rows of a panel. A row of the panel has
all that the gate's weights are applied to, side by side, and a one where a vector has room. So one
product gives the gradients of the matrices and the biases of a gate. A part of the batch has sums
of its own, segment of time by segment, and those of all parts are added up from first to last.
Parts, segments and the depth depend on the sizes of a call alone: the bits do not depend on the
number of threads, nor on whether a call does all segments or one. Where each row's gradients are
wanted apart, a row has sums of its own as a part has, which nothing is added to.

Three tables come from the caller: what is side by side (:data:`OPERAND`), the sums (:data:`JOB`),
and the gradients that they are (:data:`GOAL`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..expr import Node
from ..step import Step
from .buffers import Slots
from .frame import Frame
from .ir import Int, Module
from .plan import Plan
from .target import Target
from .team import Team, team_of
from .view import View, load_units, store_units

#: Of the rows that a panel has side by side: the list of rows (an index; -1: ones), the stride
#: between units of such a row, how many units, where in a row of the panel they begin, and how much
#: they take to the end of their last vector there.
OPERAND = ("list", "stride", "units", "at", "room")
#: Of a sum, its place among the sums of a part, its rows, the gate and the first of its rows. Then
#: units of the panel: the first, how many, and that number padded. Then whether it is the first
#: product that is added to this sum. "apart": elements from a row's gradient to the next row's, 0
#: if all rows have one. "goal": the gradient that the sum itself is, if it is one. A column alone
#: is summed up in one row.
JOB = ("sum", "rows", "column", "row", "at", "units", "padded", "first", "apart", "goal")
#: Of any other gradient, where it goes, its first sum, rows, units, and what its sums' rows take;
#: "apart" as above.
GOAL = ("goal", "sum", "rows", "units", "padded", "apart")
#: Of a group: from which step of the chunk to which it is there, if rows are apart, and whether
#: there is anything in its sums.
RANGE = ("from", "to", "summed")


def goal_of(step: Step) -> tuple[str, ...]:
    """What :data:`GOAL` has: for parts of masked matrices also what the gradient's rows take."""
    return (*GOAL, "stride") if step.masks else GOAL


def lists(plan: Plan) -> tuple[Node | None, ...]:
    """What the weights' gradients are products with: the input (None), then the operands.

    Behind their lists is one more, of the rows of the inputs' gradient.
    """
    return None, *plan.operands


def emit_outer(module: Module, target: Target, slots: Slots, plan: Plan) -> None:
    """``add_up``: the sums of a chunk of a group; ``add_part``: a part to the gradients."""
    _define_add_up(module, target, slots, plan)
    _define_add_part(module, target, slots, goal_of(plan.step))


def range_of(frame: Frame, group: Int, name: str) -> View:
    """A number of :data:`RANGE` of a group."""
    return frame.scratch("ranges", group, RANGE.index(name))


def place_of(frame: Frame, step: Int) -> Int:
    """Where the rows of a group begin, from a step of the chunk on, among all rows of it."""
    f, group = frame.f, frame.slot("group")

    def of_row() -> Int:
        begin, end = (range_of(frame, group, name).load() for name in ("from", "to"))
        return f.add(
            f.mul(group, frame.slot("gate_gradients.stride")), f.min(f.max(step, begin), end)
        )

    def of_all() -> Int:
        return frame.scratch("starts").load(step)

    return f.either(f.compare("ne", frame.slot("apart"), 0), "i64", of_row, of_all)


def _sums_of_part(frame: Frame) -> View:
    """The sums of a part: in scratch memory, or where the caller keeps them between calls. A thread
    that does one part after another needs memory for one."""
    f, own, given = frame.f, frame.scratch("partials"), frame.pointer("partials.given")
    base = f.op(f"select i1 {frame.null(given)}, ptr {own.base}, ptr {given}")
    one_by_one = f.compare("ne", frame.slot("one.by.one"), 0)
    part = f.select(one_by_one, 0, frame.slot("part"))
    return frame.view(base, *own.strides).row(part)


def _entry_of(frame: Frame, table: str, kinds: Sequence[str], index: Int) -> dict[str, str]:
    entry = View(frame.f, "i64", frame.pointer(table), (len(kinds), 1)).row(index)
    return {
        name: frame.f.load("ptr" if name == "goal" else "i64", entry.at(i))
        for i, name in enumerate(kinds)
    }


def _define_add_up(module: Module, target: Target, slots: Slots, plan: Plan) -> None:
    """Adds the segments of a chunk to all sums of a group, the last segment first. Of each matrix,
    a thread of a team has some rows, and of the other sums some."""
    frame = Frame(module, "add_up", target, slots)
    team, columns = team_of(frame), len(plan.gate_gradients)
    f, v, shape = frame.f, frame.v, target.bulk
    one = View(f, "ptr", f.alloca(1, "ptr", 8))
    one.store(target.panel.one(f, frame.pointer("one")))
    pointers = View(f, "ptr", f.alloca(shape.rows, "ptr"))
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
            empty = f.compare("eq", summed.load(), 0)
            with f.loop(0, frame.slot("operands.n")) as n:
                _fill(frame, _entry_of(frame, "operands", OPERAND, n), begin, k)
            target.panel.prepare_sum(frame.scratch("area"), frame.slot("width"), k)
            for column in range(columns):
                gate = frame.scratch("gate_gradients", column).past(begin)
                target.panel.prepare_sum(gate, frame.padded(target.row), k)
            k = target.panel.length(f, k)
            with f.loop(0, frame.slot("matrices")) as job:
                given = _entry_of(frame, "jobs", JOB, job)
                fresh = f.op(f"and i1 {empty}, {f.compare('ne', given['first'], 0)}")
                _matrix(frame, given, pointers, (begin, k), fresh, team)
            matrices, tasks = frame.slot("matrices"), frame.slot("tasks")
            vectors: tuple[Int, Int] = matrices, tasks
            if team:
                share = team.share(f.sub(tasks, matrices))
                vectors = f.add(matrices, share[0]), f.add(matrices, share[1])
            with f.loop(*vectors) as job:
                given = _entry_of(frame, "jobs", JOB, job)
                goal = sums.past(given["sum"])
                gate = frame.scratch("gate_gradients", given["column"])
                with shape.blocks(f, given["padded"], v.lanes) as (unit, count):
                    acc = goal.at(unit)
                    init = f.op(f"select i1 {empty}, ptr {frame.pointer('zeros')}, ptr {acc}")
                    frame.call_tile(
                        shape.tile(1),
                        frame.view(acc, 0, 1),
                        frame.view(init, 0, 1),
                        (one.base, 0),
                        gate.past(begin, unit),
                        (k, 1, f.div(count, v.lanes)),
                    )
            summed.store(1)


def _fill(frame: Frame, given: dict[str, str], begin: Int, k: Int) -> None:
    """Copies rows of a list, from one on so many, into the panel. Each is written in whole vectors,
    and what that is too much under the next list, or behind the last one."""
    f, v = frame.f, frame.v
    goals = frame.scratch("area").past(0, given["at"])
    ones = f.compare("slt", given["list"], 0)
    rows = frame.scratch("lists", given["list"]).past(begin)
    with f.loop(0, k) as i:
        listed = f.select(ones, frame.address("one"), rows.at(i), "ptr")
        row = frame.view(f.load("ptr", listed), given["stride"])
        with f.loop(0, given["room"], v.lanes) as u:
            v.store(load_units(v, row, u, given["units"]), goals.at(i, u))


def _matrix(
    frame: Frame,
    given: dict[str, str],
    pointers: View,
    summed: tuple[Int, Int],
    fresh: str,
    team: Team | None,
) -> None:
    """Adds some rows of a gate's gradients, from one on so many, times the panel to the sum of a
    matrix."""
    f, v, shape, (begin, k) = frame.f, frame.v, frame.target.bulk, summed
    padded = given["padded"]
    gate = frame.scratch("gate_gradients", given["column"], begin).past(given["row"])
    own = _sums_of_part(frame).at(given["sum"])
    mine = frame.view(given["goal"], given["apart"]).at(frame.slot("part"))
    goals = frame.view(f.select(frame.null(given["goal"]), own, mine, "ptr"), padded, 1)
    panel = frame.scratch("area").past(0, given["at"])
    first: Int = 0
    last: Int = given["rows"]
    if team:
        tiles = f.div(f.add(given["rows"], shape.rows - 1), shape.rows)
        first, last = (f.mul(tile, shape.rows) for tile in team.share(tiles))
        last = f.min(last, given["rows"])
    with f.loop(first, last, shape.rows) as m:
        rows = f.min(f.sub(given["rows"], m), shape.rows)
        with f.loop(0, rows) as r:
            pointers.store(gate.past(m).at(r), r)
        with shape.blocks(f, padded, v.lanes) as (unit, count):
            acc = goals.past(m, unit)
            init = f.op(f"select i1 {fresh}, ptr {frame.pointer('zeros')}, ptr {acc.base}")
            frame.call_tile(
                shape.tile(1),
                acc,
                frame.view(init, f.select(fresh, 0, padded), 1),
                (pointers.base, frame.slot("gate_gradients.row")),
                panel.past(0, unit),
                (k, rows, f.div(count, v.lanes)),
            )


def _define_add_part(module: Module, target: Target, slots: Slots, kinds: Sequence[str]) -> None:
    """Adds the sums of a part to the gradients; the first ones are these, and those apart."""
    frame = Frame(module, "add_part", target, slots)
    f, v, part = frame.f, frame.v, frame.slot("part")
    with f.loop(0, frame.slot("goals.n")) as i:
        given = _entry_of(frame, "goals", kinds, i)
        units = given["units"]
        stride = given.get("stride", units)
        goals = frame.view(given["goal"], given["apart"], stride, 1).row(part)
        sums = frame.view(_sums_of_part(frame).at(given["sum"]), given["padded"], 1)
        begins = f.compare("eq", f.select(f.compare("ne", given["apart"], 0), 0, part), 0)
        with f.loop(0, given["rows"]) as m, f.loop(0, units, v.lanes) as u:
            goal, mine = goals.row(m), v.load(sums.at(m, u))

            def alone(mine: str = mine) -> str:
                return mine

            def added(goal: View = goal, u: Int = u, units: Int = units, mine: str = mine) -> str:
                return v.add(load_units(v, goal, u, units), mine)

            value = f.either(begins, v.type, alone, added)
            store_units(v, value, goal, u, units)
