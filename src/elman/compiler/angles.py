"""Sine and cosine on vectors, exact to a few units in the last place for every argument.

An angle is reduced to ``x = q pi/2 + r`` with ``|r| <= pi/4``. While ``q`` is small, pi/2 is taken
away in parts of so few bits that their products with ``q`` are exact (Cody and Waite). Beyond, as
many bits of 2/pi are needed as the argument's exponent says: then one number after the other is
multiplied as an integer with its piece of 2/pi (M. Payne and R. Hanek, "Radian reduction for
trigonometric functions", 1983). That code is one function of a module, and only there if needed.
"""

from __future__ import annotations

import math
import struct
from functools import cache

from .activations import nearest
from .ir import LONG, Function
from .vector import Vector, literal, transcendental

_HELPER = "reduce_angles"
#: The bits of 2/pi behind the point, and all: those before it are zeros. The largest exponent of
#: float64 needs 971 + 254 of them, see _define_helper.
_PLACES, _BITS = 1232, 1280


@transcendental
def sin(v: Vector, x: str) -> str:
    """The sine; NaN for infinities."""
    sign = v.integer_op("and", v.bits(x), v.integer(1 << (8 * v.size - 1)))
    return _wave(v, x, 0, sign)


@transcendental
def cos(v: Vector, x: str) -> str:
    """The cosine; NaN for infinities."""
    return _wave(v, x, 1, v.integer(0))


def _wave(v: Vector, x: str, quarters: int, sign: str) -> str:
    """``sin(|x| + quarters pi/2)``, with the sign bit flipped where ``sign`` has it."""
    r, q = _reduced(v, v.abs(x))
    q = v.integer_op("add", q, v.integer(quarters))
    z = v.mul(r, r)
    sine = v.fma(v.mul(r, z), _series(v, z, 3), r)
    cosine = v.fma(z, _series(v, z, 2), v.number(1.0))
    odd = v.nonzero(v.integer_op("and", q, v.integer(1)))
    value = v.select(odd, cosine, sine)
    half = v.integer_op("and", q, v.integer(2))
    sign = v.integer_op("xor", sign, v.integer_op("shl", half, v.integer(8 * v.size - 2)))
    return v.from_bits(v.integer_op("xor", v.bits(value), sign))


def _series(v: Vector, z: str, first: int) -> str:
    """``-1/first! + z/(first+2)! - ...``, for ``z <= (pi/4)^2``."""
    last = first + {"float": 8, "double": 14}[v.dtype]
    sign = -1.0 if (last - first) % 4 == 0 else 1.0
    series = v.number(sign / math.factorial(last))
    for k in range(last - 2, first - 1, -2):
        sign = -sign
        series = v.fma(series, z, v.number(sign / math.factorial(k)))
    return series


def _reduced(v: Vector, x: str) -> tuple[str, str]:
    """``r`` and an integer that ends in the two bits of ``q``, for ``x >= 0``."""
    f = v.f
    small = {"float": 10, "double": 20}[v.dtype]  # bits of q
    mantissa, bias = {"float": (24, 127), "double": (53, 1023)}[v.dtype]
    limit = 1.5 * 2.0**small
    n, moved = nearest(v, x, 2 / math.pi)
    r = x
    for part in _half_pi_in_parts(mantissa - small):
        r = v.fma(n, v.number(-part), r)
    q = v.integer_op("sub", v.bits(moved), v.integer(bias))

    angles, rests, quarters = (f.alloca(v.lanes, v.dtype) for _ in range(3))
    for value, place in ((x, angles), (r, rests), (v.from_bits(q), quarters)):
        v.store(value, place)
    mask = f.op(f"bitcast <{v.lanes} x i1> {v.compare('ge', x, v.number(limit))} to i{v.lanes}")
    with f.when(f.op(f"icmp ne i{v.lanes} {mask}, 0")):
        if not f.module.defines(_HELPER):
            _define_helper(v, limit)
        f.call(_HELPER, ("ptr", angles), ("ptr", rests), ("ptr", quarters))
    return v.load(rests), v.bits(v.load(quarters))


