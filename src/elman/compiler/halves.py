"""Numbers of 16 bits in the caller's memory: floats when they are read, rounded to the nearest when
they are written. By bits: a processor's own instructions take denormal bfloat16s for zeros."""

from __future__ import annotations

from .ir import Function

#: LLVM's types of them. Their bits are loaded and stored: not every processor has registers for
#: such numbers.
HALVES = ("bfloat", "half")
BITS = "i16"


def stored(kind: str) -> str:
    """LLVM's type of what is loaded and stored for a number of a kind."""
    return BITS if kind in HALVES else kind


def computed(kind: str) -> str:
    """LLVM's type of what is computed with for a number of a kind."""
    return "float" if kind in HALVES else kind


def widened(f: Function, kind: str, bits: str, lanes: int = 0) -> str:
    """The floats that so many numbers of a kind are, exactly; by default one, no vector."""
    small, whole, wide = (_type(t, lanes) for t in (BITS, "i32", "float"))
    if kind == "half":
        half = _type(kind, lanes)
        return f.op(f"fpext {half} {f.op(f'bitcast {small} {bits} to {half}')} to {wide}")
    upper = f.op(f"shl {whole} {f.op(f'zext {small} {bits} to {whole}')}, {_number(16, lanes)}")
    return f.op(f"bitcast {whole} {upper} to {wide}")


def rounded(f: Function, kind: str, value: str, lanes: int) -> str:
    """The bits of the nearest numbers of a kind, of two the even one. NaN stays NaN."""
    small, whole, wide = (_type(t, lanes) for t in (BITS, "i32", "float"))
    if kind == "half":
        half = _type(kind, lanes)
        return f.op(f"bitcast {half} {f.op(f'fptrunc {wide} {value} to {half}')} to {small}")

    def op(name: str, a: str, b: str | int) -> str:
        return f.op(f"{name} {whole} {a}, {_number(b, lanes) if isinstance(b, int) else b}")

    bits = f.op(f"bitcast {wide} {value} to {whole}")
    upper = op("lshr", bits, 16)
    half_way = op("add", op("and", upper, 1), 0x7FFF)
    nearest = op("lshr", op("add", bits, half_way), 16)
    none = f.op(f"fcmp uno {wide} {value}, zeroinitializer")  # a carry makes infinity of some NaN
    quiet, mask = op("or", upper, 0x40), _type("i1", lanes)
    nearest = f.op(f"select {mask} {none}, {whole} {quiet}, {whole} {nearest}")
    return f.op(f"trunc {whole} {nearest} to {small}")


def _type(element: str, lanes: int) -> str:
    return f"<{lanes} x {element}>" if lanes else element


def _number(value: int, lanes: int) -> str:
    return f"splat (i32 {value})" if lanes else str(value)
