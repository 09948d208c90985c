"""Weights packed into panels: blocks of columns as wide as a tile, one row of the block after
another, padded with zeros, so that a tile reads one stream."""

from __future__ import annotations

from .frame import Frame, Target
from .ir import Function, Int, Module
from .tile import Shape
from .vector import Vector

_PARAMS = (
    *(("ptr", "panel"), ("ptr", "matrix"), ("i64", "unit_stride"), ("i64", "k_stride")),
    *(("i64", "units"), ("i64", "padded"), ("i64", "k")),
)


def define(module: Module, target: Target, shape: Shape) -> None:
    """``panel[block][k][unit] = matrix[unit * unit_stride + k * k_stride]``."""
    f = Function(module, f"pack_{shape.name}", _PARAMS)
    v = Vector(f, target.isa, target.dtype)
    panel, matrix, unit_stride, k_stride, units, padded, k = f.params
    dtype = v.dtype

    def size(left: Int) -> Int:
        return f.mul(shape.width(f, left, v.lanes), v.lanes)

    with f.blocks(padded, size) as (unit, count):
        left = f.min(f.sub(units, unit), count)
        base = f.gep(dtype, panel, f.mul(unit, k))
        source = f.gep(dtype, matrix, f.mul(unit, unit_stride))
        with f.loop(0, k) as i:
            row = f.gep(dtype, base, f.mul(i, count))
            column = f.gep(dtype, source, f.mul(i, k_stride))
            whole = f.compare("sge", left, count)
            easy = f.op(f"and i1 {whole}, {f.compare('eq', unit_stride, 1)}")

            def quickly(row: str = row, column: str = column, count: Int = count) -> Int:
                with f.loop(0, count, v.lanes) as u:
                    v.store(v.load(f.gep(dtype, column, u)), f.gep(dtype, row, u))
                return 0

            def slowly(
                row: str = row, column: str = column, count: Int = count, left: Int = left
            ) -> Int:
                with f.loop(0, count, v.lanes) as u:
                    v.store(v.number(0.0), f.gep(dtype, row, u))
                with f.loop(0, left) as u:
                    value = f.load(dtype, f.gep(dtype, column, f.mul(u, unit_stride)))
                    f.store(dtype, value, f.gep(dtype, row, u))
                return 0

            f.either(easy, "i64", quickly, slowly)


def call(
    frame: Frame,
    shape: Shape,
    panel: str,
    matrix: str,
    strides: tuple[Int, Int],
    sizes: tuple[Int, Int, Int],
) -> None:
    """Packs a matrix; strides are those of (units, k), sizes are (units, padded units, k)."""
    numbers = [("i64", x) for x in (*strides, *sizes)]
    frame.f.call(f"pack_{shape.name}", ("ptr", panel), ("ptr", matrix), *numbers)
