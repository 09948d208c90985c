"""Arithmetic on one vector of units: what a primitive's ``emit`` rule is written in."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from .halves import BITS, HALVES, rounded, widened
from .ir import LONG, Function, Int
from .isa import ISA

_COMPARE = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}


def literal(value: float) -> str:
    """A number in the hexadecimal form in which LLVM takes every value exactly."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Vector:
    """Emits arithmetic on ``lanes`` elements at once into a function.

    No instruction carries a fast-math flag: the same formula gives the same bits in every
    place, and NaN passes. A fused multiply-add is written where one is meant.
    """

    def __init__(self, function: Function, isa: ISA, dtype: str) -> None:
        self.f, self.isa, self.dtype = function, isa, dtype
        self.lanes = isa.lanes(dtype)
        self.size = {"float": 4, "double": 8}[dtype]
        self.type = f"<{self.lanes} x {dtype}>"
        self.int = {4: "i32", 8: LONG}[self.size]
        self.int_type = f"<{self.lanes} x {self.int}>"
        self._suffix = f"v{self.lanes}f{self.size * 8}"

    # -- constants, broadcasts, memory

    def number(self, value: float) -> str:
        """A constant, rounded to the vector's dtype."""
        if self.dtype == "float":
            value = struct.unpack("f", struct.pack("f", value))[0]
        return f"splat ({self.dtype} {literal(value)})"

    def integer(self, value: int) -> str:
        return f"splat ({self.int} {value})"

    def splat(self, scalar: str) -> str:
        one = self.f.op(f"insertelement {self.type} poison, {self.dtype} {scalar}, i64 0")
        mask = f"<{self.lanes} x i32> zeroinitializer"
        return self.f.op(f"shufflevector {self.type} {one}, {self.type} poison, {mask}")

    # Memory may hold numbers of another ``kind``, see ``halves``.

    def broadcast(self, pointer: str, kind: str = "") -> str:
        return self.splat(self.load_one(pointer, kind))

    def load_one(self, pointer: str, kind: str = "") -> str:
        """A single number."""
        if kind in HALVES:
            return widened(self.f, kind, self.f.load(BITS, pointer, align=2))
        return self.f.load(self.dtype, pointer, align=self.size)

    def load(self, pointer: str, kind: str = "") -> str:
        if kind in HALVES:
            return self._widened(kind, self.f.load(self._bits, pointer, align=2))
        return self.f.load(self.type, pointer, align=self.size)

    def store(self, value: str, pointer: str, kind: str = "") -> None:
        if kind in HALVES:
            self.f.store(self._bits, rounded(self.f, kind, value, self.lanes), pointer, align=2)
        else:
            self.f.store(self.type, value, pointer, align=self.size)

    @property
    def _bits(self) -> str:
        return f"<{self.lanes} x {BITS}>"

    def _widened(self, kind: str, bits: str) -> str:
        return widened(self.f, kind, bits, self.lanes)

    def prefetch(self, pointer: str, near: bool = False) -> None:
        """Has the second cache fetch what lies there, if anything does, or the first one."""
        self.f.module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.f.do(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 {2 + near}, i32 1)")

    def first(self, count: Int) -> str:
        """The mask of the first ``count`` lanes; all if there are not so many."""
        lanes = ", ".join(f"{self.int} {i}" for i in range(self.lanes))
        count = self.f.resized(count, self.int)
        one = self.f.op(f"insertelement {self.int_type} poison, {self.int} {count}, i64 0")
        mask = f"<{self.lanes} x i32> zeroinitializer"
        limit = self.f.op(f"shufflevector {self.int_type} {one}, {self.int_type} poison, {mask}")
        return self.f.op(f"icmp slt {self.int_type} <{lanes}>, {limit}")

    # Of LLVM 20, with the alignment as a number; later versions read it so, too.

    def load_masked(self, pointer: str, mask: str, kind: str = "") -> str:
        """Zeros where the mask is false; nothing is read there."""
        narrow = kind in HALVES
        form, size, suffix = self._masked(narrow)
        name, lanes = f"@llvm.masked.load.{suffix}.p0", f"<{self.lanes} x i1>"
        self.f.module.declare(f"{form} {name}(ptr, i32, {lanes}, {form})")
        given = f"ptr {pointer}, i32 {size}, {lanes} {mask}, {form} zeroinitializer"
        found = self.f.op(f"call {form} {name}({given})")
        return self._widened(kind, found) if narrow else found

    def store_masked(self, value: str, pointer: str, mask: str, kind: str = "") -> None:
        """Writes where the mask is true."""
        narrow = kind in HALVES
        form, size, suffix = self._masked(narrow)
        value = rounded(self.f, kind, value, self.lanes) if narrow else value
        name, lanes = f"@llvm.masked.store.{suffix}.p0", f"<{self.lanes} x i1>"
        self.f.module.declare(f"void {name}({form}, ptr, i32, {lanes})")
        given = f"{form} {value}, ptr {pointer}, i32 {size}, {lanes} {mask}"
        self.f.do(f"call void {name}({given})")

    def _masked(self, narrow: bool) -> tuple[str, int, str]:
        """The type in memory, bytes of an element, and how names of intrinsics end."""
        if narrow:
            return self._bits, 2, f"v{self.lanes}{BITS}"
        return self.type, self.size, self._suffix

    # -- arithmetic

    def add(self, a: str, b: str) -> str:
        return self.f.op(f"fadd {self.type} {a}, {b}")

    def sub(self, a: str, b: str) -> str:
        return self.f.op(f"fsub {self.type} {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        return self.f.op(f"fmul {self.type} {a}, {b}")

    def div(self, a: str, b: str) -> str:
        return self.f.op(f"fdiv {self.type} {a}, {b}")

    def neg(self, a: str) -> str:
        return self.f.op(f"fneg {self.type} {a}")

    def fma(self, a: str, b: str, c: str) -> str:
        """``a * b + c``, rounded once where the processor can."""
        if self.isa.fma:
            return self.call("fma", a, b, c)
        return self.add(self.mul(a, b), c)

    def multiply_add_pairs(self, a: str, b: str, c: str) -> str:
        """``c`` and both products of the pairs of bfloat16s in ``a`` and ``b``."""
        name = f"@llvm.x86.avx512bf16.dpbf16ps.{self.isa.bits}"
        kind = f"<{2 * self.lanes} x bfloat>"
        self.f.module.declare(f"{self.type} {name}({self.type}, {kind}, {kind})")
        a, b = (self.f.op(f"bitcast {self.type} {x} to {kind}") for x in (a, b))
        return self.f.op(f"call {self.type} {name}({self.type} {c}, {kind} {a}, {kind} {b})")

    def rounded(self, a: str) -> str:
        """The bits of the nearest bfloat16s."""
        kind = f"<{self.lanes} x bfloat>"
        nearest = self.f.op(f"fptrunc {self.type} {a} to {kind}")
        return self.f.op(f"bitcast {kind} {nearest} to <{self.lanes} x i16>")

    def call(self, intrinsic: str, *args: str) -> str:
        """An LLVM intrinsic that is one instruction, or a few, on every target."""
        name = f"@llvm.{intrinsic}.{self._suffix}"
        types = ", ".join([self.type] * len(args))
        self.f.module.declare(f"{self.type} {name}({types})")
        given = ", ".join(f"{self.type} {a}" for a in args)
        return self.f.op(f"call {self.type} {name}({given})")

    def abs(self, a: str) -> str:
        return self.call("fabs", a)

    def sqrt(self, a: str) -> str:
        return self.call("sqrt", a)

    def copysign(self, a: str, sign: str) -> str:
        return self.call("copysign", a, sign)

    def relu(self, a: str) -> str:
        return self.select(self.compare("le", a, self.number(0.0)), self.number(0.0), a)

    def floor(self, a: str) -> str:
        """The largest integer not above it, by two additions: SSE2 has no instruction for it."""
        room = self.number(2.0 ** {"float": 23, "double": 52}[self.dtype])  # no fraction from here
        size = self.abs(a)
        near = self.copysign(self.sub(self.add(size, room), room), a)
        near = self.select(self.compare("lt", size, room), near, a)
        below = self.sub(near, self.number(1.0))
        return self.select(self.compare("gt", near, a), below, near)

    def nearest_bfloat16(self, a: str) -> str:
        """The nearest bfloat16s, as numbers of the vector's dtype. By integers: the instruction of
        some processors takes denormal numbers for zeros."""
        single, bits = f"<{self.lanes} x float>", f"<{self.lanes} x i32>"
        narrow = self.f.op(f"fptrunc {self.type} {a} to {single}") if self.size == 8 else a
        given = self.f.op(f"bitcast {single} {narrow} to {bits}")
        odd = self.f.op(
            f"and {bits} {self.f.op(f'lshr {bits} {given}, splat (i32 16)')}, splat (i32 1)"
        )
        half = self.f.op(f"add {bits} {odd}, splat (i32 {0x7FFF})")
        upper = self.f.op(
            f"and {bits} {self.f.op(f'add {bits} {given}, {half}')}, splat (i32 {-0x10000})"
        )
        nearest = self.f.op(f"bitcast {bits} {upper} to {single}")
        wide = self.f.op(f"fpext {single} {nearest} to {self.type}") if self.size == 8 else nearest
        return self.select(self.compare("eq", a, a), wide, a)  # a carry makes infinity of some NaN

    def total(self, a: str, combine: Callable[[str, str], str] | None = None) -> str:
        """The sum of the lanes, by halves, or what ``combine`` makes of them."""
        half = self.lanes // 2
        while half:
            lanes = ", ".join(
                f"i32 {i + half}" if i < half else "i32 poison" for i in range(self.lanes)
            )
            mask = f"<{self.lanes} x i32> <{lanes}>"
            other = self.f.op(f"shufflevector {self.type} {a}, {self.type} poison, {mask}")
            a = (combine or self.add)(a, other)
            half //= 2
        return self.f.op(f"extractelement {self.type} {a}, i64 0")

    def load_transposed(self, rows: Sequence[str], kind: str = "") -> list[str]:
        """As many vectors as there are lanes, from an address each, transposed.

        Vectors are loaded whole: parts of them would take more loads, and pieces of 128 bits are
        moved to where they belong as cheaply as anything moves within one.
        """
        piece, whole = 16 // self.size, [self.load(row, kind) for row in rows]
        groups = [self._sort(whole[r::piece]) for r in range(piece)]
        return [column for rows in zip(*groups, strict=True) for column in self._transpose(rows)]

    def _sort(self, rows: Sequence[str]) -> list[str]:
        """Vectors, as many as one has pieces of 128 bits, by pieces: all first ones, and so on."""
        if len(rows) == 1:
            return list(rows)
        piece, pairs = 16 // self.size, list(zip(rows[::2], rows[1::2], strict=True))
        even = [p + e for p in range(0, 2 * self.lanes, 2 * piece) for e in range(piece)]
        halves = (
            self._sort([self._shuffle(a, b, lanes) for a, b in pairs])
            for lanes in (even, [lane + piece for lane in even])
        )
        return [vector for both in zip(*halves, strict=True) for vector in both]

    def _transpose(self, rows: Sequence[str]) -> list[str]:
        """The squares that pieces of 128 bits of some vectors make up, each transposed: elements
        of one half of the vectors go between those of the other, as often as halves can be made."""
        half, both = len(rows) // 2, (0, self.lanes)
        lower = [
            p + e + of for p in range(0, self.lanes, 2 * half) for e in range(half) for of in both
        ]
        lanes = lower, [lane + half for lane in lower]
        for _ in range(half.bit_length()):
            pairs = zip(rows[:half], rows[half:], strict=True)
            rows = [self._shuffle(a, b, part) for a, b in pairs for part in lanes]
        return list(rows)

    def _shuffle(self, a: str, b: str, lanes: Sequence[int]) -> str:
        """Lanes of two vectors, those of the second counted on."""
        mask = f"<{self.lanes} x i32> <{', '.join(f'i32 {i}' for i in lanes)}>"
        return self.f.op(f"shufflevector {self.type} {a}, {self.type} {b}, {mask}")

    # -- truth values and bits

    def compare(self, how: str, a: str, b: str) -> str:
        return self.f.op(f"fcmp {_COMPARE[how]} {self.type} {a}, {b}")

    def select(self, mask: str, a: str, b: str) -> str:
        mask_type = f"<{self.lanes} x i1>"
        return self.f.op(f"select {mask_type} {mask}, {self.type} {a}, {self.type} {b}")

    def bits(self, a: str) -> str:
        return self.f.op(f"bitcast {self.type} {a} to {self.int_type}")

    def from_bits(self, a: str) -> str:
        return self.f.op(f"bitcast {self.int_type} {a} to {self.type}")

    def integer_op(self, op: str, a: str, b: str) -> str:
        return self.f.op(f"{op} {self.int_type} {a}, {b}")

    def nonzero(self, a: str) -> str:
        """The truth values of integers."""
        return self.f.op(f"icmp ne {self.int_type} {a}, zeroinitializer")

    def function(self, name: str, a: str) -> str:
        """A transcendental function."""
        return FUNCTIONS[name](self, a)


_Emit = Callable[[Vector, str], str]
FUNCTIONS: dict[str, _Emit] = {}
"""The transcendental functions by name; ``activations`` and ``angles`` define them."""


def transcendental(emit: _Emit) -> _Emit:
    """Takes an emitter into the table, under its own name."""
    FUNCTIONS[emit.__name__] = emit
    return emit
