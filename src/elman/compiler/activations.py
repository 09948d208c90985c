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


def _nearest(v: Vector, x: str, scale: float) -> tuple[str, str]:
    """The integer nearest to ``x * scale``, for small integers, and the bits that hold it.

    A large number is added, which leaves no room for a fraction, and taken away: on every target
    two additions, where SSE2 has no instruction to round. The sum holds the integer plus the
    exponent's bias in its low bits.
    """
    fmt = _format(v.dtype)
    magic = v.number(1.5 * 2.0**fmt.mantissa + fmt.bias)
    moved = v.fma(x, v.number(scale), magic)
    return v.sub(moved, magic), moved


def _power_of_two(v: Vector, moved: str) -> str:
    """``2**n`` from what :func:`_nearest` gave, for a normal exponent."""
    shift = v.integer(_format(v.dtype).mantissa)
    return v.from_bits(v.integer_op("shl", v.bits(moved), shift))


def _expm1(v: Vector, r: str, times: int = 1) -> str:
    """``exp(times * r) - 1`` for ``|times * r| <= ln(2)/2``, by its series."""
    degree = _format(v.dtype).degree
    series = v.number(times**degree / math.factorial(degree))
    for k in range(degree - 1, 1, -1):
        series = v.fma(series, r, v.number(times**k / math.factorial(k)))
    first = r if times == 1 else v.mul(r, v.number(times))
    return v.fma(v.mul(r, r), series, first)


def exp(v: Vector, x: str) -> str:
    """The exponential; gradual underflow, infinity above, NaN passes."""
    fmt = _format(v.dtype)
    high, low = v.number(fmt.overflow), v.number(fmt.underflow)
    clamped = v.select(v.compare("gt", x, high), high, x)
    clamped = v.select(v.compare("lt", clamped, low), low, clamped)
    n, _ = _nearest(v, clamped, 1 / math.log(2))
    r = v.fma(n, v.number(-fmt.ln2_high), clamped)
    m = _expm1(v, v.fma(n, v.number(-fmt.ln2_low), r))
    # The scale is applied in two halves: 2**n itself may be out of the normal range.
    half, first = _nearest(v, n, 0.5)
    _, second = _nearest(v, v.sub(n, half), 1.0)
    scale = _power_of_two(v, first)
    return v.mul(v.fma(m, scale, scale), _power_of_two(v, second))


def tanh(v: Vector, x: str) -> str:
    """Hyperbolic tangent as ``e / (e + 2)`` with ``e = expm1(2|x|)``, which has no
    cancellation anywhere: near zero ``e`` has the relative precision of ``x``.

    One step of reduction is enough: its error grows with ``n``, but the larger ``e``, the less
    the quotient depends on it.
    """
    magnitude = v.abs(x)
    limit = v.number(_format(v.dtype).saturation)
    clamped = v.select(v.compare("gt", magnitude, limit), limit, magnitude)
    n, moved = _nearest(v, clamped, 2 / math.log(2))
    m = _expm1(v, v.fma(n, v.number(-math.log(2) / 2), clamped), times=2)
    scale = _power_of_two(v, moved)
    e = v.fma(m, scale, v.sub(scale, v.number(1.0)))
    return v.copysign(v.div(e, v.add(e, v.number(2.0))), x)


def sigmoid(v: Vector, x: str) -> str:
    """``1 / (1 + exp(-x))``, computed from ``exp(-|x|)``, which never overflows, so that small
    results keep their precision down to the denormal numbers."""
    e = exp(v, v.neg(v.abs(x)))
    one = v.number(1.0)
    numerator = v.select(v.compare("lt", x, v.number(0.0)), e, one)
    return v.div(numerator, v.add(e, one))
