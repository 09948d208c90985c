"""What a chunk returns with ``return_states`` has the bits of one call of the module."""

from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_map

import elman
from tests.cells import CELLS
from tests.streaming.modules import MODULES, B, H, I, T, dtype_of, same

MORE = {
    **MODULES,
    "outputs": lambda: elman.Recurrent(CELLS["Gauge"], I, H, 2, residual=True),
    "batch first": lambda: elman.GRU(I, H, 2, batch_first=True),
}
each_module = pytest.mark.parametrize("make", MORE.values(), ids=MORE.keys())


def joined(parts: list[Any], time: int) -> Any:
    """The states of all chunks, one behind the other."""
    return tree_map(lambda *each: torch.cat(each, time), *parts)


@pytest.mark.parametrize("rows", [None, 1, B])
@each_module
def test_the_bits_are_those_of_one_call(make, rows):
    module = make().eval()
    batch_first = module.batch_first and rows is not None
    time, lead = int(batch_first), () if rows is None else (rows,)
    x = torch.randn(T, *lead, I, dtype=dtype_of(module))
    x = x.transpose(0, 1) if batch_first else x
    with torch.no_grad():
        output, final, states = module(x, return_states=True)
    stream = elman.Stream(module, rows)
    found = [stream.chunk(part, return_states=True) for part in x.split([3, 1, 2, 1], time)]
    assert torch.equal(torch.cat([o for o, _ in found], time), output)
    assert same(joined([s for _, s in found], time + 1), states)
    assert same(stream.snapshot(), final)


@each_module
def test_a_reset_begins_anew(make):
    module = make().eval()
    time = int(module.batch_first)
    x, reset = torch.randn(T, B, I, dtype=dtype_of(module)), torch.zeros(T, B, dtype=torch.bool)
    reset[3, 1] = reset[5] = True
    if time:
        x, reset = x.transpose(0, 1), reset.T
    with torch.no_grad():
        output, _, states = module(x, reset=reset, return_states=True)
    found = elman.Stream(module, B).chunk(x, reset=reset, return_states=True)
    assert same(found, (output, states))


def test_results_stay_when_the_next_chunk_is_run():
    module = elman.LSTM(I, H, 2)
    stream, x = elman.Stream(module, B), torch.randn(T, B, I)
    found = stream.chunk(x, return_states=True)
    copies = tree_map(torch.clone, found)
    stream.chunk(x, return_states=True)
    stream.chunk(x)
    assert same(found, copies)


def test_weights_count_from_refresh_on():
    module = elman.GRU(I, H)
    stream, x = elman.Stream(module, B), torch.randn(T, B, I)
    stream.chunk(x, return_states=True)
    with torch.no_grad():
        module.weight_hh_l0.mul_(0.5)
        expected = module(x, return_states=True)
    stream.refresh()
    stream.reset()
    output, states = stream.chunk(x, return_states=True)
    assert same((output, states), (expected[0], expected[2]))


@pytest.mark.parametrize("given", [1, None, "h"])
def test_it_is_true_or_false(given):
    with pytest.raises(TypeError, match="Stream: return_states must be True or False, got"):
        elman.Stream(elman.GRU(I, H)).chunk(torch.randn(T, I), return_states=given)
