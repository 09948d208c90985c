"""The weights' gradients: sums over rows and steps of outer products of ``z`` with what a weight
was applied to.

The tile again: a few columns of ``z``, copied into strips, times the rows ``row_n``, packed
into a panel, ``depth`` of them at a time. A part of the batch has sums of its own, segment of time
by segment, and those of all parts are added up from first to last. Parts, segments and the
depth depend on the sizes of a call alone: the bits do not depend on the number of threads, nor on
whether a call does all segments or one.

Two tables come from the caller: the sums (:data:`JOB`), those with the same list of rows next to
each other, and the gradients that they are (:data:`GOAL`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..expr import Node
from .frame import Frame
from .ir import Function, Int, Module
from .plan import Plan
from .target import Target
from .tile import Shape
from .units import load_units, store_units
from .vector import Vector

#: Of a sum: where it lies among the sums of a part, its rows, the column of z, the list of rows (an
#: index), the stride between units of such a row, how many units, that number padded, whether it is
#: the first that is added to this sum, and where the gradient goes, which it may be itself. A
#: column alone is summed up in one row, for a bias.
JOB = ("sum", "rows", "column", "list", "stride", "units", "padded", "first", "goal")
#: Of a gradient: where it goes, the sum, rows, units, padded units.
GOAL = ("goal", "sum", "rows", "units", "padded")


def lists(plan: Plan) -> tuple[Node | None, ...]:
    """What the weights' gradients are products with: the input (None), then the operands.

    Behind their lists is one more, of the rows of the inputs' gradient.
    """
    return None, *dict.fromkeys(operand for _, _, operand in plan.z_product)


def emit_outer(module: Module, target: Target, slots: Sequence[str], z_columns: int) -> None:
    """``add_up``: the sums of a chunk of a part; ``add_part``: a part to the gradients."""
    _define_gather_panel(module, target)
    _define_add_up(module, target, slots, z_columns)
    _define_add_part(module, target, slots)


def z_at(frame: Frame, columns: int, row: Int, column: Int) -> str:
    """Where the gradients at a gate are for a row of the chunk; ``z`` has so many columns."""
    f = frame.f
    place = f.add(f.mul(row, columns), column)
    return frame.at(frame.buffer("z"), (place, frame.slot("Hp")))


def _sums_of_part(frame: Frame) -> str:
    """The sums of a part: in scratch memory, or where the caller keeps them between calls. A thread
    that does one part after another needs memory for one."""
    f, own, given = frame.f, frame.buffer("partials"), frame.pointer("partials.given")
    base = f.op(f"select i1 {frame.null(given)}, ptr {own}, ptr {given}")
    one_by_one = f.compare("ne", frame.slot("one.by.one"), 0)
    part = f.select(one_by_one, 0, frame.slot("part"))
    return frame.at(base, (part, frame.slot("partials.size")))


def _is_gradient(frame: Frame, given: dict[str, str]) -> str:
    """Whether a sum of rows is the gradient itself: it is the only part's, of whole vectors."""
    f = frame.f
    whole = f.compare("eq", given["units"], given["padded"])
    matrix = f.compare("sgt", given["rows"], 1)
    only = f.compare("ne", frame.slot("direct"), 0)
    return f.op(f"and i1 {only}, {f.op(f'and i1 {matrix}, {whole}')}")


def strip_length(shape: Shape, lanes: int, depth: int) -> int:
    """Elements of a strip: a tile's rows' worth of columns of z, ``depth`` times.

    They are copied by whole vectors from first to last, each over what the one before has copied
    too much; the last reaches less than a vector beyond the end of the strip, and of z.
    """
    return shape.rows * depth + lanes


def _entry_of(frame: Frame, table: str, kinds: Sequence[str], index: Int) -> dict[str, str]:
    f = frame.f
    base = f.gep("i64", frame.pointer(table), f.mul(index, len(kinds)))
    return {
        name: f.load("ptr" if name == "goal" else "i64", f.gep("i64", base, i))
        for i, name in enumerate(kinds)
    }


