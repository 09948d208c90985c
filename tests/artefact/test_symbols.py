"""The code of every cell, for every machine, calls nothing that it does not bring."""

from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman.artefact.code import compile_stack
from elman.artefact.stack import stack_of
from elman.artefact.targets import TABLE, Machine
from elman.compiler.ir import Function, Module
from elman.compiler.objects import object_code
from tests.artefact.symbols import undefined
from tests.cells import Functions

pytestmark = pytest.mark.sampled(2)

_NAMED = [c for n, c in vars(elman.cells).items() if isinstance(c, type) and n[0] != "_"]
CELLS = [c for c in _NAMED if issubclass(c, elman.Cell)]


def _found(
    cell: Any, machine: Machine, path: Path, doubles: bool = False, narrow: Any = None
) -> set[str]:
    module = elman.Recurrent(cell, 5, 8)
    stack = stack_of(module.double() if doubles else module, narrow)
    path.write_bytes(compile_stack(stack, machine, "cell").object)
    return undefined(path)


@pytest.mark.parametrize("number", range(len(CELLS)), ids=lambda n: CELLS[n].__name__)
def test_a_cell_of_the_catalogue_needs_nothing(number: int, tmp_path: Path) -> None:
    machine = TABLE[number % len(TABLE)]  # which comes to several cells
    assert _found(CELLS[number], machine, tmp_path / "cell.o") == set(), machine.name


_ALIKE = "x86-64-v3", "cortex-m7", "cortex-m33", "riscv64"  # others have what they have


@pytest.mark.parametrize(
    "machine", [row for row in TABLE if row.name not in _ALIKE], ids=lambda row: row.name
)
def test_no_function_needs_anything(machine: Machine, tmp_path: Path) -> None:
    assert _found(Functions, machine, tmp_path / "cell.o") == set()


@pytest.mark.parametrize("number", range(0, len(TABLE), 2), ids=lambda n: TABLE[n].name)
def test_narrow_weights_need_nothing(number: int, tmp_path: Path) -> None:
    machine, narrow = TABLE[number], (torch.bfloat16, torch.int8)[number // 2 % 2]
    assert _found(elman.cells.GRU, machine, tmp_path / "cell.o", narrow=narrow) == set()


_NARROW = [row for row in TABLE if row.name in ("armv7", "cortex-m7")]


@pytest.mark.parametrize("machine", _NARROW, ids=lambda row: row.name)
def test_doubles_need_nothing(machine: Machine, tmp_path: Path) -> None:
    assert _found(Functions, machine, tmp_path / "cell.o", doubles=True) == set()


@pytest.mark.parametrize("machine", TABLE, ids=lambda row: row.name)
def test_a_call_would_be_seen(machine: Machine, tmp_path: Path) -> None:
    module = Module(machine.isa.word)
    module.declare("double @llvm.exp.f64(double)")
    f = Function(module, "f", [("double", "x")], public=True, returns="double")
    f.result = f.op("call double @llvm.exp.f64(double %x)")
    (tmp_path / "f.o").write_bytes(object_code(module, machine.object, optimised=True))
    assert undefined(tmp_path / "f.o") == {"exp"}
