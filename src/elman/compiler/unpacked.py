"""Rows times a matrix as PyTorch holds it, for calls of one step.

Such a call reads every weight once, and packing it first would cost more than the products. Either
few rows are multiplied with squares of the matrix, which are transposed in the registers: each lane
sums up one unit. Or the rows, a vector's lanes of them, are transposed, since they are much smaller
than the matrix: then a weight is what is broadcast, and each lane sums up one row. The order of
summation, and the bits, are those of the tile.
"""

from __future__ import annotations

from collections.abc import Callable

from .formats import Format
from .ir import Function, Int, Module
from .target import Target
from .tile import Factor, add_up
from .vector import Vector
from .view import View

#: acc, stride of its rows; init, stride of its rows; pointers to the rows of a; the matrix, stride
#: of its units; units that there are; memory for the rows of a in lanes, and whether they are yet
#: to be put there; units, rounded up to vectors; length of the sum; rows. The matrix, and rows of
#: a, have their k side by side.
PARAMS = (
    *(("ptr", "acc"), ("i64", "acc_row"), ("ptr", "init"), ("i64", "init_row"), ("ptr", "a")),
    *(("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "units"), ("ptr", "lanes")),
    *(("i64", "fresh"), ("i64", "size"), ("i64", "k"), ("i64", "rows")),
)
#: Writes the sums of a group of units, from one on, to a view of splits, units, rows and lanes.
_SumUp = Callable[[Int], None]


def name(splits: int) -> str:
    """The function that stands in for a tile whose sums are cut so."""
    return f"unpacked_{splits}"


def define(module: Module, target: Target, splits: int) -> None:
    """Adds the function to the module: up to a vector's lanes of rows times some units.

    A transposed square is in the registers, and has to be transposed for each few rows; where rows
    fill more than half of a vector, lanes are better rows.
    """
    isa, dtype = target.isa, target.dtype
    lanes = isa.lanes(dtype)
    heights = [1] if target.single else [n for n in (lanes // 4, lanes // 2) if n]
    for height in heights:
        _define_squares(module, target, height, splits)
    if not target.single:
        _define_lanes(module, target, splits)
    f = Function(module, name(splits), PARAMS, shared=True)

    def call(function: str) -> None:
        f.call(function, *((kind, f"%{parameter}") for kind, parameter in PARAMS))

    def in_lanes() -> None:
        with f.when(f.compare("ne", "%fresh", 0)):
            _transpose_rows(f, dtype, lanes)
        call(f"lanes_{splits}")

    def up_to(heights: list[int]) -> None:
        if not heights:
            in_lanes()
            return
        fits = "true" if target.single else f.compare("sle", "%rows", heights[0])
        f.branch(fits, lambda: call(f"squares_{heights[0]}_{splits}"), lambda: up_to(heights[1:]))

    up_to(heights)


def _transpose_rows(f: Function, dtype: str, lanes: int) -> None:
    """Puts rows of a into lanes."""
    places, pointers = View(f, "ptr", f.alloca(lanes, "ptr")), View(f, "ptr", "%a")
    goals = View(f, dtype, "%lanes", (lanes, 1))
    with f.loop(0, lanes) as r:  # rows that are not there are read as the last one is
        places.store(pointers.load(f.min(r, f.sub("%rows", 1))), r)
    whole = f.op(f"and i64 %k, {-lanes}")
    with f.loop(0, whole, lanes) as i:
        goal = ("ptr", goals.at(i)), ("i64", lanes)
        f.call("pack_transpose", *goal, ("ptr", places.base), ("i64", i))
    with f.loop(whole, "%k") as i, f.loop(0, lanes) as r:
        goals.store(View(f, dtype, places.load(r)).load(i), i, r)


def _define(
    v: Vector, height: int, group: int, splits: int, begin: Callable[[View], _SumUp]
) -> None:
    """A function of a vector, for up to so many rows: group after group of units, adds up their
    sums, which ``begin`` says how to find."""
    f, dtype = v.f, v.dtype
    acc, acc_row, init, init_row, *_, size, _, rows = f.params
    goals, starts = View(f, dtype, acc, (acc_row, 1)), View(f, dtype, init, (init_row, 1))
    area = height * group
    sums = View(f, dtype, f.alloca(splits * area, dtype), (area, height, v.lanes))
    sum_up = begin(sums)
    with f.loop(0, size, group) as first:
        sum_up(first)
        left = group if group == v.lanes else f.min(group, f.sub(size, first))
        with f.loop(0, left, v.lanes) as u, f.loop(0, 1 if height == 1 else rows) as m:
            unit = f.add(first, u)
            total = v.load(starts.at(m, unit))
            for split in range(splits):
                total = v.add(total, v.load(sums.at(split, u, m)))
            v.store(total, goals.at(m, unit))


def _define_lanes(module: Module, target: Target, splits: int) -> None:
    """Up to as many rows as there are lanes, which have been transposed."""
    isa, dtype, most = target.isa, target.dtype, target.schedule.broadcast_units
    v = Vector(Function(module, f"lanes_{splits}", PARAMS), isa, dtype)
    f, (*_, matrix, stride, units, lanes, _, _, k, _) = v.f, v.f.params
    at_once = 1 << min(most, isa.accumulators // splits).bit_length() - 1
    group = max(v.lanes, at_once)
    weights = View(f, target.weights, matrix, (stride, 1))
    columns = View(f, dtype, lanes, (v.lanes, 1))

    def begin(sums: View) -> _SumUp:
        def sum_up(first: Int) -> None:
            with f.loop(0, group, at_once) as part:
                factors = []
                for i in range(at_once):  # units that are not there are read as the last one is
                    unit = f.min(f.add(f.add(first, part), i), f.sub(units, 1))
                    factors.append(Factor(weights.row(unit), columns))
                for i, (of_unit,) in enumerate(add_up(v, 1, Format(dtype), factors, k, splits)):
                    for split, total in enumerate(of_unit):
                        v.store(total, sums.at(split, 0, f.add(part, i)))
            with f.loop(0, splits) as one, f.loop(0, group, v.lanes) as u:
                square = [sums.at(one, u, r) for r in range(v.lanes)]
                for place, row in zip(square, v.load_transposed(square), strict=True):
                    v.store(row, place)

        return sum_up

    _define(v, v.lanes, group, splits, begin)


def _define_squares(module: Module, target: Target, height: int, splits: int) -> None:
    """Up to so many rows; those that are not there are calculated as the last one is."""
    isa, dtype = target.isa, target.dtype
    # One row's sum waits for itself; but caches take it ill when more than 16 places are read in
    # turn.
    vectors = 2 if height == 1 and isa.lanes(dtype) <= 8 else 1
    if not module.defines(f"squares_sum_{height}"):
        _define_sum(module, target, height, vectors)
    v = Vector(Function(module, f"squares_{height}_{splits}", PARAMS), isa, dtype)
    f, (*_, a, matrix, stride, units, _, _, _, k, rows) = v.f, v.f.params
    group = v.lanes * vectors
    given, weights = View(f, "ptr", a), View(f, target.weights, matrix, (stride,))

    def begin(sums: View) -> _SumUp:
        places, operands = (View(f, "ptr", f.alloca(n, "ptr")) for n in (group, height))
        with f.loop(0, height) as m:
            operands.store(given.load(f.min(m, f.sub(rows, 1))), m)
        length = f.div(k, splits)

        def sum_up(first: Int) -> None:
            with f.loop(0, group) as r:  # units that are not there are read as the last one is
                places.store(weights.at(f.min(f.add(first, r), f.sub(units, 1))), r)
            for split in range(splits):
                stop = k if split + 1 == splits else f.mul(length, split + 1)
                parts = ("ptr", sums.at(split)), ("ptr", places.base), ("ptr", operands.base)
                span = ("i64", f.mul(length, split)), ("i64", stop)
                f.call(f"squares_sum_{height}", *parts, *span)

        return sum_up

    _define(v, height, group, splits, begin)


def _define_sum(module: Module, target: Target, height: int, vectors: int) -> None:
    """The sums over ``k`` from start to stop of some vectors of units, whose rows are given, each
    for so many rows of ``a``."""
    isa, dtype, kind = target.isa, target.dtype, target.weights
    params = ("ptr", "sums"), ("ptr", "places"), ("ptr", "a"), ("i64", "start"), ("i64", "stop")
    f = Function(module, f"squares_sum_{height}", params)
    v = Vector(f, isa, dtype)
    start, stop = f.params[3:]
    group = v.lanes * vectors
    sums = View(f, dtype, "%sums", (height, v.lanes))
    places, a = View(f, "ptr", "%places"), View(f, "ptr", "%a")
    weights = [View(f, kind, places.load(i)) for i in range(group)]
    operands = [View(f, dtype, a.load(m)) for m in range(height)]
    whole = f.add(start, f.op(f"and i64 {f.sub(stop, start)}, {-v.lanes}"))

    def squares_of(k: Int, totals: list[str]) -> list[str]:
        rows = [operand.past(k) for operand in operands]
        found = []
        for first in range(0, group, v.lanes):
            lines = [row.at(k) for row in weights[first : first + v.lanes]]
            mine, totals = totals[:height], totals[height:]
            for n, column in enumerate(v.load_transposed(lines, kind)):
                factors = [v.broadcast(row.at(n)) for row in rows]
                mine = [v.fma(x, column, t) for x, t in zip(factors, mine, strict=True)]
            found += mine
        return found

    count = vectors * height
    begun = [v.number(0.0)] * count
    found = f.carry((start, whole), [v.type] * count, begun, squares_of, v.lanes)
    for number, total in enumerate(found):
        v.store(total, sums.at(0, number))
    rest = f.sub(stop, whole)
    square, columns = (View(f, dtype, f.alloca(v.lanes**2, dtype), (v.lanes,)) for _ in range(2))
    lines = View(f, "ptr", f.alloca(v.lanes, "ptr"))
    with f.when(f.compare("sgt", rest, 0)), f.loop(0, group, v.lanes) as first:
        with f.loop(0, v.lanes) as r:
            source = View(f, kind, places.load(f.add(first, r))).at(whole)
            v.store(v.load_masked(source, v.first(rest), kind), square.at(r))
            lines.store(square.at(r), r)
        given = ("ptr", columns.base), ("i64", v.lanes), ("ptr", lines.base), ("i64", 0)
        f.call("pack_transpose", *given)
        with f.loop(0, rest) as i, f.loop(0, height) as m:
            factor = v.broadcast(View(f, dtype, a.load(m)).at(f.add(whole, i)))
            goal = sums.at(first, m)
            v.store(v.fma(factor, v.load(columns.at(i)), v.load(goal)), goal)
