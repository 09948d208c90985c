"""The instruction sets as data: all that distinguishes one processor's kernels from another's."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class ISA:
    """One row: how wide the vectors are, how many fit, and what LLVM must be told.

    ``rows`` and ``vectors`` are the tile's shape: rows x vectors accumulators, the vectors of
    one panel row and a broadcast have to fit into the registers together.
    """

    name: str
    machine: str
    cpu: str
    features: str
    bits: int
    rows: int
    vectors: int
    fma: bool
    fp_state: str  # how the floating-point control register is reached: "x86", "aarch64"

    def lanes(self, dtype: str) -> int:
        """Elements of a vector: ``dtype`` is "float" or "double"."""
        return self.bits // {"float": 32, "double": 64}[dtype]


_X86 = "+avx2,+fma,+bmi,+bmi2,+f16c"
_AVX512 = f"{_X86},+avx512f,+avx512vl,+avx512bw,+avx512dq,-prefer-256-bit"

#: Widest first: the first row that a processor can run is its own.
TABLE: tuple[ISA, ...] = (
    ISA("avx512", "x86_64", "x86-64-v4", _AVX512, 512, 6, 4, True, "x86"),
    ISA("avx2", "x86_64", "x86-64-v3", _X86, 256, 6, 2, True, "x86"),
    ISA("neon", "aarch64", "generic", "+neon", 128, 6, 4, True, "aarch64"),
    ISA("sse2", "x86_64", "x86-64", "+sse2", 128, 4, 2, False, "x86"),
)


def by_name(name: str) -> ISA:
    """The row of this name; ValueError for an unknown one."""
    for row in TABLE:
        if row.name == name:
            return row
    raise ValueError(f"unknown ISA {name!r}: expected one of {[r.name for r in TABLE]}")


def machine_of(triple: str) -> str:
    """The kind of processor in a target triple, under the name that the table has for it."""
    name = triple.partition("-")[0]
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


@functools.cache
def available() -> tuple[ISA, ...]:
    """The rows that this processor and operating system can run, widest first."""
    from llvmlite import binding

    machine = machine_of(binding.get_process_triple())
    has = binding.get_host_cpu_features()
    wanted = {
        "avx512": ("avx512f", "avx512vl", "avx512bw", "avx512dq"),
        "avx2": ("avx2", "fma"),
        "sse2": ("sse2",),
        "neon": (),
    }
    return tuple(
        row for row in TABLE if row.machine == machine and all(has.get(f) for f in wanted[row.name])
    )


def chains(isa: ISA, dtype: str, width: int) -> int:
    """Into how many independent sums each product is cut, by the width of the result alone.

    A fused multiply-add takes about four cycles and two can start in one: below eight
    independent accumulators a row alone would wait for itself. Narrow results get their
    accumulators by cutting the sum. It is the same for every tile shape, so that a row's bits
    don't depend on its company.
    """
    vectors = math.ceil(width / isa.lanes(dtype))
    return 1 if vectors > 6 else 2 if vectors > 2 else 4
