"""The activations' errors in units in the last place, on every instruction set.

Of float32, one in 521 of all bit patterns is tried (over all of them, the largest errors are the
same to two digits); of float64, arguments of every size and those where the code changes its
way.
"""

import functools

import numpy as np
import pytest
import torch

from elman.compiler import isa, jit
from elman.expr import PRIMITIVES
from tests.compiler import mapped
from tests.compiler.objects import symbols, undefined
from tests.compiler.targets import each_isa
from tests.reference import functions
from tests.systems import linux_only
from tests.tolerances import ULPS

pytestmark = pytest.mark.sampled(3)

each_function = pytest.mark.parametrize("function", functions.EXACT)
EVERY = 521  # a prime: all exponents and signs, and ever other mantissas


@functools.cache
def float32_cases(function: str) -> tuple[np.ndarray, np.ndarray]:
    """Arguments and values: patterns at equal steps, and the neighbours of special numbers."""
    patterns = np.arange(0, 2**32, EVERY, dtype=np.uint64)
    centres = np.array([0.0, np.inf, 1.0, 9.0, 10.0, 88.7, 88.72284, 89.0, 103.97, 104.0, 0.3466])
    # Nearest to a multiple of pi/2: of all, and of those that are reduced in parts.
    angles = [np.pi / 2, np.pi, 355.0, 1536.0, 16367173 * 2.0**72, 16573937 * 2.0**-14]
    centres = np.concatenate([centres, angles, [2.0**-126, 0.5**0.5, 2**0.5, 3.95, 17.3]])
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
    huge = 2.0 ** random.uniform(10, 1023, 500)
    angles = np.rint(random.uniform(0, 1.1e6, 300)) * (np.pi / 2)
    # Nearest to a multiple of pi/2: of all, and of those that are reduced in parts.
    worst = [6381956970095103 * 2.0**797, 5520028710995367 * 2.0**-33, 355.0, 1.5 * 2.0**20]
    near = [1.0, 0.5**0.5, 2**0.5, 5.95, 37.4] * (1 + random.uniform(-1e-9, 1e-9, (50, 5)))
    x = [sizes, -sizes, usual, wide, steps, edges, -edges, huge, -huge, angles, worst, near.ravel()]
    x = np.concatenate(x)
    x = x[x > functions.LEAST.get(function, -np.inf)]
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
    "expm1": [-1.0, -0.0, 0.0, np.inf, np.nan],
    "log": [np.nan, -np.inf, -np.inf, np.inf, np.nan],
    "log1p": [np.nan, -0.0, 0.0, np.inf, np.nan],
    "sin": [np.nan, -0.0, 0.0, np.nan, np.nan],
    "cos": [np.nan, 1.0, 1.0, np.nan, np.nan],
    "erf": [-1.0, -0.0, 0.0, 1.0, np.nan],
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
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))


@each_isa
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floor_is_exact_for_every_number(row, dtype):
    whole = np.float64(2.0) ** np.arange(0, 60, dtype=dtype)
    x = np.concatenate([whole, whole + 0.5, whole - 0.5, [0.0, np.inf, np.finfo(dtype).tiny, 1e30]])
    x = np.concatenate([x, -x, [np.nan]]).astype(dtype)
    found, expected = mapped.apply("floor", row, x), np.floor(x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found[:-1]), np.signbit(expected[:-1]))


@each_isa
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bfloat16_is_rounded_to_as_torch_rounds(row, dtype):
    numbers = np.random.default_rng(0).integers(0, 2**32, 5000, np.uint32).view(np.float32)
    halves = (np.arange(0, 2**32, 2**15 * 9973, np.uint64) | 2**15).astype(np.uint32)
    below, above = (halves + step for step in (np.uint32(-1 % 2**32), np.uint32(1)))
    ties = [part.view(np.float32) for part in (halves, below, above)]
    ends = [0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(dtype).max, np.finfo(dtype).tiny / 4]
    with np.errstate(all="ignore"):
        x = np.concatenate([numbers, *ties, np.array(ends)]).astype(dtype)
    found = mapped.apply("round_to_bfloat16", row, x)
    expected = torch.from_numpy(x).bfloat16().to(torch.from_numpy(x).dtype).numpy()
    np.testing.assert_array_equal(found, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))


@each_isa
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_logarithms_end_where_their_arguments_do(row, dtype):
    below = np.array([-np.finfo(dtype).tiny / 4, -1.0, -3e38], dtype)
    assert np.isnan(mapped.apply("log", row, below)).all()
    ends = np.nextafter(np.array([-1, -1, -1], dtype), np.array([-2, -1, 0], dtype))
    found = mapped.apply("log1p", row, ends)
    np.testing.assert_array_equal(np.isnan(found), [True, False, False])
    assert found[1] == -np.inf
    assert np.isfinite(found[2])


@each_isa
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounded_functions_stay_within_their_bounds(row, dtype):
    x = np.concatenate([np.linspace(-200, 200, 20001), np.arange(-99, 99) * np.pi / 2])
    x = x.astype(dtype)
    for function in ("tanh", "sin", "cos", "erf"):
        assert np.abs(mapped.apply(function, row, x)).max() == 1
    assert mapped.apply("expm1", row, x).min() == -1
    sigmoid = mapped.apply("sigmoid", row, x)
    assert sigmoid.min() >= 0
    assert sigmoid.max() == 1


@each_isa
@pytest.mark.parametrize("function", ["tanh", "sin", "erf"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_odd_functions_are_odd_to_the_bit(row, function, dtype):
    x = np.random.default_rng(1).normal(size=999).astype(dtype) * 3
    x[::9] *= dtype(1e30)
    found = mapped.apply(function, row, -x)
    np.testing.assert_array_equal(found, -mapped.apply(function, row, x))


@linux_only
@pytest.mark.parametrize("row", isa.TABLE, ids=lambda row: row.name)
@pytest.mark.parametrize("dtype", ["float", "double"])
def test_no_isa_calls_a_library(row, dtype):
    """One object with an undefined symbol, and the kernel would not load, or call a slow one."""
    unary = [*functions.EXACT, "sqrt", "abs", "neg", "floor", "round_to_bfloat16"]
    assert set(unary) < set(PRIMITIVES)
    for function in unary:
        code = jit.object_code(mapped.module_of(function, row, dtype), row)
        assert symbols(code)["elman_map"]
        assert undefined(code) == []
