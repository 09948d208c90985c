"""The weights' and biases' gradients: sums over all rows of all steps.

``dW[m][c] = sum over n of z[n][m] * row_n[c]`` is a product whose sum runs over the rows, so it
is the tile again: a few columns of ``z``, copied into strips, times the rows ``row_n``, packed
into a panel, ``depth`` of them at a time. The depth and the segments of time that follow one
another depend on the sizes alone, and each element is summed by one thread from first to last: the
bits do not depend on the number of threads, nor on whether a call does all segments or one.

Jobs are read from a table that the caller fills (:data:`JOB`): matrices, then biases, then what is
added to a matrix whose rows are applied to several values. A task is a part of the rows of one
matrix, or one bias.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .frame import Frame, Target
from .ir import Function, Int, Module
from .tile import Shape
from .vector import Vector

#: Of a matrix: where its gradient goes, how many rows it has, the column of z, the list of rows
#: (an index), the stride between units of such a row, how many units, that number padded; how many
#: jobs are added up in it, and where those after the first are. Of a bias or vector: goal, how many
#: units and column only.
JOB = ("goal", "rows", "column", "list", "stride", "units", "padded", "terms", "more")


def emit_outer(module: Module, target: Target, slots: Sequence[str], z_columns: int) -> None:
    """The worker ``backward_weights``."""
    _define_gather_panel(module, target)
    frame = Frame(module, "backward_weights", target, slots)
    f = frame.f
    area = frame.at(frame.buffer("areas"), (frame.worker(), frame.slot("area")))
    split = f.mul(frame.slot("matrices"), frame.slot("parts"))
    with frame.tickets(frame.slot("tasks")) as ticket:
        is_bias = f.compare("sge", ticket, split)
        with f.when(is_bias):
            job = f.add(frame.slot("matrices"), f.sub(ticket, split))
            _bias(frame, area, job, z_columns)
        with f.when(f.op(f"xor i1 {is_bias}, true")):
            part = f.op(f"urem i64 {ticket}, {frame.slot('parts')}")
            _matrix(frame, area, f.div(ticket, frame.slot("parts")), part, z_columns)


def _job(frame: Frame, job: Int) -> dict[str, str]:
    f = frame.f
    base = f.gep("i64", frame.pointer("jobs"), f.mul(job, len(JOB)))
    kinds = {"goal": "ptr"}
    return {
        name: f.load(kinds.get(name, "i64"), f.gep("i64", base, i)) for i, name in enumerate(JOB)
    }


def z_at(frame: Frame, columns: int, row: Int, column: Int) -> str:
    """Where the gradients at a gate are for a row of the chunk, counted among all rows; ``z`` has
    so many columns."""
    f = frame.f
    place = f.add(f.mul(f.sub(row, frame.slot("n")), columns), column)
    return frame.at(frame.buffer("z"), (place, frame.slot("Hp")))


def _bias(frame: Frame, area: str, job: Int, z_columns: int) -> None:
    """A column of z summed over all rows: a tile of one row of ones."""
    f, v, shape = frame.f, frame.v, frame.target.bulk
    given = _job(frame, job)
    one = f.alloca(1, "ptr", 8)
    f.store("ptr", frame.pointer("one"), one)
    units = given["rows"]

    def block(left: Int) -> Int:
        return f.mul(shape.width(f, left, v.lanes), v.lanes)

    with f.blocks(frame.slot("Hp"), block) as (unit, count):
        with f.loop(0, count, v.lanes) as u:
            v.store(_begun(frame, given["goal"], f.add(unit, u), units), frame.at(area, u))
        with _segments(frame, 1) as (_, begin, end):
            z = frame.at(z_at(frame, z_columns, begin, given["column"]), unit)
            frame.call_tile(
                shape,
                (area, 0),
                (area, 0),
                (one, 0),
                (z, f.mul(frame.slot("Hp"), z_columns)),
                (f.sub(end, begin), 1, f.div(count, v.lanes)),
            )
        with f.loop(0, count, v.lanes) as u:
            value = v.load(frame.at(area, u))
            frame.store_units(value, given["goal"], 1, f.add(unit, u), units)


def _equal(f: Function, total: Int, most: Int) -> Int:
    """The size of parts of a total that are as equal as can be, none larger than ``most``."""
    parts = f.max(f.div(f.add(total, f.sub(most, 1)), most), 1)
    return f.div(f.add(total, f.sub(parts, 1)), parts)


@contextmanager
def _segments(frame: Frame, some: Int) -> Iterator[tuple[str, str, str]]:
    """Every segment of the chunk, the last first: its number in this order, and its rows, first and
    last but one. None if not some."""
    f = frame.f
    table = f.gep("i64", frame.pointer("segments"), f.mul(frame.slot("segment"), 2))
    with f.loop(0, f.mul(frame.slot("segments.n"), some)) as i:
        pair = f.gep("i64", table, f.mul(i, 2))
        yield i, frame.first_row(f.load("i64", pair)), frame.first_row(f.load("i64", pair, 1))


def _begun(frame: Frame, goal: str, unit: Int, units: Int) -> str:
    """What a sum starts from: zero, or what an earlier call has left at its goal."""
    f, v = frame.f, frame.v
    known = f.compare("ne", frame.slot("sums.add"), 0)
    return f.either(
        known, v.type, lambda: frame.load_units(goal, 1, unit, units), lambda: v.number(0.0)
    )


def strip_length(shape: Shape, lanes: int, depth: int) -> int:
    """Elements of a strip: a tile's rows' worth of columns of z, ``depth`` times.

    They are copied by whole vectors from first to last, each over what the one before has copied
    too much; the last reaches less than a vector beyond the end of the strip, and of z.
    """
    return shape.rows * depth + lanes


def _matrix(frame: Frame, area: str, job: Int, part: Int, z_columns: int) -> None:
    """One part of the rows of one matrix."""
    f, v, shape = frame.f, frame.v, frame.target.bulk
    given = _job(frame, job)
    units, padded, inputs = given["units"], given["padded"], given["rows"]
    depth, most = frame.slot("depth"), frame.slot("most")
    whole = f.mul(frame.slot("parts"), shape.rows)
    size = f.mul(f.div(f.add(inputs, f.sub(whole, 1)), whole), shape.rows)
    first = f.mul(part, size)
    last = f.min(f.add(first, size), inputs)
    # Rows of whole vectors are summed up where they go.
    whole_rows = f.compare("eq", units, padded)
    sums = f.op(f"select i1 {whole_rows}, ptr {given['goal']}, ptr {area}")
    adding, copied = f.compare("ne", frame.slot("sums.add"), 0), f.compare("ne", units, padded)
    panel = frame.at(area, (inputs, frame.slot("columns")))
    strips = frame.at(panel, (depth, frame.slot("columns")))
    pointers = f.alloca(shape.rows, "ptr")

    def strip_of(m: Int) -> str:
        """The strip for the rows of the gradient from ``m`` on."""
        length = f.add(f.mul(depth, shape.rows), v.lanes)
        return frame.at(strips, (f.div(f.sub(m, first), shape.rows), length))

    def block(left: Int) -> Int:
        return f.mul(shape.width(f, left, v.lanes), v.lanes)

    with (
        f.when(f.op(f"and i1 {adding}, {copied}")),
        f.loop(first, last) as m,
        f.loop(0, padded, v.lanes) as u,
    ):
        known = frame.load_units(frame.at(given["goal"], (m, units)), 1, u, units)
        v.store(known, frame.at(sums, (m, padded), u))
    some = f.select(f.compare("slt", first, last), 1, 0)  # a part may be empty
    with (
        _segments(frame, some) as (number, start, end),
        f.loop(0, given["terms"]) as term,
        f.loop(start, end, _equal(f, f.sub(end, start), depth)) as begin,
    ):
        before = f.add(f.add(number, term), f.sub(begin, start))  # none, and the sums begin here
        fresh = f.compare("eq", f.add(before, frame.slot("sums.add")), 0)
        one = f.compare("eq", term, 0)
        here = f.select(one, job, f.sub(f.add(given["more"], term), 1))
        each = _job(frame, here)
        rows_list = f.gep("ptr", frame.buffer("lists"), f.mul(each["list"], most))
        k = f.min(f.sub(end, begin), _equal(f, f.sub(end, start), depth))
        f.call(
            f"gather_panel_{shape.name}",
            *(("ptr", panel), ("ptr", f.gep("ptr", rows_list, f.sub(begin, frame.slot("n"))))),
            *(("i64", each["stride"]), ("i64", units), ("i64", padded), ("i64", k)),
        )
        with f.loop(0, k) as i, f.loop(first, last, shape.rows) as m:
            z = frame.at(z_at(frame, z_columns, f.add(begin, i), each["column"]), m)
            for column in range(0, shape.rows, v.lanes):
                goal = frame.at(strip_of(m), (i, shape.rows), column)
                v.store(v.load(frame.at(z, column)), goal)
        with f.loop(first, last, shape.rows) as m:
            rows = f.min(f.sub(last, m), shape.rows)
            with f.loop(0, rows) as r:
                f.store("ptr", frame.at(strip_of(m), r), f.gep("ptr", pointers, r))
            with f.blocks(padded, block) as (unit, count):
                acc = frame.at(sums, (m, padded), unit)
                init = f.op(f"select i1 {fresh}, ptr {frame.pointer('zeros')}, ptr {acc}")
                frame.call_tile(
                    shape,
                    (acc, padded),
                    (init, f.select(fresh, 0, padded)),
                    (pointers, shape.rows),
                    (frame.at(panel, (unit, k)), count),
                    (k, rows, f.div(count, v.lanes)),
                )
    with (
        f.when(copied),
        f.loop(first, last) as m,
        f.loop(0, padded, v.lanes) as u,
    ):
        value = v.load(frame.at(sums, (m, padded), u))
        frame.store_units(value, frame.at(given["goal"], (m, units)), 1, u, units)


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

    def size(left: Int) -> Int:
        return f.mul(shape.width(f, left, v.lanes), v.lanes)

    with f.blocks(padded, size) as (unit, count):
        base = f.gep(v.dtype, panel, f.mul(unit, k))
        with f.loop(0, k) as i:
            source = f.load("ptr", f.gep("ptr", rows, i))
            with f.loop(0, count, v.lanes) as u:
                goal = f.gep(v.dtype, f.gep(v.dtype, base, f.mul(i, count)), u)
                at = f.add(unit, u)
                left = f.sub(units, at)
                whole = f.compare("sge", left, v.lanes)
                easy = f.op(f"and i1 {whole}, {f.compare('eq', stride, 1)}")
                place = f.gep(v.dtype, source, f.mul(at, stride))

                def quickly(goal: str = goal, place: str = place) -> Int:
                    v.store(v.load(place), goal)
                    return 0

                def slowly(goal: str = goal, place: str = place, left: Int = left) -> Int:
                    f.call(
                        "gather",
                        *(("ptr", goal), ("ptr", place), ("i64", stride), ("i64", left)),
                    )
                    return 0

                f.either(easy, "i64", quickly, slowly)
