"""The activations' errors in units in the last place, on every instruction set.

Of float32, one in 521 of all bit patterns is tried (over all of them, the largest errors are the
same to two digits); of float64, arguments of every size and those where the code changes its
way.
"""

import functools
import sys

import numpy as np
import pytest

from elman.compiler import isa, jit
from elman.expr import PRIMITIVES
from tests.compiler import mapped
from tests.compiler.objects import symbols, undefined
from tests.compiler.targets import each_isa
from tests.reference import functions
from tests.tolerances import ULPS

each_function = pytest.mark.parametrize("function", ["exp", "tanh", "sigmoid", "relu"])
EVERY = 521  # a prime: all exponents and signs, and ever other mantissas


@functools.cache
def float32_cases(function: str) -> tuple[np.ndarray, np.ndarray]:
    """Arguments and values: patterns at equal steps, and the neighbours of special numbers."""
    patterns = np.arange(0, 2**32, EVERY, dtype=np.uint64)
    centres = np.array([0.0, np.inf, 1.0, 9.0, 10.0, 88.7, 88.72284, 89.0, 103.97, 104.0, 0.3466])
    near = centres.astype(np.float32).view(np.uint32)[:, None] + np.arange(-300, 300)
    both = np.concatenate([patterns, near.ravel(), near.ravel() + 2**31]) % 2**32
    x = both.astype(np.uint32).view(np.float32)
    return x, functions.values32(function, x)


@functools.cache
def float64_cases(function: str) -> tuple[np.ndarray, list]:
    random = np.random.default_rng(0)
    sizes = 2.0 ** random.uniform(-1074, 10, 500)
    usual = random.uniform(-40, 40, 1500)
    wide = random.uniform(-760, 720, 700)
    steps = np.arange(-1080, 1030) * np.log(2) / 2  # where the reduction moves on
    steps = np.concatenate([steps, np.nextafter(steps, 1e9), np.nextafter(steps, -1e9)])[::2]
    edges = np.array([0.0, 5e-324, 2.3e-308, 1e-17, 1e-8, 19.0, 20.0, 20.1, 709.7, 710.0, 744.4])
    edges = np.concatenate([edges, [745.13, 745.14, 746.0, 747.0, 1e4, 1.7e308]])
    x = np.concatenate([sizes, -sizes, usual, wide, steps, edges, -edges])
    return x, functions.values64(function, x)


@each_isa
@each_function
def test_float32_is_exact_to_a_few_units(row, function):
    x, expected = float32_cases(function)
    error = functions.ulps32(mapped.apply(function, row, x), expected)
    worst = int(np.argmax(error))
    assert error[worst] <= ULPS[function], (
        f"{function} in float32 on {row.name}: {error[worst]:.3f} ULP at {x[worst]!r}"
    )


@each_isa
@each_function
def test_float64_is_exact_to_a_few_units(row, function):
    x, expected = float64_cases(function)
    error = functions.ulps64(mapped.apply(function, row, x), expected)
    worst = int(np.argmax(error))
    assert error[worst] <= ULPS[function], (
        f"{function} in float64 on {row.name}: {error[worst]:.3f} ULP at {x[worst]!r}"
    )


SPECIAL = {  # of -inf, -0.0, 0.0, inf, NaN
    "exp": [0.0, 1.0, 1.0, np.inf, np.nan],
    "tanh": [-1.0, -0.0, 0.0, 1.0, np.nan],
    "sigmoid": [0.0, 0.5, 0.5, 1.0, np.nan],
    "relu": [0.0, 0.0, 0.0, np.inf, np.nan],
}


@each_isa
@each_function
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinities_zeros_and_nan_are_right(row, function, dtype):
    x = np.array([-np.inf, -0.0, 0.0, np.inf, np.nan], dtype)
    found, expected = mapped.apply(function, row, x), np.array(SPECIAL[function], dtype)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found[:4]), np.signbit(expected[:4]))


@each_isa
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounded_functions_stay_within_their_bounds(row, dtype):
    x = np.linspace(-200, 200, 20001).astype(dtype)
    assert np.abs(mapped.apply("tanh", row, x)).max() == 1
    sigmoid = mapped.apply("sigmoid", row, x)
    assert sigmoid.min() >= 0
    assert sigmoid.max() == 1


@each_isa
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_is_odd_to_the_bit(row, dtype):
    x = np.random.default_rng(1).normal(size=999).astype(dtype) * 3
    np.testing.assert_array_equal(mapped.apply("tanh", row, -x), -mapped.apply("tanh", row, x))


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF")
@pytest.mark.parametrize("row", isa.TABLE, ids=lambda row: row.name)
@pytest.mark.parametrize("dtype", ["float", "double"])
def test_no_isa_calls_a_library(row, dtype):
    """One object with an undefined symbol, and the kernel would not load, or call a slow one."""
    unary = ["exp", "tanh", "sigmoid", "relu", "sqrt", "abs", "neg"]
    assert set(unary) < set(PRIMITIVES)
    for function in unary:
        code = jit.object_code(mapped.module_of(function, row, dtype), row)
        assert symbols(code)["elman_map"]
        assert undefined(code) == []
