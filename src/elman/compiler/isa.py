"""The instruction sets and kinds of processors as data: all that distinguishes one processor's
kernels from another's. A new kind needs an entry in ``_PROCESSORS`` and rows in ``TABLE``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from .ir import Function


@dataclass(frozen=True, eq=False)
class ISA:
    """One row: how wide the vectors are, how many fit, and what LLVM must be told.

    ``needs`` are the features, by LLVM's names, of which LLVM makes use for such a ``cpu``;
    ``features`` is what it is told besides. ``rows`` and ``vectors`` are the tile's shape: rows x
    vectors accumulators, the vectors of one panel row and a broadcast have to fit into the
    registers together. With ``bf16_pairs`` one instruction multiplies pairs of neighbouring
    bfloat16s, and adds both products to a float. ``word`` is how many bits an address has,
    and ``doubles`` says whether the processor computes with them.
    """

    name: str
    machine: str
    cpu: str
    features: str
    needs: tuple[str, ...]
    bits: int
    rows: int
    vectors: int
    fma: bool
    bf16_pairs: bool
    word: int = 64
    doubles: bool = True
    float16: bool = True  # whether an instruction converts from it and to it

    @property
    def accumulators(self) -> int:
        """How many a tile may have."""
        return self.rows * self.vectors

    def lanes(self, dtype: str) -> int:
        """Elements of a vector: ``dtype`` is "float" or "double"."""
        return max(1, self.bits // {"float": 32, "double": 64}[dtype])


_V3 = ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "popcnt")
_V4 = ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl", *_V3)
_BF16_V4 = ("avx512bf16", *_V4)
_WIDE = "-prefer-256-bit"  # LLVM would halve the vectors otherwise
_BF16 = f"{_WIDE},+avx512bf16"

#: Widest first: the first row that a processor can run is its own. The last of a kind of
#: processor needs nothing: all of that kind can run it.
TABLE: tuple[ISA, ...] = (
    ISA("avx512bf16", "x86_64", "x86-64-v4", _BF16, _BF16_V4, 512, 6, 4, True, True),
    ISA("avx512", "x86_64", "x86-64-v4", _WIDE, _V4, 512, 6, 4, True, False),
    ISA("avx2", "x86_64", "x86-64-v3", "", _V3, 256, 6, 2, True, False),
    ISA("neon", "aarch64", "generic", "", (), 128, 6, 4, True, False),
    ISA("sse2", "x86_64", "x86-64", "", (), 128, 4, 2, False, False, float16=False),
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
def host() -> tuple[str, frozenset[str]]:
    """The kind of this processor, and which features it has that the operating system supports."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    machine = machine_of(binding.get_process_triple())
    return machine, frozenset(name for name, there in features.items() if there)


def lacking(row: ISA) -> list[str]:
    """What this processor or its operating system lacks for a row, of its kind of processor."""
    _, features = host()
    return [name for name in row.needs if name not in features]


def available() -> tuple[ISA, ...]:
    """The rows that this processor and operating system can run, widest first."""
    return tuple(row for row in of_this_kind() if not lacking(row))


def of_this_kind() -> tuple[ISA, ...]:
    """The rows of this kind of processor, widest first; none for a kind that has no kernels."""
    machine, _ = host()
    return tuple(row for row in TABLE if row.machine == machine)


@dataclass(frozen=True)
class Processor:
    """The instructions that LLVM has no common name for; ``where`` is an address in memory."""

    pause: Callable[[Function], None]  # tells the processor that a loop waits
    read_fp: Callable[[Function, str], None]  # stores the floating-point control register
    write_fp: Callable[[Function, str], None]  # sets it from memory


def processor_of(isa: ISA) -> Processor:
    """That of an instruction set; ValueError for a kind that is not in the table."""
    if isa.machine not in _PROCESSORS:
        raise ValueError(f"unknown machine {isa.machine!r}: expected one of {[*_PROCESSORS]}")
    return _PROCESSORS[isa.machine]


def _call(f: Function, name: str, kind: str = "", given: str = "") -> None:
    f.module.declare(f"void @llvm.{name}({kind})")
    f.do(f"call void @llvm.{name}({f'{kind} {given}' if kind else ''})")


def _read_fpcr(f: Function, where: str) -> None:
    f.module.declare("i64 @llvm.aarch64.get.fpcr()")
    f.store("i64", f.op("call i64 @llvm.aarch64.get.fpcr()"), where)


_PROCESSORS = {
    "x86_64": Processor(
        pause=lambda f: _call(f, "x86.sse2.pause"),
        read_fp=lambda f, where: _call(f, "x86.sse.stmxcsr", "ptr", where),
        write_fp=lambda f, where: _call(f, "x86.sse.ldmxcsr", "ptr", where),
    ),
    "aarch64": Processor(
        pause=lambda f: _call(f, "aarch64.hint", "i32", "1"),  # yield
        read_fp=_read_fpcr,
        write_fp=lambda f, where: _call(f, "aarch64.set.fpcr", "i64", f.load("i64", where)),
    ),
}
