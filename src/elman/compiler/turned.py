"""One row times a matrix as PyTorch holds it, for calls of one step.

Such a call reads every weight once, and packing it first would cost more than the product. Squares
of the matrix are turned in the registers, so that each lane sums up one unit: the order of
summation, and the bits, are those of the tile.
"""

from __future__ import annotations

from .ir import Function, Int, Module
from .isa import ISA
from .vector import Vector

#: acc; init; the row of a, stride of k in it; the matrix, stride of its units; length of the sum;
#: units that there are; vectors. The matrix has its k side by side.
PARAMS = (
    *(("ptr", "acc"), ("ptr", "init"), ("ptr", "a"), ("i64", "a_k")),
    *(("ptr", "matrix"), ("i64", "stride"), ("i64", "k"), ("i64", "units"), ("i64", "width")),
)


def name(chains: int) -> str:
    """The function that stands in for a tile with so many chains."""
    return f"turned_{chains}"


def define(module: Module, isa: ISA, dtype: str, chains: int) -> None:
    """Adds the function to the module, if another shape has not brought it."""
    if module.defines(name(chains)):
        return
    if not module.defines("turned_sum"):
        _define_sum(module, isa, dtype)
    f = Function(module, name(chains), PARAMS)
    v = Vector(f, isa, dtype)
    acc, init, a, a_k, matrix, stride, k, units, width = f.params
    rows, sums = f.alloca(v.lanes, "ptr"), f.alloca(v.lanes, dtype)
    length = f.div(k, chains)
    with f.loop(0, f.mul(width, v.lanes), v.lanes) as unit:
        with f.loop(0, v.lanes) as r:  # units that are not there are read as the last one is
            there = f.min(f.add(unit, r), f.sub(units, 1))
            f.store("ptr", f.gep(dtype, matrix, f.mul(there, stride)), f.gep("ptr", rows, r))
        total = v.load(f.gep(dtype, init, unit))
        for chain in range(chains):
            last = chain + 1 == chains
            start, stop = f.mul(length, chain), k if last else f.mul(length, chain + 1)
            given = ("ptr", sums), ("ptr", rows), ("ptr", a), ("i64", a_k)
            f.call("turned_sum", *given, ("i64", start), ("i64", stop))
            total = v.add(total, v.load(sums))
        v.store(total, f.gep(dtype, acc, unit))


def _define_sum(module: Module, isa: ISA, dtype: str) -> None:
    """The sums over ``k`` from start to stop of a vector of units, whose rows are given."""
    params = ("ptr", "sums"), ("ptr", "rows"), ("ptr", "a"), ("i64", "a_k")
    f = Function(module, "turned_sum", [*params, ("i64", "start"), ("i64", "stop")])
    v = Vector(f, isa, dtype)
    sums, rows, a, a_k, start, stop = f.params
    pointers = [f.load("ptr", rows, i) for i in range(v.lanes)]
    whole = f.add(start, f.op(f"and i64 {f.sub(stop, start)}, {-v.lanes}"))

    def add(k: Int, column: str, total: str) -> str:
        return v.fma(v.broadcast(f.gep(dtype, a, f.mul(k, a_k))), column, total)

    def square_of(k: Int, totals: list[str]) -> list[str]:
        (total,) = totals
        for n, column in enumerate(v.load_turned([f.gep(dtype, p, k) for p in pointers])):
            total = add(f.add(k, n), column, total)
        return [total]

    (total,) = f.carry((start, whole), [v.type], [v.number(0.0)], square_of, v.lanes)
    v.store(total, sums)
    rest = f.sub(stop, whole)
    square, turned = (f.alloca(v.lanes * v.lanes, dtype) for _ in range(2))
    with f.when(f.compare("sgt", rest, 0)):
        with f.loop(0, v.lanes) as r:
            source = f.gep(dtype, f.load("ptr", f.gep("ptr", rows, r)), whole)
            goal = f.gep(dtype, square, f.mul(r, v.lanes))
            v.store(v.load_masked(source, v.first(rest)), goal)
        of_square = ("ptr", square), ("i64", v.lanes)
        f.call("pack_turn", ("ptr", turned), ("i64", v.lanes), *of_square)
        with f.loop(0, rest) as i:
            column = v.load(f.gep(dtype, turned, f.mul(i, v.lanes)))
            v.store(add(f.add(whole, i), column, v.load(sums)), sums)
