"""A vector's lanes of rows times a matrix as PyTorch holds it, for calls of one step.

Such a call reads every weight once. The rows, which are much smaller, are transposed instead: then
a weight is what is broadcast, and a vector holds a unit's sums, a row each lane. They run over
``k`` as those of the tile do, with the same bits.
"""

from __future__ import annotations

from .formats import Format
from .ir import Function, Int, Module
from .isa import ISA
from .tile import Factor, add_up
from .transposed import PARAMS
from .vector import Vector
from .view import View

#: The transposed rows; pointers to them, which have their k side by side; length, rows.
ROWS = ("ptr", "lanes"), ("ptr", "a"), ("i64", "k"), ("i64", "rows")


def name(splits: int) -> str:
    """The function that stands in for a tile whose sums are cut so."""
    return f"rows_in_lanes_{splits}"


def define(module: Module, isa: ISA, dtype: str, splits: int, most: int) -> None:
    """Adds the function to the module, and ``rows_to_lanes``; ``most``: units at once."""
    if not module.defines("rows_to_lanes"):
        _define_rows(module, isa, dtype)
        _define_add(module, isa, dtype)
    f = Function(module, name(splits), PARAMS)
    v = Vector(f, isa, dtype)
    acc, acc_row, init, init_row, _, matrix, stride, units, lanes, _, size, k, rows = f.params
    at_once = 1 << min(most, isa.accumulators // splits).bit_length() - 1
    group = max(v.lanes, at_once)
    weights, columns = View(f, dtype, matrix, (stride, 1)), View(f, dtype, lanes, (v.lanes, 1))
    area = group * v.lanes
    sums = View(f, dtype, f.alloca(splits * area, dtype), (area, v.lanes))
    goals, starts = View(f, dtype, acc), View(f, dtype, init)

    with f.loop(0, size, group) as first:
        with f.loop(0, group, at_once) as part:
            factors = []
            for i in range(at_once):  # units that are not there are read as the last one is
                unit = f.min(f.add(f.add(first, part), i), f.sub(units, 1))
                factors.append(Factor(weights.row(unit), columns))
            for i, (of_unit,) in enumerate(add_up(v, 1, Format(dtype), factors, k, splits)):
                for split, total in enumerate(of_unit):
                    v.store(total, sums.at(split, f.add(part, i)))
        with f.loop(0, f.min(group, f.sub(size, first)), v.lanes) as u:
            goal = goals.at(f.add(first, u))
            begun: tuple[str, Int] = starts.at(f.add(first, u)), init_row
            for split in range(splits):
                given = ("ptr", goal), ("i64", acc_row), ("ptr", begun[0]), ("i64", begun[1])
                f.call("add_lanes", *given, ("ptr", sums.at(split, u)), ("i64", rows))
                begun = goal, acc_row


def _define_rows(module: Module, isa: ISA, dtype: str) -> None:
    """``rows_to_lanes``: up to as many rows as there are lanes, transposed."""
    f = Function(module, "rows_to_lanes", ROWS)
    to, a, k, rows = f.params
    lanes = isa.lanes(dtype)
    places, pointers = View(f, "ptr", f.alloca(lanes, "ptr")), View(f, "ptr", a)
    goals = View(f, dtype, to, (lanes, 1))
    with f.loop(0, lanes) as r:  # rows that are not there are read as the last one is
        places.store(pointers.load(f.min(r, f.sub(rows, 1))), r)
    whole = f.op(f"and i64 {k}, {-lanes}")
    with f.loop(0, whole, lanes) as i:
        goal = ("ptr", goals.at(i)), ("i64", lanes)
        f.call("pack_transpose", *goal, ("ptr", places.base), ("i64", i))
    with f.loop(whole, k) as i, f.loop(0, lanes) as r:
        goals.store(View(f, dtype, places.load(r)).load(i), i, r)


def _define_add(module: Module, isa: ISA, dtype: str) -> None:
    """``add_lanes``: adds a square of sums, transposed, to so many rows of init."""
    params = ("ptr", "acc"), ("i64", "acc_row"), ("ptr", "init"), ("i64", "init_row")
    f = Function(module, "add_lanes", [*params, ("ptr", "sums"), ("i64", "rows")])
    acc, acc_row, init, init_row, sums, rows = f.params
    v = Vector(f, isa, dtype)
    goals, starts = View(f, dtype, acc, (acc_row,)), View(f, dtype, init, (init_row,))
    of_units = View(f, dtype, sums, (v.lanes,))
    columns = v.load_transposed([of_units.at(r) for r in range(v.lanes)])

    def add(column: str, m: Int) -> None:
        v.store(v.add(v.load(starts.at(m)), column), goals.at(m))

    def every() -> Int:
        for number, column in enumerate(columns):
            add(column, number)
        return 0

    def some() -> Int:
        square = View(f, dtype, f.alloca(v.lanes * v.lanes, dtype), (v.lanes,))
        for number, column in enumerate(columns):
            v.store(column, square.at(number))
        with f.loop(0, rows) as m:
            add(v.load(square.at(m)), m)
        return 0

    f.either(f.compare("eq", rows, v.lanes), "i64", every, some)
