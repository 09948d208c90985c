"""A few rows times a matrix as PyTorch holds it, for calls of one step.

Such a call reads every weight once, and packing it first would cost more than the products. Squares
of the matrix are turned in the registers, so that each lane sums up one unit: the order of
summation, and the bits, are those of the tile.
"""

from __future__ import annotations

from .ir import Function, Int, Module
from .isa import ISA
from .vector import Vector

#: acc, stride of its rows; init, stride of its rows; pointers to the rows of a; the matrix, stride
#: of its units; units that there are; units, rounded up to vectors; length of the sum; rows. The
#: matrix, and rows of a, have their k side by side.
PARAMS = (
    *(("ptr", "acc"), ("i64", "acc_row"), ("ptr", "init"), ("i64", "init_row"), ("ptr", "a")),
    *(("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "units"), ("i64", "size"), ("i64", "k")),
    ("i64", "rows"),
)


def heights(isa: ISA, dtype: str, single: bool) -> tuple[int, ...]:
    """Up to how many rows the functions take that there are, fewest first. What is turned is in the
    registers, and has to be turned for each of their calls; where rows fill more than half of a
    vector, lanes are better rows (see ``across``)."""
    lanes = isa.lanes(dtype)
    return (1,) if single else tuple(n for n in (lanes // 4, lanes // 2) if n)


def name(height: int, chains: int) -> str:
    """The function that stands in for a tile of up to so many rows with so many chains."""
    return f"turned_{height}_{chains}"


def _together(isa: ISA, dtype: str, height: int) -> int:
    """How many vectors of units are summed up at once. One row's sum waits for itself; but caches
    take it ill when more than 16 places are read in turn."""
    return 2 if height == 1 and isa.lanes(dtype) <= 8 else 1


def define(module: Module, isa: ISA, dtype: str, height: int, chains: int) -> None:
    """Adds the function to the module, if another shape has not brought it."""
    if module.defines(name(height, chains)):
        return
    if not module.defines(_sum(height)):
        _define_sum(module, isa, dtype, height)
    f = Function(module, name(height, chains), PARAMS)
    v = Vector(f, isa, dtype)
    acc, acc_row, init, init_row, a, matrix, stride, units, size, k, rows = f.params
    group = v.lanes * _together(isa, dtype, height)
    places, operands = f.alloca(group, "ptr"), f.alloca(height, "ptr")
    area = height * group
    sums = f.alloca(chains * area, dtype)
    with f.loop(0, height) as m:  # rows that are not there are calculated as the last one is
        there = f.load("ptr", f.gep("ptr", a, f.min(m, f.sub(rows, 1))))
        f.store("ptr", there, f.gep("ptr", operands, m))
    length = f.div(k, chains)
    with f.loop(0, size, group) as first:
        with f.loop(0, group) as r:  # and so are units
            there = f.gep(dtype, matrix, f.mul(f.min(f.add(first, r), f.sub(units, 1)), stride))
            f.store("ptr", there, f.gep("ptr", places, r))
        for chain in range(chains):
            last = chain + 1 == chains
            span = f.mul(length, chain), k if last else f.mul(length, chain + 1)
            goal = f.gep(dtype, sums, chain * area)
            given = ("ptr", goal), ("ptr", places), ("ptr", operands)
            f.call(_sum(height), *given, ("i64", span[0]), ("i64", span[1]))
        left = group if group == v.lanes else f.min(group, f.sub(size, first))
        with f.loop(0, left, v.lanes) as u, f.loop(0, 1 if height == 1 else rows) as m:
            unit, place = f.add(first, u), f.add(f.mul(u, height), f.mul(m, v.lanes))
            total = v.load(f.gep(dtype, init, f.add(f.mul(init_row, m), unit)))
            for chain in range(chains):
                total = v.add(total, v.load(f.gep(dtype, sums, f.add(place, chain * area))))
            v.store(total, f.gep(dtype, acc, f.add(f.mul(acc_row, m), unit)))


def _sum(height: int) -> str:
    return f"turned_sum_{height}"


def _define_sum(module: Module, isa: ISA, dtype: str, height: int) -> None:
    """The sums over ``k`` from start to stop of some vectors of units, whose rows are given, each
    for so many rows of ``a``."""
    params = ("ptr", "sums"), ("ptr", "places"), ("ptr", "a"), ("i64", "start"), ("i64", "stop")
    f = Function(module, _sum(height), params)
    v = Vector(f, isa, dtype)
    sums, places, a, start, stop = f.params
    group = v.lanes * _together(isa, dtype, height)
    pointers = [f.load("ptr", places, i) for i in range(group)]
    operands = [f.load("ptr", a, m) for m in range(height)]
    whole = f.add(start, f.op(f"and i64 {f.sub(stop, start)}, {-v.lanes}"))

    def squares_of(k: Int, totals: list[str]) -> list[str]:
        rows = [f.gep(dtype, operand, k) for operand in operands]
        found = []
        for first in range(0, group, v.lanes):
            lines = [f.gep(dtype, p, k) for p in pointers[first : first + v.lanes]]
            mine, totals = totals[:height], totals[height:]
            for n, column in enumerate(v.load_turned(lines)):
                factors = [v.broadcast(f.gep(dtype, row, n)) for row in rows]
                mine = [v.fma(x, column, t) for x, t in zip(factors, mine, strict=True)]
            found += mine
        return found

    count = group // v.lanes * height
    begun = [v.number(0.0)] * count
    found = f.carry((start, whole), [v.type] * count, begun, squares_of, v.lanes)
    for number, total in enumerate(found):
        v.store(total, f.gep(dtype, sums, number * v.lanes))
    rest = f.sub(stop, whole)
    square, turned = (f.alloca(v.lanes * v.lanes, dtype) for _ in range(2))
    lines = f.alloca(v.lanes, "ptr")
    with f.when(f.compare("sgt", rest, 0)), f.loop(0, group, v.lanes) as first:
        with f.loop(0, v.lanes) as r:
            source = f.gep(dtype, f.load("ptr", f.gep("ptr", places, f.add(first, r))), whole)
            goal = f.gep(dtype, square, f.mul(r, v.lanes))
            v.store(v.load_masked(source, v.first(rest)), goal)
            f.store("ptr", goal, f.gep("ptr", lines, r))
        f.call("pack_turn", ("ptr", turned), ("i64", v.lanes), ("ptr", lines), ("i64", 0))
        with f.loop(0, rest) as i, f.loop(0, height) as m:
            column = v.load(f.gep(dtype, turned, f.mul(i, v.lanes)))
            row = f.load("ptr", f.gep("ptr", a, m))
            factor = v.broadcast(f.gep(dtype, row, f.add(whole, i)))
            goal = f.gep(dtype, sums, f.add(f.mul(first, height), f.mul(m, v.lanes)))
            v.store(v.fma(factor, column, v.load(goal)), goal)
