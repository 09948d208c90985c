"""Numbers in panels: bfloat16s and int8s are what floats were rounded to, to the bit."""

from array import array
from functools import partial

import torch

from elman.compiler import jit
from elman.compiler.ir import Function, Module
from elman.compiler.narrow import NARROW
from elman.compiler.vector import Vector
from tests.compiler.targets import code_of, each_isa, enter

SPECIAL = [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-40, -3e-39, 3.3e38, 1.0]
ROWS = 3


def narrowed_and_loaded(row, vectors):
    """The code of a function that narrows a block of so many vectors, and loads it again."""
    module, panel_format = Module(), NARROW["weights"]
    panel_format.define(module, row)
    f = Function(module, "elman_test", [("ptr", "table")], public=True)
    v = Vector(f, row, "float")
    units = vectors * v.lanes
    source, panel, goal = (f.load("ptr", "%table", i) for i in range(3))
    panel_format.convert(f, panel, source, units, ROWS)
    with f.loop(0, ROWS) as i:
        start = f.mul(i, units)
        found = panel_format.load(v, vectors, f.gep("bfloat", panel, start))
        for w, vector in enumerate(found):
            v.store(vector, f.gep("float", goal, f.add(start, w * v.lanes)))
    return code_of(row)(jit.object_code(module, row), "elman_test")


@each_isa
def test_a_block_of_bfloat16s_gives_the_rounded_numbers(row):
    for vectors in (1, 2, 3, 8):
        check(row, vectors)


def check(row, vectors):
    """What a block of so many vectors gives."""
    units = vectors * row.lanes("float")
    count = ROWS * units
    given = torch.randn(count)
    given[: len(SPECIAL)] = torch.tensor(SPECIAL)[:count]
    given = given.bfloat16().float()
    panel = torch.full((count + 1,), 7, dtype=torch.int16)  # the last is none of the block
    goal = torch.empty(count)
    table = array("q", [t.data_ptr() for t in (given, panel, goal)])
    code = narrowed_and_loaded(row, vectors)  # it lives as long as this object
    enter(code, table.buffer_info()[0])
    found, expected = (t.view(torch.int32).view(ROWS, units) for t in (goal, given))
    assert torch.equal(found, expected)
    assert panel[-1] == 7
    kept = panel[:-1].view(torch.bfloat16).float()
    assert torch.equal(kept.nan_to_num(5).sort()[0], given.nan_to_num(5).sort()[0])


def to_int8_and_loaded(row, vectors):
    """The code of a function that makes int8s of a block of so many vectors, and gives the sums of
    one product with a two each, which start from minus zero."""
    module, panel_format = Module(), NARROW["int8"]
    panel_format.define(module, row)
    f = Function(module, "elman_test", [("ptr", "table")], public=True)
    v = Vector(f, row, "float")
    units = vectors * v.lanes
    source, panel, goal = (f.load("ptr", "%table", i) for i in range(3))
    panel_format.convert(f, panel, source, units, ROWS)
    with f.loop(0, ROWS) as i:
        start = f.mul(i, units)
        for w, column in enumerate(panel_format.load(v, vectors, f.gep("i8", panel, start))):
            product = panel_format.multiply_add(v, v.number(2.0), column, v.number(0.0))
            behind = partial(f.gep, "i8", panel, ROWS * units)
            total = panel_format.total(v, w, [product], v.number(-0.0), behind)
            v.store(total, f.gep("float", goal, f.add(start, w * v.lanes)))
    return code_of(row)(jit.object_code(module, row), "elman_test")


@each_isa
def test_a_block_of_int8s_gives_the_rounded_numbers_and_their_scales(row):
    for vectors in (1, 2, 3, 8):
        units = vectors * row.lanes("float")
        whole = torch.randint(-127, 128, (ROWS, units), dtype=torch.int8)
        whole[-1] = torch.where(torch.arange(units) % 2 == 0, 127, -127)
        scale = torch.rand(units) * 2.0 ** torch.randint(-100, 100, (units,))
        scale[0], scale[1] = 2.0**-126, torch.finfo(torch.float32).max / 127
        scale = (scale.view(torch.int32) & -128).view(torch.float32)
        given = whole * scale
        given[:, 2] = 126 * 2.0**-126  # its scale would be no normal number
        given[:, 3] = -0.0
        whole[:, 2:4], scale[2:4] = 0, 1
        panel = torch.full((ROWS * units + 4 * units + 1,), 5, dtype=torch.int8)
        goal = torch.empty(ROWS, units)
        table = array("q", [t.data_ptr() for t in (given, panel, goal)])
        code = to_int8_and_loaded(row, vectors)
        enter(code, table.buffer_info()[0])
        assert torch.equal(panel[: ROWS * units].view(ROWS, units), whole)
        assert torch.equal(panel[ROWS * units : -1].clone().view(torch.float32), scale)
        assert panel[-1] == 5  # none of the block
        assert torch.equal(goal, 2 * whole.float() * scale)
