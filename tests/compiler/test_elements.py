"""Numbers in panels: bfloat16s are what floats were rounded to, to the bit."""

from array import array

import torch

from elman.compiler import elements, jit
from elman.compiler.ir import Function, Module
from elman.compiler.tile import vectors_of
from elman.compiler.vector import Vector
from tests.compiler.targets import code_of, each_isa, enter

SPECIAL = [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-40, -3e-39, 3.3e38, 1.0]
ROWS = 3


def narrowed_and_loaded(row, halves):
    """The code of a function that narrows a block and loads it again, of so many halves of
    vectors."""
    module = Module()
    elements.define_narrow(module, row)
    f = Function(module, "elman_test", [("ptr", "table")], public=True)
    v = Vector(f, row, "float")
    kinds = vectors_of(v, halves)
    units = len(kinds) * v.lanes
    source, panel, goal = (f.load("ptr", "%table", i) for i in range(3))
    f.call("narrow", ("ptr", panel), ("ptr", source), ("i64", units), ("i64", ROWS))
    with f.loop(0, ROWS) as i:
        start = f.mul(i, units)
        vectors = elements.load(kinds, "bfloat", f.gep("bfloat", panel, start))
        for w, (kind, vector) in enumerate(zip(kinds, vectors, strict=True)):
            kind.store(vector, f.gep("float", goal, f.add(start, w * v.lanes)))
    return code_of(row)(jit.object_code(module, row), "elman_test")


@each_isa
def test_a_block_of_bfloat16s_gives_the_rounded_numbers(row):
    for halves in (2, 4, 6, 16, *((1, 3, 5) if row.halves else ())):
        check(row, halves)


def check(row, halves):
    """What a block of so many halves of vectors gives."""
    units = -(-halves // 2) * row.lanes("float")
    loaded = halves * row.lanes("float") // 2
    count = ROWS * units
    given = torch.randn(count)
    given[: len(SPECIAL)] = torch.tensor(SPECIAL)[:count]
    given = given.bfloat16().float()
    panel = torch.full((count + 1,), 7, dtype=torch.int16)  # the last is none of the block
    goal = torch.empty(count)
    table = array("q", [t.data_ptr() for t in (given, panel, goal)])
    code = narrowed_and_loaded(row, halves)  # it lives as long as this object
    enter(code, table.buffer_info()[0])
    found, expected = (t.view(torch.int32).view(ROWS, units)[:, :loaded] for t in (goal, given))
    assert torch.equal(found, expected)
    assert panel[-1] == 7
    kept = panel[:-1].view(torch.bfloat16).float()
    assert torch.equal(kept.nan_to_num(5).sort()[0], given.nan_to_num(5).sort()[0])
