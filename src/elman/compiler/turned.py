"""One row times a matrix as PyTorch holds it, for calls of one step.

Such a call reads every weight once, and packing it first would cost more than the product. Squares
of the matrix are turned in the registers, so that each lane sums up one unit: the order of
summation, and the bits, are those of the tile.
"""

from __future__ import annotations

from .ir import Function, Int, Module
from .isa import ISA
from .tile import Shape
from .vector import Vector

#: acc; init; the row of a, stride of k in it; the matrix, stride of its units; length of the sum;
#: units that there are; vectors. The matrix has its k side by side.
PARAMS = (
    *(("ptr", "acc"), ("ptr", "init"), ("ptr", "a"), ("i64", "a_k")),
    *(("ptr", "matrix"), ("i64", "stride"), ("i64", "k"), ("i64", "units"), ("i64", "width")),
)
_PAIR = 2  # vectors of units at once: their sums are chains that do not wait for one another


def name(shape: Shape) -> str:
    """The function that stands in for a tile with as many chains."""
    return f"turned_{shape.chains}"


def define(module: Module, isa: ISA, dtype: str, shape: Shape) -> None:
    """Adds the function to the module, if another shape has not brought it."""
    if module.defines(name(shape)):
        return
    f = Function(module, name(shape), PARAMS)
    v = Vector(f, isa, dtype)
    acc, init, _, _, _, stride, k, units, width = f.params
    sums = f.alloca(_PAIR * v.lanes, dtype)
    totals = f.alloca(_PAIR * v.lanes, dtype)
    rows = f.alloca(_PAIR * v.lanes, "ptr")
    length = f.div(k, shape.chains)
    with f.loop(0, width, _PAIR) as w:
        # The last pair of an odd number is one vector twice, and units that are not there are read
        # as the last one is.
        places = [f.mul(f.min(f.add(w, i), f.sub(width, 1)), v.lanes) for i in range(_PAIR)]
        for i, place in enumerate(places):
            with f.loop(0, v.lanes) as r:
                unit = f.min(f.add(place, r), f.sub(units, 1))
                row = f.gep(dtype, "%matrix", f.mul(unit, stride))
                f.store("ptr", row, f.gep("ptr", rows, f.add(i * v.lanes, r)))
        for chain in range(shape.chains):
            for i, place in enumerate(places):
                begun = v.number(0.0) if chain else v.load(f.gep(dtype, init, place))
                v.store(begun, f.gep(dtype, sums, i * v.lanes))
            last = chain + 1 == shape.chains
            _sum(f, v, rows, sums, f.mul(length, chain), k if last else f.mul(length, chain + 1))
            for i in range(_PAIR):
                total, mine = (f.gep(dtype, b, i * v.lanes) for b in (totals, sums))
                found = v.load(mine)
                v.store(v.add(v.load(total), found) if chain else found, total)
        for i, place in enumerate(places):
            v.store(v.load(f.gep(dtype, totals, i * v.lanes)), f.gep(dtype, acc, place))


def _sum(f: Function, v: Vector, rows: str, sums: str, start: Int, stop: Int) -> None:
    """Adds ``k`` from start to stop to the sums of a pair."""
    pointers = [f.load("ptr", rows, i) for i in range(_PAIR * v.lanes)]
    places = [f.gep(v.dtype, sums, i * v.lanes) for i in range(_PAIR)]
    whole = f.add(start, f.op(f"and i64 {f.sub(stop, start)}, {-v.lanes}"))

    def scalar(k: Int) -> str:
        return v.broadcast(f.gep(v.dtype, "%a", f.mul(k, "%a_k")))

    with f.loop(start, whole, v.lanes) as k:
        scalars = [scalar(f.add(k, n)) for n in range(v.lanes)]
        for i, place in enumerate(places):
            mine = pointers[i * v.lanes : (i + 1) * v.lanes]
            total = v.load(place)
            columns = v.transpose([v.load(f.gep(v.dtype, p, k)) for p in mine])
            for one, column in zip(scalars, columns, strict=True):
                total = v.fma(one, column, total)
            v.store(total, place)
    rest = f.sub(stop, whole)
    square, turned = (f.alloca(v.lanes * v.lanes, v.dtype) for _ in range(2))
    with f.when(f.compare("sgt", rest, 0)):
        for i, place in enumerate(places):
            with f.loop(0, v.lanes) as r:
                row = f.load("ptr", f.gep("ptr", rows, f.add(i * v.lanes, r)))
                goal = f.gep(v.dtype, square, f.mul(r, v.lanes))
                source = f.gep(v.dtype, row, whole)
                f.call("gather", *(("ptr", goal), ("ptr", source)), ("i64", 1), ("i64", rest))
            f.call(
                "pack_turn", ("ptr", turned), ("i64", v.lanes), ("ptr", square), ("i64", v.lanes)
            )
            with f.loop(0, rest) as n:
                column = v.load(f.gep(v.dtype, turned, f.mul(n, v.lanes)))
                v.store(v.fma(scalar(f.add(whole, n)), column, v.load(place)), place)
