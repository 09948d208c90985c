"""A few rows times a matrix as PyTorch holds it, for calls of one step.

Such a call reads every weight once, and packing it first would cost more than the products. Squares
of the matrix are transposed in the registers, so that each lane sums up one unit: the order of
summation, and the bits, are those of the tile.
"""

from __future__ import annotations

from .ir import Function, Int, Module
from .isa import ISA
from .vector import Vector
from .view import View

#: Of whatever multiplies with a matrix as it lies: acc, stride of its rows; init, stride of its
#: rows; pointers to the rows of a; the matrix, stride of its units; units that there are; memory
#: for the rows of a in lanes, and whether they are yet to be put there; units, rounded up to
#: vectors; length of the sum; rows. The matrix, and rows of a, have their k side by side.
PARAMS = (
    *(("ptr", "acc"), ("i64", "acc_row"), ("ptr", "init"), ("i64", "init_row"), ("ptr", "a")),
    *(("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "units"), ("ptr", "lanes")),
    *(("i64", "fresh"), ("i64", "size"), ("i64", "k"), ("i64", "rows")),
)


def heights(isa: ISA, dtype: str, single: bool) -> tuple[int, ...]:
    """Up to how many rows the functions take that there are, fewest first. A transposed square is
    in the registers, and has to be transposed for each of their calls; where rows fill more than
    half of a vector, lanes are better rows (see ``rows_in_lanes``)."""
    lanes = isa.lanes(dtype)
    return (1,) if single else tuple(n for n in (lanes // 4, lanes // 2) if n)


def name(height: int, splits: int) -> str:
    """The function that stands in for a tile of up to so many rows whose sums are cut so."""
    return f"transposed_{height}_{splits}"


def _at_once(isa: ISA, dtype: str, height: int) -> int:
    """How many vectors of units are summed up at once. One row's sum waits for itself; but caches
    take it ill when more than 16 places are read in turn."""
    return 2 if height == 1 and isa.lanes(dtype) <= 8 else 1


def define(module: Module, isa: ISA, dtype: str, height: int, splits: int) -> None:
    """Adds the function to the module, if another shape has not brought it."""
    if module.defines(name(height, splits)):
        return
    if not module.defines(_sum(height)):
        _define_sum(module, isa, dtype, height)
    f = Function(module, name(height, splits), PARAMS)
    v = Vector(f, isa, dtype)
    acc, acc_row, init, init_row, a, matrix, stride, units, _, _, size, k, rows = f.params
    group = v.lanes * _at_once(isa, dtype, height)
    goals, starts = View(f, dtype, acc, (acc_row, 1)), View(f, dtype, init, (init_row, 1))
    given, weights = View(f, "ptr", a), View(f, dtype, matrix, (stride,))
    places, operands = (View(f, "ptr", f.alloca(n, "ptr")) for n in (group, height))
    area = height * group
    sums = View(f, dtype, f.alloca(splits * area, dtype), (area, height, v.lanes))
    with f.loop(0, height) as m:  # rows that are not there are calculated as the last one is
        operands.store(given.load(f.min(m, f.sub(rows, 1))), m)
    length = f.div(k, splits)
    with f.loop(0, size, group) as first:
        with f.loop(0, group) as r:  # and so are units
            places.store(weights.at(f.min(f.add(first, r), f.sub(units, 1))), r)
        for split in range(splits):
            last = split + 1 == splits
            span = f.mul(length, split), k if last else f.mul(length, split + 1)
            parts = ("ptr", sums.at(split)), ("ptr", places.base), ("ptr", operands.base)
            f.call(_sum(height), *parts, ("i64", span[0]), ("i64", span[1]))
        left = group if group == v.lanes else f.min(group, f.sub(size, first))
        with f.loop(0, left, v.lanes) as u, f.loop(0, 1 if height == 1 else rows) as m:
            unit = f.add(first, u)
            total = v.load(starts.at(m, unit))
            for split in range(splits):
                total = v.add(total, v.load(sums.at(split, u, m)))
            v.store(total, goals.at(m, unit))


def _sum(height: int) -> str:
    return f"transposed_sum_{height}"


def _define_sum(module: Module, isa: ISA, dtype: str, height: int) -> None:
    """The sums over ``k`` from start to stop of some vectors of units, whose rows are given, each
    for so many rows of ``a``."""
    params = ("ptr", "sums"), ("ptr", "places"), ("ptr", "a"), ("i64", "start"), ("i64", "stop")
    f = Function(module, _sum(height), params)
    v = Vector(f, isa, dtype)
    start, stop = f.params[3:]
    group = v.lanes * _at_once(isa, dtype, height)
    sums = View(f, dtype, "%sums", (height, v.lanes))
    places, a = View(f, "ptr", "%places"), View(f, "ptr", "%a")
    weights = [View(f, dtype, places.load(i)) for i in range(group)]
    operands = [View(f, dtype, a.load(m)) for m in range(height)]
    whole = f.add(start, f.op(f"and i64 {f.sub(stop, start)}, {-v.lanes}"))

    def squares_of(k: Int, totals: list[str]) -> list[str]:
        rows = [operand.past(k) for operand in operands]
        found = []
        for first in range(0, group, v.lanes):
            lines = [row.at(k) for row in weights[first : first + v.lanes]]
            mine, totals = totals[:height], totals[height:]
            for n, column in enumerate(v.load_transposed(lines)):
                factors = [v.broadcast(row.at(n)) for row in rows]
                mine = [v.fma(x, column, t) for x, t in zip(factors, mine, strict=True)]
            found += mine
        return found

    count = group // v.lanes * height
    begun = [v.number(0.0)] * count
    found = f.carry((start, whole), [v.type] * count, begun, squares_of, v.lanes)
    for number, total in enumerate(found):
        v.store(total, sums.at(0, number))
    rest = f.sub(stop, whole)
    square, columns = (View(f, dtype, f.alloca(v.lanes**2, dtype), (v.lanes,)) for _ in range(2))
    lines = View(f, "ptr", f.alloca(v.lanes, "ptr"))
    with f.when(f.compare("sgt", rest, 0)), f.loop(0, group, v.lanes) as first:
        with f.loop(0, v.lanes) as r:
            source = View(f, dtype, places.load(f.add(first, r))).at(whole)
            v.store(v.load_masked(source, v.first(rest)), square.at(r))
            lines.store(square.at(r), r)
        given = ("ptr", columns.base), ("i64", v.lanes), ("ptr", lines.base), ("i64", 0)
        f.call("pack_transpose", *given)
        with f.loop(0, rest) as i, f.loop(0, height) as m:
            factor = v.broadcast(View(f, dtype, a.load(m)).at(f.add(whole, i)))
            goal = sums.at(first, m)
            v.store(v.fma(factor, v.load(columns.at(i)), v.load(goal)), goal)
