"""The instruction sets that the tests run, and those that they can only compile for."""

import contextlib
import dataclasses
from collections.abc import Iterator

import pytest

from elman import paths
from elman.compiler import isa
from elman.compiler.isa import ISA


def lowered(name: str) -> ISA:
    """A row's code (its vectors, its tiles) made of the instructions of this machine.

    LLVM splits a vector that is too wide into several registers, so all is tested but the
    choice of instructions.
    """
    row, best = isa.by_name(name), isa.available()[0]
    return dataclasses.replace(row, cpu=best.cpu, features=best.features, fma=best.fma)


def runnable() -> list[ISA]:
    """Every row of this kind of processor; those it cannot run are lowered."""
    here = isa.available()
    same = [row for row in isa.TABLE if here and row.machine == here[0].machine]
    return [row if row in here else lowered(row.name) for row in same]


def label(row: ISA) -> str:
    return row.name if row in isa.TABLE else f"{row.name}-lowered"


@contextlib.contextmanager
def force(row: ISA) -> Iterator[None]:
    """Within the context, kernels are made for this row, which need not be in the table."""
    token = paths._forced_isa.set(row)
    try:
        yield
    finally:
        paths._forced_isa.reset(token)


each_isa = pytest.mark.parametrize("row", runnable(), ids=label)
