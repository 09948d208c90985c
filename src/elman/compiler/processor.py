"""What each kind of processor has of its own: its control register, and a pause.

A new kind needs an entry here and rows in ``isa.TABLE``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .ir import Function
from .isa import ISA


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
