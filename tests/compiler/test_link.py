"""What lies between two layers, times one factor each."""

from typing import Any

import pytest
import torch

from elman.compiler import isa, jit
from elman.compiler import link as code
from elman.launch import together
from elman.launch.calls import NativeCall
from tests.compiler.objects import undefined
from tests.compiler.targets import each_isa, force

NAMES = {torch.float32: "float", torch.float64: "double"}


@each_isa
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_tensor_is_multiplied_in_whole_and_in_part_vectors(row, dtype, backwards):
    together._link.cache_clear()
    with force(row):
        for rows, units in ((1, 1), (2, 3), (7, 5), (1, 64), (3, 33)):
            values = torch.randn(3, rows * units + 1, dtype=dtype)
            goal, given, factors = values.clone()
            run: Any = together.link_pass(NAMES[dtype], row, rows, units, backwards)
            NativeCall([(run, (0, 1, 2))]).run([goal, given, factors])
            assert torch.equal(goal[:-1], (given * factors)[:-1])
            assert torch.equal(goal[-1], values[0, -1])  # behind the last row nothing is written
            NativeCall([(run, (0, 0, 1))]).run([given, factors])
            assert torch.equal(given[:-1], goal[:-1])
    together._link.cache_clear()


def test_the_code_asks_for_nothing_else_on_any_processor():
    for row in isa.TABLE:
        for dtype in NAMES.values():
            assert undefined(jit.object_code(code.emit(dtype, row), row)) == []
