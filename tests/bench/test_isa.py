import numpy as np
import pytest

from benchmarks.isa import Forced
from elman.bench.contestants import TORCH
from elman.bench.task import Task
from elman.compiler.isa import available
from elman.dispatch.select import current_isa


@pytest.mark.parametrize("row", available(), ids=lambda row: row.name)
def test_a_forced_instruction_set_is_what_runs(row):
    task = Task("GRU", 6, 2, 3, 4, mode="training")
    forced, own = Forced(row.name), current_isa()
    with forced.stack:  # a benchmark's process never leaves it
        call = forced.prepare(task, "")
        assert current_isa() is row
        pairs = zip(call(), TORCH.prepare(task, "float64")(), strict=True)
        assert all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs)
    assert current_isa() is own
