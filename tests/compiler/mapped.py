"""A primitive compiled alone: a function that maps an array, vector by vector."""

import functools
from array import array
from typing import Any

import numpy as np

from elman.compiler import jit
from elman.compiler.ir import Function, Module
from elman.compiler.isa import ISA
from elman.compiler.vector import Vector
from elman.expr import PRIMITIVES
from tests.compiler.targets import code_of, enter


def module_of(primitive: str, row: ISA, dtype: str) -> Module:
    """``elman_map(slots)`` with three slots: arguments, results, how many (whole vectors)."""
    module = Module()
    f = Function(module, "elman_map", [("ptr", "slots")], public=True)
    v = Vector(f, row, dtype)
    source, goal = (f.load("ptr", f.gep("i64", "%slots", i)) for i in range(2))
    with f.loop(0, f.load("i64", f.gep("i64", "%slots", 2)), v.lanes) as i:
        value = v.load(f.gep(dtype, source, i))
        v.store(PRIMITIVES[primitive].emit(v, value), f.gep(dtype, goal, i))
    return module


@functools.cache
def _compiled(primitive: str, row: ISA, dtype: str) -> Any:
    return code_of(row)(jit.object_code(module_of(primitive, row, dtype), row), "elman_map")


def apply(primitive: str, row: ISA, x: np.ndarray) -> np.ndarray:
    """The primitive of every number of a float32 or float64 array."""
    dtype = {"float32": "float", "float64": "double"}[x.dtype.name]
    padded = np.concatenate([x, np.zeros(-len(x) % row.lanes(dtype), x.dtype)])
    result = np.full_like(padded, np.nan)
    slots = array("q", [padded.ctypes.data, result.ctypes.data, len(padded)])
    enter(_compiled(primitive, row, dtype), slots.buffer_info()[0])
    return result[: len(x)]