def _define_add_up(module: Module, target: Target, slots: Sequence[str], z_columns: int) -> None:
    """Adds the segments of a chunk to all sums of its part, the last segment first."""
    frame = Frame(module, "add_up", target, slots)
    f, v, shape = frame.f, frame.v, target.bulk
    one = f.alloca(1, "ptr", 8)
    f.store("ptr", frame.pointer("one"), one)
    pointers, packed = f.alloca(shape.rows, "ptr"), f.alloca(1, "i64", 8)
    summed = frame.address("summed")
    sums, depth = _sums_of_part(frame), frame.slot("depth")
    j, stop, length = frame.slot("j"), frame.slot("j.end"), frame.slot("segment")
    segments = f.div(f.add(f.sub(stop, j), f.sub(length, 1)), length)
    starts = frame.buffer("starts")

    with f.loop(0, segments) as i:
        step = f.mul(f.sub(f.sub(segments, 1), i), length)
        start = f.load("i64", f.gep("i64", starts, step))
        after = f.min(f.add(step, length), f.sub(stop, j))
        end = f.load("i64", f.gep("i64", starts, after))
        size = f.equal(f.sub(end, start), depth)
        with f.loop(start, end, size) as begin:
            k = f.min(f.sub(end, begin), size)
            empty = f.compare("eq", f.load("i64", summed), 0)
            f.store("i64", -1, packed)
            with f.loop(0, frame.slot("matrices")) as job:
                given = _entry_of(frame, "jobs", JOB, job)
                first_of_list = f.compare("ne", f.load("i64", packed), given["list"])
                with f.when(first_of_list):
                    skipped = f.mul(given["list"], frame.slot("most"))
                    rows = f.gep("ptr", frame.buffer("lists"), f.add(skipped, begin))
                    f.call(
                        f"gather_panel_{shape.name}",
                        *(("ptr", frame.buffer("area")), ("ptr", rows)),
                        *(("i64", given[name]) for name in ("stride", "units", "padded")),
                        ("i64", k),
                    )
                    f.store("i64", given["list"], packed)
                fresh = f.op(f"and i1 {empty}, {f.compare('ne', given['first'], 0)}")
                _matrix(frame, given, pointers, (begin, k), fresh, z_columns)
            with f.loop(frame.slot("matrices"), frame.slot("tasks")) as job:
                given = _entry_of(frame, "jobs", JOB, job)
                goal = frame.at(sums, given["sum"])
                with shape.blocks(f, given["padded"], v.lanes) as (unit, count):
                    z = frame.at(z_at(frame, z_columns, begin, given["column"]), unit)
                    acc = frame.at(goal, unit)
                    init = f.op(f"select i1 {empty}, ptr {frame.pointer('zeros')}, ptr {acc}")
                    frame.call_tile(
                        shape.tile(1),
                        (acc, 0),
                        (init, 0),
                        (one, 0),
                        (z, f.mul(frame.slot("Hp"), z_columns)),
                        (k, 1, f.div(count, v.lanes // 2)),
                    )
            f.store("i64", 1, summed)


def _matrix(
    frame: Frame,
    given: dict[str, str],
    pointers: str,
    rows_of_z: tuple[Int, Int],
    fresh: str,
    z_columns: int,
) -> None:
    """Adds some rows of z, from one on so many, times the panel to the sum of a matrix."""
    f, v, shape, (begin, k) = frame.f, frame.v, frame.target.bulk, rows_of_z
    padded, inputs, depth = given["padded"], given["rows"], frame.slot("depth")
    own = frame.at(_sums_of_part(frame), given["sum"])
    goal = f.op(f"select i1 {_is_gradient(frame, given)}, ptr {given['goal']}, ptr {own}")
    panel = frame.buffer("area")
    strips = frame.at(panel, (depth, frame.slot("columns")))

    def strip_of(m: Int) -> str:
        """The strip for the rows of the gradient from ``m`` on."""
        length = f.add(f.mul(depth, shape.rows), v.lanes)
        return frame.at(strips, (f.div(m, shape.rows), length))

    with f.loop(0, k) as i, f.loop(0, inputs, shape.rows) as m:
        z = frame.at(z_at(frame, z_columns, f.add(begin, i), given["column"]), m)
        for column in range(0, shape.rows, v.lanes):
            v.store(v.load(frame.at(z, column)), frame.at(strip_of(m), (i, shape.rows), column))
    with f.loop(0, inputs, shape.rows) as m:
        rows = f.min(f.sub(inputs, m), shape.rows)
        with f.loop(0, rows) as r:
            f.store("ptr", frame.at(strip_of(m), r), f.gep("ptr", pointers, r))
        with shape.blocks(f, padded, v.lanes) as (unit, count):
            acc = frame.at(goal, (m, padded), unit)
            init = f.op(f"select i1 {fresh}, ptr {frame.pointer('zeros')}, ptr {acc}")
            halves = shape.halves(f, count, f.sub(given["units"], unit), v.lanes)
            frame.call_tile(
                shape.tile(1),
                (acc, padded),
                (init, f.select(fresh, 0, padded)),
                (pointers, shape.rows),
                (frame.at(panel, (unit, k)), count),
                (k, rows, halves),
            )


def _define_add_part(module: Module, target: Target, slots: Sequence[str]) -> None:
    """Adds the sums of a part to the gradients; the first ones are these."""
    frame = Frame(module, "add_part", target, slots)
    f, v = frame.f, frame.v
    sums, begins = _sums_of_part(frame), f.compare("eq", frame.slot("part"), 0)
    with f.loop(0, frame.slot("goals.n")) as i:
        given = _entry_of(frame, "goals", GOAL, i)
        units, padded = given["units"], given["padded"]
        rows = f.select(_is_gradient(frame, given), 0, given["rows"])  # then it is there
        with f.loop(0, rows) as m, f.loop(0, padded, v.lanes) as u:
            goal = frame.at(given["goal"], (m, units))
            mine = v.load(frame.at(sums, given["sum"], (m, padded), u))

            def alone(mine: str = mine) -> str:
                return mine

            def added(goal: str = goal, u: Int = u, units: Int = units, mine: str = mine) -> str:
                return v.add(load_units(frame.v, goal, 1, u, units), mine)

            value = f.either(begins, v.type, alone, added)
            store_units(frame.v, value, goal, 1, u, units)


def _define_gather_panel(module: Module, target: Target) -> None:
    """``panel[block][k][unit] = list[k][unit * stride]``, padded with zeros."""
    shape = target.bulk
    params = (
        *(("ptr", "panel"), ("ptr", "rows"), ("i64", "stride"), ("i64", "units")),
        *(("i64", "padded"), ("i64", "k")),
    )
    f = Function(module, f"gather_panel_{shape.name}", params)
    v = Vector(f, target.isa, target.dtype)
    panel, rows, stride, units, padded, k = f.params

    with shape.blocks(f, padded, v.lanes) as (unit, count):
        base = f.gep(v.dtype, panel, f.mul(unit, k))
        with f.loop(0, k) as i:
            source = f.load("ptr", f.gep("ptr", rows, i))
            with f.loop(0, count, v.lanes) as u:
                goal = f.gep(v.dtype, f.gep(v.dtype, base, f.mul(i, count)), u)
                v.store(load_units(v, source, stride, f.add(unit, u), units), goal)
