"""The transcendental functions, on vectors, exact to a few units in the last place.

All but the logarithms stand on one reduction: ``x = n ln 2 + r`` with ``|r| <= ln(2)/2``, and
the series ``expm1(r) = r + r^2/2! + ...`` as far as the precision asks, or a polynomial in its
place; the logarithms on the converse, ``x = 2^k m`` with ``m`` near 1, and the series of the
inverse hyperbolic tangent. Both are the classical ones (W. J. Cody and W. Waite, "Software Manual
for the Elementary Functions", 1980). Sine and cosine are in angles.py.
Errors, measured against float64 or mpmath over the whole range, are in the test of this file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache

from .vector import Vector, transcendental


@dataclass(frozen=True)
class _Format:
    """What the reduction needs to know about a floating-point format."""

    mantissa: int  # explicit bits
    bias: int
    expm1: tuple[float, ...]  # of the square in its series, of the third power, and so on
    overflow: float  # exp of more is infinite
    underflow: float  # exp of less is zero, also as a denormal
    saturation: float  # tanh of more rounds to one
    ln2_high: float  # so few bits that n times it is exact
    ln2_low: float
    terms: int  # of the series of the logarithm
    erf: tuple[float, ...]  # see erf()
    erf_limit: float  # erf of more rounds to one


# (expm1(r) - r) / r^2 as a polynomial, lowest coefficient first, fitted for the least error of
# expm1(r) relative to r: 2^-26. The series takes one term more for that.
_EXPM1 = (0.5, 0.1666654497385025, 0.04166640341281891, 0.008366405963897705, 0.0013940657954663038)

# -log(erfc(x)) / x as a polynomial, lowest coefficient first, fitted for the least relative
# error of erf(x) up to where it rounds to one: 2^-31 and 2^-55.
_ERF32 = (
    *(1.128379225730896, 0.6366198658943176, 0.10277125984430313, -0.01911766268312931),
    *(-0.00025308335898444057, 0.001799355959519744, -0.000740686955396086),
    *(0.00016748688357863478, -2.1358193407650106e-05, 1.1939259820792358e-06),
)
_ERF64 = (
    *(1.1283791670955126, 0.6366197723675913, 0.10277260330130254, -0.019128446992802386),
    *(-0.00020919485757757975, 0.001696207697723161, -0.0005901325707021426),
    *(2.5904996829904117e-05, 6.441918918475764e-05, -2.9573180450536908e-05),
    *(3.1659717482336954e-06, 3.13725065271585e-06, -2.0411022602038e-06),
    *(5.73463980323194e-07, -1.3337460220291576e-08, -6.498804815453186e-08),
    *(3.4314618861631657e-08, -1.0696387139658668e-08, 2.3435320509183495e-09),
    *(-3.7323180607970876e-10, 4.2670758308036714e-11, -3.3351265678808383e-12),
    *(1.5997449948878814e-13, -3.555956350704179e-15),
)


@cache
def _format(dtype: str) -> _Format:
    if dtype == "float":
        high = struct.unpack("f", struct.pack("I", 0x3F317200))[0]  # 15 bits of ln 2
        low = 1.42860682030941723212e-6
        return _Format(23, 127, _EXPM1, 89.0, -104.0, 10.0, high, low, 4, _ERF32, 3.95)
    high = struct.unpack("d", struct.pack("Q", 0x3FE62E42FEE00000))[0]  # 32 bits of ln 2
    low = 1.90821492927058781614e-10
    series = tuple(1 / math.factorial(k) for k in range(2, 14))
    return _Format(52, 1023, series, 710.0, -746.0, 20.0, high, low, 10, _ERF64, 5.95)


def nearest(v: Vector, x: str, scale: float, less: int = 0) -> tuple[str, str]:
    """The integer nearest to ``x * scale``, for small integers, and the bits that hold it.

    A large number is added, which leaves no room for a fraction, and taken away: on every target
    two additions, where SSE2 has no instruction to round. The sum holds the integer plus the
    exponent's bias in its low bits, but for so much ``less``.
    """
    fmt = _format(v.dtype)
    magic = v.number(1.5 * 2.0**fmt.mantissa + fmt.bias - less)
    moved = v.fma(x, v.number(scale), magic)
    return v.sub(moved, magic), moved


def _power_of_two(v: Vector, moved: str) -> str:
    """``2**n`` from what :func:`nearest` gave, or ``2**(n - less)``, for a normal exponent."""
    shift = v.integer(_format(v.dtype).mantissa)
    return v.from_bits(v.integer_op("shl", v.bits(moved), shift))


def _expm1(v: Vector, r: str, times: int = 1) -> str:
    """``exp(times * r) - 1`` for ``|times * r| <= ln(2)/2``.

    Its terms are taken two and two: a row alone waits for half as many multiplications.
    """
    numbers = [v.number(times**k * c) for k, c in enumerate(_format(v.dtype).expm1, 2)]
    pairs = [v.fma(b, r, a) for a, b in zip(numbers[::2], numbers[1::2], strict=False)]
    *pairs, series = [*pairs, *numbers[2 * len(pairs) :]]
    square = v.mul(r, r)
    for pair in reversed(pairs):
        series = v.fma(series, square, pair)
    first = r if times == 1 else v.mul(r, v.number(times))
    return v.fma(square, series, first)


def _reduced(v: Vector, x: str, less: int = 0) -> tuple[str, str, str]:
    """``n`` and the bits that hold it, and ``exp(r) - 1``, where ``x = n ln 2 + r``."""
    fmt = _format(v.dtype)
    n, moved = nearest(v, x, 1 / math.log(2), less)
    r = v.fma(n, v.number(-fmt.ln2_high), x)
    return n, moved, _expm1(v, v.fma(n, v.number(-fmt.ln2_low), r))


def _clamped(v: Vector, x: str, low: float, high: float) -> str:
    x = v.select(v.compare("gt", x, v.number(high)), v.number(high), x)
    return v.select(v.compare("lt", x, v.number(low)), v.number(low), x)


@transcendental
def exp(v: Vector, x: str) -> str:
    """The exponential; gradual underflow, infinity above, NaN passes."""
    fmt = _format(v.dtype)
    n, _, m = _reduced(v, _clamped(v, x, fmt.underflow, fmt.overflow))
    # The scale is applied in two halves: 2**n itself may be out of the normal range.
    half, first = nearest(v, n, 0.5)
    _, second = nearest(v, v.sub(n, half), 1.0)
    scale = _power_of_two(v, first)
    return v.mul(v.fma(m, scale, scale), _power_of_two(v, second))


@transcendental
def expm1(v: Vector, x: str) -> str:
    """``exp(x) - 1``, with the relative precision of ``x`` near zero."""
    fmt = _format(v.dtype)
    _, moved, m = _reduced(v, _clamped(v, x, -2 * fmt.saturation, fmt.overflow))
    # Half of it, from half the scale: 2**n itself may be out of the normal range.
    one = v.integer(1 << fmt.mantissa)
    scale = v.from_bits(v.integer_op("sub", v.bits(_power_of_two(v, moved)), one))
    half = v.fma(m, scale, v.sub(scale, v.number(0.5)))
    tiny = v.compare("lt", v.abs(x), v.number(2.0 ** -(fmt.mantissa + 2)))
    return v.select(tiny, x, v.add(half, half))


@transcendental
def erf(v: Vector, x: str) -> str:
    """The error function as ``1 - exp(log(erfc(x)))``: the logarithm over ``x`` is smooth enough
    for one polynomial, and ``expm1`` loses nothing near zero."""
    fmt = _format(v.dtype)
    magnitude = _clamped(v, v.abs(x), 0.0, fmt.erf_limit)
    ratio = v.number(fmt.erf[-1])
    for coefficient in reversed(fmt.erf[:-1]):
        ratio = v.fma(ratio, magnitude, v.number(coefficient))
    return v.copysign(expm1(v, v.neg(v.mul(magnitude, ratio))), x)


@transcendental
def log(v: Vector, x: str) -> str:
    """The natural logarithm; -infinity at zero, NaN below."""
    fmt = _format(v.dtype)
    zero, shift = v.number(0.0), fmt.mantissa + 1
    small = v.compare("lt", x, v.number(2.0 ** (1 - fmt.bias)))  # denormal: made normal first
    normal = v.select(small, v.mul(x, v.number(2.0**shift)), x)
    return _ends(v, x, _log(v, normal, v.select(small, v.number(-shift), zero), zero))


@transcendental
def log1p(v: Vector, x: str) -> str:
    """``log(1 + x)``: of the rounded sum, and what the rounding took, to first order."""
    one, zero = v.number(1.0), v.number(0.0)
    u = v.add(one, x)
    lost = v.div(v.sub(x, v.sub(u, one)), u)
    return v.select(v.compare("eq", x, zero), x, _ends(v, u, _log(v, u, zero, lost)))


def _ends(v: Vector, x: str, y: str) -> str:
    """The logarithm where it is no number: of ``x`` infinite or NaN, zero and negative."""
    y = v.select(v.compare("lt", x, v.number(math.inf)), y, x)
    y = v.select(v.compare("eq", x, v.number(0.0)), v.number(-math.inf), y)
    return v.select(v.compare("lt", x, v.number(0.0)), v.number(math.nan), y)


def _log(v: Vector, x: str, k: str, more: str) -> str:
    """``log(2^k x) + more`` for a small ``more`` and a normal positive ``x = 2^n (1 + f)``.

    With ``s = f / (2 + f)`` the logarithm of ``1 + f`` is ``2 artanh(s) = 2s + s R(s^2)``, taken
    as ``f - (f^2/2 - s (f^2/2 + R))``, in which the largest term is exact.
    """
    fmt = _format(v.dtype)
    # The bits are moved so that the exponent steps at sqrt(1/2), not at 1.
    low = math.floor(math.ldexp(math.sqrt(0.5), fmt.mantissa + 1)) % (1 << fmt.mantissa)
    low += (fmt.bias - 1) << fmt.mantissa
    moved = v.integer_op("add", v.bits(x), v.integer((fmt.bias << fmt.mantissa) - low))
    exponent = v.integer_op("lshr", moved, v.integer(fmt.mantissa))
    magic = v.bits(v.number(1.5 * 2.0**fmt.mantissa))
    n = v.from_bits(v.integer_op("add", magic, exponent))
    k = v.add(k, v.sub(n, v.number(1.5 * 2.0**fmt.mantissa + fmt.bias)))
    fraction = v.integer_op("and", moved, v.integer((1 << fmt.mantissa) - 1))
    m = v.from_bits(v.integer_op("add", fraction, v.integer(low)))

    f = v.sub(m, v.number(1.0))
    s = v.div(f, v.add(f, v.number(2.0)))
    z = v.mul(s, s)
    series = v.number(2 / (2 * fmt.terms + 1))
    for i in range(fmt.terms - 1, 0, -1):
        series = v.fma(series, z, v.number(2 / (2 * i + 1)))
    half = v.mul(f, v.mul(f, v.number(0.5)))
    small = v.fma(s, v.fma(z, series, half), v.fma(k, v.number(fmt.ln2_low), more))
    return v.fma(k, v.number(fmt.ln2_high), v.sub(f, v.sub(half, small)))


@transcendental
def tanh(v: Vector, x: str) -> str:
    """Hyperbolic tangent as ``e / (e + 2)`` with ``e = expm1(2|x|)``, which has no
    cancellation anywhere: near zero ``e`` has the relative precision of ``x``.

    One step of reduction is enough: its error grows with ``n``, but the larger ``e``, the less
    the quotient depends on it.
    """
    magnitude = v.abs(x)
    limit = v.number(_format(v.dtype).saturation)
    clamped = v.select(v.compare("gt", magnitude, limit), limit, magnitude)
    n, moved = nearest(v, clamped, 2 / math.log(2))
    m = _expm1(v, v.fma(n, v.number(-math.log(2) / 2), clamped), times=2)
    scale = _power_of_two(v, moved)
    e = v.fma(m, scale, v.sub(scale, v.number(1.0)))
    return v.copysign(v.div(e, v.add(e, v.number(2.0))), x)


@transcendental
def sigmoid(v: Vector, x: str) -> str:
    """``1 / (1 + exp(-x))``, both sides of the fraction so much smaller that the exponential never
    overflows: small results keep their precision down to the denormal numbers."""
    fmt = _format(v.dtype)
    less = fmt.bias // 2
    x = _clamped(v, v.neg(x), -2 * fmt.saturation, -fmt.underflow)
    _, moved, m = _reduced(v, x, less)
    scale, one = _power_of_two(v, moved), v.number(2.0**-less)
    return v.div(one, v.add(v.fma(m, scale, scale), one))
