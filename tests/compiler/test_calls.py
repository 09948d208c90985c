"""The function through which Python calls passes: what it does with what no pass can take."""

import sys
from typing import Any

import pytest
import torch

from elman.batch import LayerArgs, Weights
from elman.cells import Elman
from elman.compiler import isa
from elman.launch.calls import NativeCall
from elman.launch.kernel_cache import kernel_for
from elman.rows import Rows
from tests.sizes import layer_sizes


@pytest.fixture
def call() -> tuple[NativeCall, list[Any]]:
    """A forward pass, and its tensors: x, h0, four weights, output, hn, no tables of rows."""
    step, rows = Elman().trace(), Rows(3, 2, 6)
    shapes = step.shapes(layer_sizes(5, 4)).values()
    given = LayerArgs(
        torch.rand(3, 2, 5),
        [torch.rand(1, 2, 4)],
        [],
        [Weights.of([torch.rand(*shape) for shape in shapes])],
    )
    results = [torch.empty(3, 2, 4), torch.empty(1, 2, 4)]
    tensors = [*given.flat(), *results, None, None]
    kernel = kernel_for(step, torch.float32, isa.available()[0], 4, single=False)
    run = kernel.forward(rows, layer_sizes(5, 4), given.flat(), results, (), False, 1)
    return NativeCall([(run, range(len(tensors)))]), tensors


def test_it_runs_the_pass(call):
    calls, tensors = call
    calls.run(tensors)
    x, h, w_ih, w_hh, b_ih, b_hh, output, final, *_ = tensors
    for t in range(3):
        h = torch.tanh(x[t] @ w_ih.T + b_ih + h[0] @ w_hh.T + b_hh)[None]
        torch.testing.assert_close(output[t], h[0])
    assert torch.equal(final[0], output[-1])


@pytest.mark.parametrize(
    ("place", "value", "error", "message"),
    [
        (2, 3.0, TypeError, "data_ptr"),
        (2, None, TypeError, "data_ptr"),
        (2, torch.empty(4, 5, device="meta"), RuntimeError, "expected a tensor of shape"),
        (6, torch.empty(3, 2, 4, device="meta"), RuntimeError, "expected a tensor of shape"),
    ],
    ids=["a number", "nothing", "a weight without memory", "an output without memory"],
)
def test_what_is_no_memory_is_refused_before_anything_runs(call, place, value, error, message):
    calls, tensors = call
    tensors[7].fill_(7)
    with pytest.raises(error, match=message):
        calls.run([value if i == place else t for i, t in enumerate(tensors)])
    assert tensors[7].eq(7).all()


def test_too_few_tensors_are_refused(call):
    calls, tensors = call
    with pytest.raises(IndexError):
        calls.run(tensors[:5])


def test_it_keeps_no_references(call):
    calls, tensors = call
    broken = [*tensors[:6], torch.empty(3, 2, 4, device="meta"), *tensors[7:]]
    before = [sys.getrefcount(t) for t in (*tensors, True, False, calls)]
    for _ in range(100):
        calls.run(tensors)
        with pytest.raises(RuntimeError):
            calls.run(broken)
    after = [sys.getrefcount(t) for t in (*tensors, True, False, calls)]
    assert all(abs(a - b) < 50 for a, b in zip(after, before, strict=True))
    blocks = sys.getallocatedblocks()
    for _ in range(1000):
        calls.run(tensors)
    assert sys.getallocatedblocks() - blocks < 100  # the addresses are numbers of Python, too