def _define_helper(vector: Vector, limit: float) -> None:
    """``reduce_angles(angles, rests, quarters)``: replaces those of large finite angles.

    An angle is ``m 2^e`` with an integer ``m`` of up to 53 bits. Of 2/pi only the bits count that
    are worth ``2^(1-e)`` or less, since whole turns don't; and 256 of them leave more than are lost
    where ``x`` is very near a multiple of pi/2. So ``m`` times these bits, modulo ``2^256``, is the
    angle in units of ``2^-254`` quarter turns.
    """
    module, dtype, lanes = vector.f.module, vector.dtype, vector.lanes
    module.constant("two_over_pi", f"i{_BITS} {_two_over_pi()}, align 8")
    module.declare("i256 @llvm.ctlz.i256(i256, i1)")
    params = [("ptr", "angles"), ("ptr", "rests"), ("ptr", "quarters")]
    f = Function(module, _HELPER, params, shared=True)

    # A float becomes a double, where there are such.
    real = "double" if vector.isa.doubles else dtype
    number, mantissa, bias = {"double": (LONG, 52, 1023), "float": ("i32", 23, 127)}[real]
    with f.loop(0, lanes) as i:
        x = f.load(dtype, f.gep(dtype, "%angles", i))
        if dtype != real:
            x = f.op(f"fpext {dtype} {x} to {real}")
        large = f.op(f"fcmp oge {real} {x}, {literal(limit)}")
        finite = f.op(f"fcmp olt {real} {x}, {literal(math.inf)}")
        with f.when(f.op(f"and i1 {large}, {finite}")):
            bits = f.op(f"bitcast {real} {x} to {number}")
            m = f.op(f"and {number} {bits}, {2**mantissa - 1}")
            m = f.op(f"or {number} {m}, {2**mantissa}")
            exponent = f.word(f.op(f"lshr {number} {bits}, {mantissa}"), number)
            # of 2/pi behind the point, up to the last used
            places = f.add(exponent, 254 - bias - mantissa)
            shift = f.op(f"and i64 {places}, 7")  # memory has whole bytes
            byte = f.div(f.add(f.sub(_PLACES, places), shift), 8)
            piece = f.load("i256", f.gep("i8", "@two_over_pi", byte), align=1)
            turns = _product(f, piece, m, number)
            turns = f.op(f"shl i256 {turns}, {f.op(f'zext i64 {shift} to i256')}")

            q = f.op(f"lshr i256 {f.op(f'add i256 {turns}, {2**253}')}, 254")
            rest = f.op(f"sub i256 {turns}, {f.op(f'shl i256 {q}, 254')}")
            below = f.op(f"icmp slt i256 {rest}, 0")
            rest = f.select(below, f.op(f"sub i256 0, {rest}"), rest, "i256")
            zeros = f.op(f"call i256 @llvm.ctlz.i256(i256 {rest}, i1 false)")
            top = f.op(f"shl i256 {rest}, {zeros}")
            # Its first 64 bits: no processor of 32 bits makes them a number at once.
            upper, lower = (
                f.op(f"uitofp i32 {f.op(f'trunc i256 {part} to i32')} to {real}")
                for part in (f.op(f"lshr i256 {top}, {256 - n}") for n in (32, 64))
            )
            upper = f.op(f"fmul {real} {upper}, {literal(2.0**32)}")
            top = f.op(f"fadd {real} {upper}, {lower}")
            power = f.sub(bias - 62, f.op(f"trunc i256 {zeros} to i64"))
            scale = f.op(f"shl {number} {f.resized(power, number)}, {mantissa}")
            r = f.op(f"fmul {real} {top}, {f.op(f'bitcast {number} {scale} to {real}')}")
            r = f.op(f"fmul {real} {r}, {literal(_rounded(math.pi / 2, real))}")
            r = f.select(below, f.op(f"fneg {real} {r}"), r, real)
            if dtype != real:
                r = f.op(f"fptrunc {real} {r} to {dtype}")
            f.store(dtype, r, f.gep(dtype, "%rests", i))
            quarter = f.op(f"trunc i256 {q} to {vector.int}")
            f.store(vector.int, quarter, f.gep(vector.int, "%quarters", i))


def _product(f: Function, a: str, b: str, number: str) -> str:
    """``a * b`` modulo ``2^256`` for an i256 and a smaller integer, by products of 32 bits each:
    some processors have no others, and would call a function for larger ones."""
    mask = sum((2**32 - 1) << n for n in range(0, 256, 64))
    even = f.op(f"and i256 {a}, {mask}")
    odd = f.op(f"and i256 {f.op(f'lshr i256 {a}, 32')}, {mask}")
    total = "0"
    for n in range(0, {"i32": 32, LONG: 64}[number], 32):
        part = f.op(f"lshr {number} {b}, {n}")
        part = f.op(f"and i256 {f.op(f'zext {number} {part} to i256')}, {2**32 - 1}")
        part = f.op(f"trunc i256 {part} to {LONG}")
        one = f.op(f"insertelement <4 x {LONG}> poison, {LONG} {part}, i32 0")
        every = f"<4 x {LONG}> {one}, <4 x {LONG}> poison, <4 x i32> zeroinitializer"
        every = f.op(f"shufflevector {every}")
        for limbs, place in ((even, n), (odd, n + 32)):
            factors = f.op(f"bitcast i256 {limbs} to <4 x {LONG}>")
            products = f.op(f"mul <4 x {LONG}> {factors}, {every}")
            products = f.op(f"bitcast <4 x {LONG}> {products} to i256")
            total = f.op(f"add i256 {total}, {f.op(f'shl i256 {products}, {place}')}")
    return total


def _rounded(value: float, kind: str) -> float:
    """A number of a kind."""
    return value if kind == "double" else struct.unpack("f", struct.pack("f", value))[0]


def _arctan_of_one_over(n: int, bits: int) -> int:
    """``2^bits arctan(1/n)``, by its series."""
    power, total, k = (1 << bits) // n, 0, 0
    while power:
        total += (-1) ** k * (power // (2 * k + 1))
        power, k = power // (n * n), k + 1
    return total


@cache
def _half_pi(bits: int) -> int:
    """``2^bits pi/2``, by Machin's formula; its last bits are rounding."""
    return 8 * _arctan_of_one_over(5, bits) - 2 * _arctan_of_one_over(239, bits)


def _two_over_pi() -> int:
    guard = 64
    return (1 << (2 * (_PLACES + guard) - guard)) // _half_pi(_PLACES + guard)


def _half_pi_in_parts(width: int) -> list[float]:
    """pi/2 as a sum of numbers of so many bits; the last one, the fourth, has all it can."""
    bits, parts = 300, []
    rest = _half_pi(bits)
    for _ in range(3):
        drop = rest.bit_length() - width
        parts.append(math.ldexp(rest >> drop, drop - bits))
        rest &= (1 << drop) - 1
    return [*parts, rest / (1 << bits)]
