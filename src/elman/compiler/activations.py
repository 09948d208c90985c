"""The transcendental functions, on vectors, exact to a few units in the last place.

All of them stand on one reduction: ``x = n ln 2 + r`` with ``|r| <= ln(2)/2``, and the series
``expm1(r) = r + r^2/2! + ...`` as far as the precision asks. The reduction and series are the
classical ones (W. J. Cody and W. Waite, "Software Manual for the Elementary Functions", 1980).
Errors, measured against float64 or mpmath over the whole range, are in the test of this file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from .vector import Vector


@dataclass(frozen=True)
class _Format:
    """What the reduction needs to know about a floating-point format."""

    mantissa: int  # explicit bits
    bias: int
    degree: int  # of the series of expm1
    overflow: float  # exp of more is infinite
    underflow: float  # exp of less is zero, also as a denormal
    saturation: float  # tanh of more rounds to one
    ln2_high: float  # so few bits that n times it is exact
    ln2_low: float


def _format(dtype: str) -> _Format:
    if dtype == "float":
        high = struct.unpack("f", struct.pack("I", 0x3F317200))[0]  # 15 bits of ln 2
        return _Format(23, 127, 7, 89.0, -104.0, 10.0, high, 1.42860682030941723212e-6)
    high = struct.unpack("d", struct.pack("Q", 0x3FE62E42FEE00000))[0]  # 32 bits of ln 2
    return _Format(52, 1023, 13, 710.0, -746.0, 20.0, high, 1.90821492927058781614e-10)


def _round(v: Vector, x: str) -> str:
    """The nearest integer of a small number: a large one is added, which leaves no room for a
    fraction, and taken away. On every target two additions; SSE2 has no rounding instruction."""
    magic = v.number(1.5 * 2.0 ** _format(v.dtype).mantissa)
    return v.sub(v.add(x, magic), magic)


def _reduce(v: Vector, x: str) -> tuple[str, str]:
    """``n`` (in floating point, rounded) and ``expm1(r)`` with ``x = n ln 2 + r``.

    ``x`` must be finite or NaN, and its exponent small enough that ``n`` is an integer.
    """
    fmt = _format(v.dtype)
    n = _round(v, v.mul(x, v.number(1 / math.log(2))))
    r = v.fma(n, v.number(-fmt.ln2_high), x)
    r = v.fma(n, v.number(-fmt.ln2_low), r)
    series = v.number(1 / math.factorial(fmt.degree))
    for k in range(fmt.degree - 1, 1, -1):
        series = v.fma(series, r, v.number(1 / math.factorial(k)))
    return n, v.fma(v.mul(r, r), series, r)


def _power_of_two(v: Vector, n: str) -> str:
    """``2**n`` for an integer ``n`` in the range of normal exponents.

    Adding the magic number leaves ``n`` in the low bits of the sum, whence it is moved to the
    exponent: a conversion to integers would be slow for 64 bits before AVX-512.
    """
    fmt = _format(v.dtype)
    magic = 1.5 * 2.0**fmt.mantissa + fmt.bias
    moved = v.bits(v.add(n, v.number(magic)))
    return v.from_bits(v.integer_op("shl", moved, v.integer(fmt.mantissa)))


def exp(v: Vector, x: str) -> str:
    """The exponential; gradual underflow, infinity above, NaN passes."""
    fmt = _format(v.dtype)
    high, low = v.number(fmt.overflow), v.number(fmt.underflow)
    clamped = v.select(v.compare("gt", x, high), high, x)
    clamped = v.select(v.compare("lt", clamped, low), low, clamped)
    n, m = _reduce(v, clamped)
    # The scale is applied in two halves: 2**n itself may be out of the normal range.
    half = _round(v, v.mul(n, v.number(0.5)))
    first, second = _power_of_two(v, half), _power_of_two(v, v.sub(n, half))
    return v.mul(v.fma(m, first, first), second)


def tanh(v: Vector, x: str) -> str:
    """Hyperbolic tangent as ``e / (e + 2)`` with ``e = expm1(2|x|)``, which has no
    cancellation anywhere: near zero ``e`` has the relative precision of ``x``."""
    fmt = _format(v.dtype)
    magnitude = v.abs(x)
    limit = v.number(fmt.saturation)
    clamped = v.select(v.compare("gt", magnitude, limit), limit, magnitude)
    n, m = _reduce(v, v.add(clamped, clamped))
    scale = _power_of_two(v, n)
    e = v.fma(m, scale, v.sub(scale, v.number(1.0)))
    return v.copysign(v.div(e, v.add(e, v.number(2.0))), x)


def sigmoid(v: Vector, x: str) -> str:
    """``1 / (1 + exp(-x))``, computed from ``exp(-|x|)``, which never overflows, so that small
    results keep their precision down to the denormal numbers."""
    e = exp(v, v.neg(v.abs(x)))
    one = v.number(1.0)
    numerator = v.select(v.compare("lt", x, v.number(0.0)), e, one)
    return v.div(numerator, v.add(e, one))
