"""A chunk of a module that needs a whole sequence: layers of two directions, and poolings.

Layer after layer goes through all steps, each direction from its end. What lies between layers has
room for the most steps of a sequence in the caller's memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..compiler.ir import Function, Int, Module
from ..compiler.vector import literal
from ..compiler.view import View
from ..nn.parts import POOLS
from .calls import TOKEN, declare, emit_add, emit_begin, emit_layer, emit_row
from .layers import Memory, Part
from .stack import Level, Stack


class _Room(NamedTuple):
    """Places in the caller's memory."""

    between: Sequence[int]  # rows of a sequence, by turns
    pooled: int  # one row
    merged: int  # one row of a second direction, before it is merged
    scratch: int


class _Input(NamedTuple):
    """What a layer reads: rows of numbers, or of an embedding by their tokens."""

    rows: View
    embedding: int = -1

    def row(self, f: Function, stack: Stack, t: Int) -> str:
        """The address of a step's row."""
        if self.embedding < 0:
            return self.rows.at(t)
        return emit_row(f, stack, self.embedding, self.rows.load(t))


def emit_chunk(
    module: Module,
    stack: Stack,
    name: str,
    parts: Sequence[Part],
    state: Memory,
    scratch: int,
    embedding: int,
) -> None:
    """``name_chunk(state, x, ..., T, y)``, for a sequence of at most ``stack.max_steps``."""
    f, dtype = declare(module, stack, name, "chunk"), stack.dtype
    room, rest = _room(stack, state, scratch), iter(parts)
    steps: Int = "%T"
    given = _Input(View(f, dtype, "%x", (stack.width,)))
    if stack.tokens:
        given = _Input(View(f, TOKEN, "%x"), embedding)
    further = {
        name: View(f, dtype, f"%input{n}", (units,))
        for n, (name, units) in enumerate(stack.further.items())
    }
    for i, level in enumerate(stack.levels):
        last = level is stack.levels[-1]
        place = "%y" if last and not level.pool else _place(f, room.between[i % 2])
        goal = View(f, dtype, place, (level.step_units, 1))
        for back, _ in enumerate(level.ways):
            part = next(rest)
            emit_begin(f, stack, part)
            _walk(f, stack, part, level, bool(back), steps, given, further, goal, room)
        if level.residual:
            with f.loop(0, steps) as t:
                emit_add(f, dtype, level.step_units, goal.at(t), given.row(f, stack, t))
        given = _Input(goal)
        if level.pool:
            pooled = View(f, dtype, "%y" if last else _place(f, room.pooled), (level.units,))
            _pool(f, level, steps, goal, pooled.base)
            given, steps = _Input(pooled), 1


def _place(f: Function, place: int) -> str:
    return f.gep("i8", "%state", place)


def _room(stack: Stack, state: Memory, scratch: int) -> _Room:
    size, last = stack.number_bytes, stack.levels[-1]
    inner = [level for level in stack.levels if level.pool or level is not last]
    widest = max([level.step_units for level in inner], default=0)
    between = [state.take(stack.max_steps * widest * size) for _ in inner[:2]]
    pooled = state.take(max(level.units for level in stack.levels) * size)
    merged = state.take(max(level.way_units for level in stack.levels) * size)
    return _Room(between, pooled, merged, scratch)


def _walk(
    f: Function,
    stack: Stack,
    part: Part,
    level: Level,
    back: bool,
    steps: Int,
    given: _Input,
    further: Mapping[str, View],
    goal: View,
    room: _Room,
) -> None:
    """One direction of a layer through all steps."""
    units, apart = level.way_units, back and level.merge != "concat"
    with f.loop(0, steps) as turn:
        t = f.sub(f.sub(steps, 1), turn) if back else turn
        inputs = {name: view.at(t) for name, view in further.items()}
        own = _place(f, room.merged) if apart else goal.at(t, units if back else 0)
        emit_layer(f, part, given.row(f, stack, t), own, inputs, room.scratch)
        if apart:
            _merge(f, level.merge, goal.row(t), View(f, stack.dtype, own), units)


def _merge(f: Function, how: str, first: View, second: View, units: int) -> None:
    """Makes one output of those of two directions, in place of the first."""
    kind = first.kind
    with f.loop(0, units) as i:
        operation = "fmul" if how == "mul" else "fadd"
        value = f.op(f"{operation} {kind} {first.load(i)}, {second.load(i)}")
        if how == "mean":
            value = f.op(f"fmul {kind} {value}, {literal(0.5)}")
        first.store(value, i)


def _pool(f: Function, level: Level, steps: Int, rows: View, into: str) -> None:
    """One row of the rows of all steps."""
    kind, units = rows.kind, level.step_units
    end, count = f.sub(steps, 1), f.op(f"uitofp i64 {steps} to {kind}")

    def last(i: Int, first: bool) -> str:
        return rows.load(0 if first else end, i)

    def over_time(i: Int, how: str) -> str:
        def turn(t: Int, now: list[str]) -> list[str]:
            value = rows.load(t, i)
            if how == "mean":
                return [f.op(f"fadd {kind} {now[0]}, {value}")]
            larger = f.op(f"fcmp ogt {kind} {value}, {now[0]}")
            return [f.op(f"select i1 {larger}, {kind} {value}, {kind} {now[0]}")]

        begun = [literal(0.0)] if how == "mean" else [rows.load(0, i)]
        (found,) = f.carry((0, steps), [kind], begun, turn)
        return found if how == "max" else f.op(f"fdiv {kind} {found}, {count}")

    for n, how in enumerate(POOLS[level.pool]):
        goal = View(f, kind, into).past(n * units)
        for begin, stop in ((0, level.way_units), (level.way_units, units)):
            with f.loop(begin, stop) as i:
                value = last(i, begin > 0) if how == "last" else over_time(i, how)
                goal.store(value, i)
