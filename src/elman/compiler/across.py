"""A vector's lanes of rows times a matrix as PyTorch holds it, for calls of one step.

Such a call reads every weight once. The rows, which are much smaller, are turned instead: then a
weight is what is broadcast, and a vector holds a unit's sums, a row each lane. They run over ``k``
as those of the tile do, with the same bits.
"""

from __future__ import annotations

from .ir import Function, Int, Module
from .isa import ISA
from .tile import Factor, add_up
from .vector import Vector

#: acc, stride of its rows; init, stride of its rows; the turned rows; the matrix, stride of its
#: units; units that there are; units, rounded up to vectors; length of the sum; rows. The matrix
#: has its k side by side.
PARAMS = (
    *(("ptr", "acc"), ("i64", "acc_row"), ("ptr", "init"), ("i64", "init_row"), ("ptr", "turned")),
    *(("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "units"), ("i64", "size"), ("i64", "k")),
    ("i64", "rows"),
)
#: The turned rows; pointers to them, which have their k side by side; length, rows.
ROWS = ("ptr", "turned"), ("ptr", "a"), ("i64", "k"), ("i64", "rows")
_MOST = 8  # units at once: their rows of the matrix are lines of a set of the first cache, of 8


def name(chains: int) -> str:
    """The function that stands in for a tile with so many chains."""
    return f"across_{chains}"


def define(module: Module, isa: ISA, dtype: str, chains: int) -> None:
    """Adds the function to the module, and ``turn_rows``."""
    if not module.defines("turn_rows"):
        _define_rows(module, isa, dtype)
        _define_add(module, isa, dtype)
    f = Function(module, name(chains), PARAMS)
    v = Vector(f, isa, dtype)
    acc, acc_row, init, init_row, turned, matrix, stride, units, size, k, rows = f.params
    at_once = 1 << min(_MOST, isa.accumulators // chains).bit_length() - 1
    group = max(v.lanes, at_once)
    sums = f.alloca(chains * group * v.lanes, dtype)

    def sum_of(chain: int, unit: Int) -> str:
        return f.gep(dtype, sums, f.mul(f.add(unit, chain * group), v.lanes))

    with f.loop(0, size, group) as first:
        with f.loop(0, group, at_once) as part:
            factors = []
            for i in range(at_once):  # units that are not there are read as the last one is
                unit = f.min(f.add(f.add(first, part), i), f.sub(units, 1))
                row = f.gep(dtype, matrix, f.mul(unit, stride))
                factors.append(Factor(row, 1, turned, v.lanes, dtype))
            for i, (of_unit,) in enumerate(add_up(f, [v], factors, k, chains)):
                for chain, total in enumerate(of_unit):
                    v.store(total, sum_of(chain, f.add(part, i)))
        with f.loop(0, f.min(group, f.sub(size, first)), v.lanes) as u:
            goal = f.gep(dtype, acc, f.add(first, u))
            begun: tuple[str, Int] = f.gep(dtype, init, f.add(first, u)), init_row
            for chain in range(chains):
                given = ("ptr", goal), ("i64", acc_row), ("ptr", begun[0]), ("i64", begun[1])
                f.call("across_add", *given, ("ptr", sum_of(chain, u)), ("i64", rows))
                begun = goal, acc_row


def _define_rows(module: Module, isa: ISA, dtype: str) -> None:
    """``turn_rows``: up to as many rows as there are lanes, turned."""
    f = Function(module, "turn_rows", ROWS)
    to, a, k, rows = f.params
    lanes = isa.lanes(dtype)
    places = f.alloca(lanes, "ptr")
    with f.loop(0, lanes) as r:  # rows that are not there are read as the last one is
        there = f.load("ptr", f.gep("ptr", a, f.min(r, f.sub(rows, 1))))
        f.store("ptr", there, f.gep("ptr", places, r))
    whole = f.op(f"and i64 {k}, {-lanes}")
    with f.loop(0, whole, lanes) as i:
        goal = ("ptr", f.gep(dtype, to, f.mul(i, lanes))), ("i64", lanes)
        f.call("pack_turn", *goal, ("ptr", places), ("i64", i))
    with f.loop(whole, k) as i, f.loop(0, lanes) as r:
        row = f.load("ptr", f.gep("ptr", places, r))
        value = f.load(dtype, f.gep(dtype, row, i))
        f.store(dtype, value, f.gep(dtype, to, f.add(f.mul(i, lanes), r)))


def _define_add(module: Module, isa: ISA, dtype: str) -> None:
    """``across_add``: adds a square of sums, turned, to so many rows of init."""
    params = ("ptr", "acc"), ("i64", "acc_row"), ("ptr", "init"), ("i64", "init_row")
    f = Function(module, "across_add", [*params, ("ptr", "sums"), ("i64", "rows")])
    acc, acc_row, init, init_row, sums, rows = f.params
    v = Vector(f, isa, dtype)
    columns = v.load_turned([f.gep(dtype, sums, r * v.lanes) for r in range(v.lanes)])

    def add(column: str, m: Int) -> None:
        begun = v.load(f.gep(dtype, init, f.mul(init_row, m)))
        v.store(v.add(begun, column), f.gep(dtype, acc, f.mul(acc_row, m)))

    def every() -> Int:
        for number, column in enumerate(columns):
            add(column, number)
        return 0

    def some() -> Int:
        square = f.alloca(v.lanes * v.lanes, dtype)
        for number, column in enumerate(columns):
            v.store(column, f.gep(dtype, square, number * v.lanes))
        with f.loop(0, rows) as m:
            add(v.load(f.gep(dtype, square, f.mul(m, v.lanes))), m)
        return 0

    f.either(f.compare("eq", rows, v.lanes), "i64", every, some)
