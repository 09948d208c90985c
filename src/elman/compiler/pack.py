"""Weights packed into panels: blocks of columns as wide as a tile, one row of the block after
another, padded with zeros, so that a tile reads one stream."""

from __future__ import annotations

from collections.abc import Sequence

from .ir import Function, Module
from .target import Target
from .tile import Shape
from .vector import Vector
from .view import View

PARAMS = (
    *(("ptr", "panel"), ("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "k_stride")),
    *(("i64", "units"), ("i64", "padded"), ("i64", "k")),
)


def define(module: Module, target: Target, shape: Shape) -> None:
    """``panel[block][k][unit] = matrix[unit * unit_stride + k * k_stride]``.

    A matrix whose units lie side by side is copied by vectors, one whose ``k`` do (a weight as
    PyTorch holds it) in squares that are transposed in the registers. The rest goes one by one.
    """
    f = Function(module, f"pack_{shape.name}", PARAMS, shared=True)
    v = Vector(f, target.isa, target.dtype)
    panel, matrix, unit_stride, k_stride, units, padded, k = f.params
    dtype, lanes = v.dtype, v.lanes
    given = View(f, target.weights, matrix, (unit_stride, k_stride))
    places = View(f, "ptr", f.alloca(lanes, "ptr"))
    copied, transposed = (f.compare("eq", stride, 1) for stride in (unit_stride, k_stride))

    with shape.blocks(f, padded, lanes) as (unit, count), f.loop(0, count, lanes) as u:
        first = f.add(unit, u)
        left = f.min(f.sub(units, first), lanes)
        goals = View(f, dtype, panel, (k, 1)).past(unit, u)
        whole = f.compare("eq", left, lanes)
        with f.loop(0, left) as r:
            places.store(given.at(f.add(first, r)), r)
        with f.loop(0, k, lanes) as begin:
            depth = f.min(f.sub(k, begin), lanes)
            square = f.op(f"and i1 {whole}, {f.compare('eq', depth, lanes)}")
            goal = View(f, dtype, goals.base, (count,)).at(begin)
            to = ("ptr", goal), ("i64", count)
            operands = *to, ("ptr", given.at(first, begin)), ("i64", unit_stride)
            copy = f.op(f"and i1 {whole}, {copied}")
            transpose = f.op(f"and i1 {square}, {transposed}")
            neither = f.op(f"xor i1 {f.op(f'or i1 {copy}, {transpose}')}, true")
            with f.when(copy):
                f.call("pack_copy", *operands, ("i64", k_stride), ("i64", depth))
            with f.when(f.op(f"and i1 {transpose}, {f.op(f'xor i1 {copied}, true')}")):
                name = transposing(given.kind, dtype)
                f.call(name, *to, ("ptr", places.base), ("i64", begin))
            with f.when(neither):
                f.call("pack_single", *operands, ("i64", k_stride), ("i64", depth), ("i64", left))


HEADS = "pack_heads"


def define_heads(module: Module, target: Target) -> None:
    """The same for a block-diagonal matrix, whose heads are stored alone, and ``size`` units from
    one on: one block, with zeros between the heads."""
    names = "unit_stride", "k_stride", "unit", "units", "size", "k", "head_units", "head_k", "shift"
    params = [("ptr", "to"), ("ptr", "from"), *(("i64", name) for name in names)]
    f = Function(module, HEADS, params, shared=True)
    v = Vector(f, target.isa, target.dtype)
    to, source, unit_stride, k_stride, first, units, size, k, head_units, head_k, shift = f.params
    given = View(f, target.weights, source, (unit_stride, k_stride))
    goals = View(f, v.dtype, to, (size, 1))
    with f.loop(0, f.mul(k, size), v.lanes) as i:
        v.store(v.number(0.0), f.gep(v.dtype, to, i))
    with f.loop(0, f.min(size, f.sub(units, first))) as u:
        unit = f.add(first, u)
        head = f.div(unit, head_units)
        begin, before = f.mul(head, head_k), f.mul(head, f.sub(0, shift))
        mine = View(f, given.kind, f.gep(given.kind, given.base, before), given.strides)
        with f.loop(begin, f.add(begin, head_k)) as i:
            goals.store(v.load_one(mine.at(unit, i), mine.kind), i, u)


def transposing(kind: str, dtype: str) -> str:
    """The function that transposes a square of such numbers into those that are computed with."""
    return "pack_transpose" if kind == dtype else f"pack_transpose_{kind}"


def define_parts(module: Module, target: Target) -> None:
    """What packs one vector of units for a few ``k``: ``to[k][unit]``, rows ``count`` apart;
    ``pack_transpose`` a square of as many, from a ``k`` on, whose units' places are given."""
    to, kind = (("ptr", "to"), ("i64", "count")), target.weights
    places = *to, ("ptr", "from"), ("i64", "unit_stride")

    def begin(name: str, params: Sequence[tuple[str, str]]) -> tuple[Vector, View]:
        f = Function(module, name, params)
        return Vector(f, target.isa, target.dtype), View(f, target.dtype, "%to", ("%count", 1))

    v, goals = begin("pack_copy", [*places, ("i64", "k_stride"), ("i64", "k")])
    given = View(v.f, kind, "%from", ("%k_stride",))
    with v.f.loop(0, "%k") as i:
        v.store(v.load(given.at(i), kind), goals.at(i))

    for of in dict.fromkeys((kind, target.dtype)):  # of weights, and of rows that they multiply
        name = transposing(of, target.dtype)
        v, goals = begin(name, [*to, ("ptr", "places"), ("i64", "k")])
        units = View(v.f, "ptr", "%places")
        rows = [View(v.f, of, units.load(r)).at("%k") for r in range(v.lanes)]
        for number, column in enumerate(v.load_transposed(rows, of)):
            v.store(column, goals.at(number))

    more = ("i64", "k_stride"), ("i64", "k"), ("i64", "units")
    v, goals = begin("pack_single", [*places, *more])
    given = View(v.f, kind, "%from", ("%k_stride", "%unit_stride"))
    with v.f.loop(0, "%k") as i:
        v.store(v.number(0.0), goals.at(i))
        with v.f.loop(0, "%units") as u:
            goals.store(v.load_one(given.at(i, u), kind), i, u)
