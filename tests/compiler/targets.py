"""The instruction sets that the tests run: this processor's, and AArch64's under qemu."""

import contextlib
import ctypes
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import pytest

from elman.compiler import isa, jit
from elman.compiler.ir import Module, Part
from elman.compiler.isa import ISA
from elman.dispatch import select
from tests.compiler import emulated


def lowered(name: str) -> ISA:
    """A row's code (its vectors, its tiles) made of the instructions of this machine.

    LLVM splits a vector that is too wide into several registers, so all is tested but the
    choice of instructions.
    """
    row, best = isa.by_name(name), isa.available()[0]
    return dataclasses.replace(row, cpu=best.cpu, features=best.features, fma=best.fma)


def runnable() -> list[ISA]:
    """Every row of this kind of processor; those it cannot run are lowered. Where a row adds
    pairs to another, all else has the code of that one."""
    here = isa.available()
    same = [row for row in isa.TABLE if here and row.machine == here[0].machine]
    same = [row for row in same if not row.bf16_pairs]
    return [row if row in here else lowered(row.name) for row in same]


def label(row: ISA) -> str:
    return row.name if row in isa.TABLE else f"{row.name}-lowered"


def here(row: ISA) -> bool:
    """Whether a row is of this kind of processor."""
    return any(row.machine == own.machine for own in isa.available())


def code_of(row: ISA) -> Callable[[bytes, str], Any]:
    """What makes code of objects for a row: this process runs it, or else an emulator does."""
    return jit.Code if here(row) else emulated.emulator().code


def enter(code: Any, address: int) -> None:
    """Calls a function of an object with the address of its argument."""
    call = getattr(code, "call", None) or ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)
    call(address)


@contextlib.contextmanager
def force(row: ISA) -> Iterator[None]:
    """Within the context, kernels are made for this row, which need not be in the table."""
    own, theirs = jit.Code, code_of(row)

    def code(object_code: bytes, name: str, imports: Mapping[str, int] = {}, *more: Any) -> Any:
        """What calls functions of Python runs in this process in any case."""
        if imports or theirs is own:
            return own(object_code, name, imports, *more)
        return theirs(object_code, name)

    def parts(module: Module) -> list[Part]:
        """An emulated program is of one piece."""
        return cut(module) if theirs is own else [Part("", str(module), [])]

    cut = Module.parts
    token = select._forced_isa.set(row)
    try:
        with mock.patch.object(jit, "Code", code), mock.patch.object(Module, "parts", parts):
            yield
    finally:
        select._forced_isa.reset(token)


def exact() -> contextlib.AbstractContextManager[None]:
    """Within the context, layers of bfloat16 are computed in float32 throughout."""
    return select.set_isa(next(row.name for row in isa.available() if not row.bf16_pairs))


_asked = os.environ.get("ELMAN_TEST_AARCH64") == "1"  # several minutes, and two packages
_emulated = [
    pytest.param(row, marks=pytest.mark.skipif(not _asked, reason="make test-aarch64 runs it"))
    for row in isa.TABLE
    if row.machine == emulated.MACHINE and not here(row)
]
each_isa = pytest.mark.parametrize("row", [*runnable(), *_emulated], ids=label)
_pairs = any(row.bf16_pairs for row in isa.available())
needs_pairs = pytest.mark.skipif(not _pairs, reason="no processor that multiplies bfloat16s")
emulated_isa = pytest.mark.parametrize("row", _emulated, ids=label)
