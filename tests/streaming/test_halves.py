"""Sessions of bfloat16 and float16 modules: states are float32, so that nothing is rounded between
steps."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

import elman
from elman.launch.kernel_cache import HALF_DTYPES
from tests.compiler.targets import exact
from tests.streaming.modules import MODULES, B, H, I, T

EVERY = MODULES | {"batch first": lambda: elman.GRU(I, H, batch_first=True)}
each_module = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
each_dtype = pytest.mark.parametrize("dtype", HALF_DTYPES, ids=str)
each_lead = pytest.mark.parametrize("rows", [None, B])


@each_module
@each_dtype
@each_lead
def test_steps_and_chunks_have_the_bits_of_one_call(
    make: Callable[[], nn.Module], dtype: torch.dtype, rows: int | None
) -> None:
    torch.manual_seed(0)
    module = make().to(dtype).eval()
    time = 1 if rows and getattr(module, "batch_first", False) else 0
    x = torch.randn((T, I) if rows is None else (T, rows, I), dtype=dtype).transpose(0, time)
    with torch.no_grad(), exact():
        expected = module(x)[0]
        stream = elman.Stream(module, rows)
        steps = [stream.step(row).clone() for row in x.unbind(time)]
        stream.reset()
        chunks = [stream.chunk(part) for part in x.split((3, 1, 2, 1), time)]
    assert steps[0].dtype == dtype
    assert torch.equal(torch.stack(steps, time), expected)
    assert torch.equal(torch.cat(chunks, time), expected)


@each_dtype
def test_a_session_goes_on_from_what_it_was(dtype: torch.dtype) -> None:
    module = MODULES["LSTM"]().to(dtype).eval()
    x = torch.randn(T, B, I, dtype=dtype)
    stream = elman.Stream(module, B)
    stream.chunk(x)
    states = stream.snapshot()
    assert {s.dtype for s in states} == {torch.float32}
    others = [copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))]
    expected = stream.chunk(x)
    assert all(torch.equal(other.chunk(x), expected) for other in others)
    stream.restore(states)
    assert torch.equal(stream.chunk(x), expected)
    narrow = tuple(s.to(dtype) for s in states)
    stream.restore(narrow)
    with torch.no_grad(), exact():
        assert torch.equal(stream.chunk(x), module(x, narrow)[0])
    with pytest.raises(RuntimeError, match="expected a state of shape"):
        stream.restore(tuple(s.double() for s in states))


@each_dtype
def test_a_refresh_follows_the_modules_dtype_as_far_as_states_have_it(dtype: torch.dtype) -> None:
    module = elman.GRU(I, H)
    stream, x = elman.Stream(module, B), torch.randn(2 * T, B, I, dtype=dtype)
    module.to(dtype)
    stream.refresh()
    with torch.no_grad(), exact():
        expected = module(x)[0]
    assert torch.equal(torch.cat([stream.chunk(part) for part in x.split(T)]), expected)
    other = elman.Stream(elman.GRU(I, H).double(), B)
    other.module.to(dtype)
    with pytest.raises(elman.PathError, match="tensors are of both"):
        other.refresh()


@each_dtype
def test_the_input_is_of_the_modules_dtype(dtype: torch.dtype) -> None:
    stream = elman.Stream(elman.GRU(I, H, dtype=dtype))
    with pytest.raises(RuntimeError, match=f"a plain tensor of {dtype} on the CPU"):
        stream.step(torch.randn(I))
