"""Weights packed into panels: blocks of columns as wide as a tile, one row of the block after
another, padded with zeros, so that a tile reads one stream."""

from __future__ import annotations

from .ir import Function, Module
from .target import Target
from .tile import Shape
from .vector import Vector

PARAMS = (
    *(("ptr", "panel"), ("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "k_stride")),
    *(("i64", "units"), ("i64", "padded"), ("i64", "k")),
)


def define(module: Module, target: Target, shape: Shape) -> None:
    """``panel[block][k][unit] = matrix[unit * unit_stride + k * k_stride]``.

    A matrix whose units lie side by side is copied by vectors, one whose ``k`` do (a weight as
    PyTorch holds it) in squares that are turned in the registers. The rest goes one by one.
    """
    f = Function(module, f"pack_{shape.name}", PARAMS)
    v = Vector(f, target.isa, target.dtype)
    panel, matrix, unit_stride, k_stride, units, padded, k = f.params
    dtype, lanes = v.dtype, v.lanes
    places = f.alloca(lanes, "ptr")
    copied, turned = (f.compare("eq", stride, 1) for stride in (unit_stride, k_stride))

    with shape.blocks(f, padded, lanes) as (unit, count), f.loop(0, count, lanes) as u:
        first = f.add(unit, u)
        left = f.min(f.sub(units, first), lanes)
        goal = f.add(f.mul(unit, k), u)
        whole = f.compare("eq", left, lanes)
        with f.loop(0, left) as r:
            row = f.gep(dtype, matrix, f.mul(f.add(first, r), unit_stride))
            f.store("ptr", row, f.gep("ptr", places, r))
        with f.loop(0, k, lanes) as begin:
            depth = f.min(f.sub(k, begin), lanes)
            square = f.op(f"and i1 {whole}, {f.compare('eq', depth, lanes)}")
            source = f.add(f.mul(first, unit_stride), f.mul(begin, k_stride))
            to = ("ptr", f.gep(dtype, panel, f.add(goal, f.mul(begin, count)))), ("i64", count)
            operands = *to, ("ptr", f.gep(dtype, matrix, source)), ("i64", unit_stride)
            copy = f.op(f"and i1 {whole}, {copied}")
            turn = f.op(f"and i1 {square}, {turned}")
            neither = f.op(f"xor i1 {f.op(f'or i1 {copy}, {turn}')}, true")
            with f.when(copy):
                f.call("pack_copy", *operands, ("i64", k_stride), ("i64", depth))
            with f.when(f.op(f"and i1 {turn}, {f.op(f'xor i1 {copied}, true')}")):
                f.call("pack_turn", *to, ("ptr", places), ("i64", begin))
            with f.when(neither):
                f.call("pack_single", *operands, ("i64", k_stride), ("i64", depth), ("i64", left))


def define_parts(module: Module, target: Target) -> None:
    """What packs one vector of units for a few ``k``: ``to[k][unit]``, rows ``count`` apart;
    ``pack_turn`` a square of as many, from a ``k`` on, whose units' places are given."""
    to = ("ptr", "to"), ("i64", "count")
    places = *to, ("ptr", "from"), ("i64", "unit_stride")

    f = Function(module, "pack_copy", [*places, ("i64", "k_stride"), ("i64", "k")])
    v = Vector(f, target.isa, target.dtype)
    with f.loop(0, "%k") as i:
        value = v.load(f.gep(v.dtype, "%from", f.mul(i, "%k_stride")))
        v.store(value, f.gep(v.dtype, "%to", f.mul(i, "%count")))

    f = Function(module, "pack_turn", [*to, ("ptr", "places"), ("i64", "k")])
    v = Vector(f, target.isa, target.dtype)
    rows = [f.gep(v.dtype, f.load("ptr", "%places", r), "%k") for r in range(v.lanes)]
    for number, column in enumerate(v.load_turned(rows)):
        v.store(column, f.gep(v.dtype, "%to", f.mul("%count", number)))

    f = Function(
        module, "pack_single", [*places, ("i64", "k_stride"), ("i64", "k"), ("i64", "units")]
    )
    v = Vector(f, target.isa, target.dtype)
    with f.loop(0, "%k") as i:
        goal = f.gep(v.dtype, "%to", f.mul(i, "%count"))
        source = f.gep(v.dtype, "%from", f.mul(i, "%k_stride"))
        v.store(v.number(0.0), goal)
        with f.loop(0, "%units") as u:
            value = f.load(v.dtype, f.gep(v.dtype, source, f.mul(u, "%unit_stride")))
            f.store(v.dtype, value, f.gep(v.dtype, goal, u))
