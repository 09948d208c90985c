"""AArch64 kernels under qemu: sizes around their vectors, and that the emulator notices mistakes.

Wherever a test runs on every instruction set, it runs on theirs too.
"""

import shutil
import sys
from array import array

import pytest
import torch

from elman.compiler import jit
from elman.compiler.ir import Function, Module
from tests.compiler import emulated
from tests.compiler.problem import Problem, check
from tests.compiler.targets import code_of, emulated_isa, force

ROWS = {"one row": {"B": 1, "T": 3}, "ragged": {"D": 2, "lengths": [7, 5, 5, 2, 1, 1, 1]}}
DTYPES = {torch.float32: "float", torch.float64: "double"}


@emulated_isa
@pytest.mark.parametrize("cell", ["tanh", "LSTM", "GRU", "GRUBefore", "LayerNorm", "Functions"])
@pytest.mark.parametrize("dtype", DTYPES, ids=DTYPES.values())
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_sizes_around_the_vector_agree_with_the_reference(row, rows, cell, dtype):
    lanes = row.lanes(DTYPES[dtype])
    units = {1, lanes - 1, lanes, lanes + 1, 50}
    if cell == "LayerNorm":
        units -= {1}  # a unit that is normalised alone is zero, but for its rounding
    with force(row):
        for H in units:  # one number alone may be nearly zero, and its error is not: the floor
            check(Problem(cell, dtype=dtype, H=H, **rows), floor=0.1)


def compiled(row, *instructions):
    """The code of a function of these instructions."""
    module = Module()
    module.declare("void @llvm.aarch64.set.fpcr(i64)")
    function = Function(module, "elman_test", [("ptr", "table")], public=True)
    for text in instructions:
        function.do(text)
    return code_of(row)(jit.object_code(module, row), "elman_test")


@emulated_isa
def test_a_kernel_reads_and_writes_the_memory_of_this_process(row):
    numbers = array("q", range(20_000))  # some 40 pages
    address = numbers.buffer_info()[0]
    increment = ["%v = load i64, ptr %p", "%w = add i64 %v, 5", "store i64 %w, ptr %p"]
    for place in (0, 7, 19_999):
        where = f"%p = getelementptr i64, ptr %table, i64 {place}"
        compiled(row, where, *increment).call(address)
    expected = array("q", range(20_000))
    for place in (0, 7, 19_999):
        expected[place] += 5
    assert numbers == expected


@emulated_isa
@pytest.mark.parametrize(
    ("instruction", "error"),
    [
        ("store i64 1, ptr inttoptr (i64 4096 to ptr)", "reached for memory at 0x1000"),
        ("call void %table()", "jumped into data"),
        ("call void @llvm.aarch64.set.fpcr(i64 16777216)", "has changed FPCR"),
    ],
    ids=["a wild pointer", "a wild jump", "another mode of arithmetic"],
)
def test_a_kernel_that_goes_wrong_is_reported(row, instruction, error):
    numbers = array("q", [0] * 100)
    with pytest.raises(RuntimeError, match=error):
        compiled(row, instruction).call(numbers.buffer_info()[0])


def test_what_is_missing_for_the_emulation_is_named(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    expected = "AArch64 cannot be emulated without qemu-aarch64 and aarch64-linux-gnu-gcc"
    assert emulated.missing() == expected
    with pytest.raises(RuntimeError, match=expected):
        emulated.Emulator()
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert emulated.missing() == ""
