"""Layers in processes and threads, what they say about themselves, and the memory they keep."""

import concurrent.futures
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.launch import stack
from elman.launch.kernel_cache import scheduled
from elman.runtime import threads as runtime
from tests.nn.jobs import resident
from tests.systems import PATIENCE, flushing, linux_only, needs_fork

MODULES = {
    "RNN": (elman.RNN, (128, 128), (5, 64, 128)),
    "stacked-two-way": (
        lambda *sizes: elman.RNN(*sizes, num_layers=2, bidirectional=True),
        (64, 96),
        (4, 40, 64),
    ),
    "RNNCell": (elman.RNNCell, (128, 128), (64, 128)),
}
each_module = pytest.mark.parametrize(
    ("make", "sizes", "shape"), MODULES.values(), ids=MODULES.keys()
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The numbers of threads that kernels were run on, however little work there was."""
    found: list[int] = []

    def count(*given: Any) -> int:
        found.append(runtime.thread_count(*given))
        return found[-1]

    monkeypatch.setattr(stack, "thread_count", count)
    with scheduled(flop_per_thread=1):
        yield found


@pytest.fixture
def _flushed() -> Iterator[None]:
    with flushing():
        yield


def results(module: torch.nn.Module, x: Tensor) -> list[Tensor]:
    """Output, final state, gradients of input and parameters; on the kernel."""
    x = x.clone().requires_grad_()
    with elman.set_path("kernel"):
        found = module(x)
    found = list(found) if isinstance(found, tuple) else [found]
    leaves = [x, *module.parameters()]
    return [*found, *torch.autograd.grad(found, leaves, [t.detach() for t in found])]


def assert_same_bits(first: list[Tensor], second: list[Tensor]) -> None:
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


FORK = """
import os, torch, elman

torch.manual_seed(0)
torch.set_num_threads(2)
# Shapes for which torch's own operations do not wait for the threads that the child has lost.
modules = [
    (elman.RNN(128, 128), torch.randn(3, 64, 128)),
    (elman.RNN(128, 128, 2, batch_first=True), torch.randn(64, 3, 128)),
    (elman.RNNCell(128, 128), torch.randn(64, 128)),
]

def results():
    tensors = []
    for module, x in modules:
        found = module(x)
        found = list(found) if isinstance(found, tuple) else [found]
        tensors += [*found, *torch.autograd.grad(found, list(module.parameters()), found)]
    return tensors

def same(tensors):
    return all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))

before = results()
child = os.fork()
if not child:
    code = 1
    try:
        code = 0 if same(results()) else 2
    finally:
        os._exit(code)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), same(results()))
"""


@needs_fork
def test_pytorch_123828_a_forked_child_computes_the_bits_of_its_parent() -> None:
    """It waited for ever for its parent's threads (also 17199 and 2245)."""
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "0 True", done.stderr


@each_module
@pytest.mark.parametrize("team", [1, 2], ids=["1-thread", "2-threads"])
def test_python_threads_share_a_module(
    make: type, sizes: tuple, shape: tuple[int, ...], team: int
) -> None:
    module = make(*sizes)
    inputs = [torch.randn(shape) for _ in range(2)]
    torch.set_num_threads(team)
    expected = [results(module, x) for x in inputs]
    start = threading.Barrier(2)

    def work(which: int) -> list[list[Tensor]]:
        torch.set_num_threads(team)
        start.wait()
        return [results(module, inputs[(which + i) % 2]) for i in range(20)]

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, range(2)))
    for which, mine in enumerate(found):
        for i, result in enumerate(mine):
            assert_same_bits(result, expected[(which + i) % 2])


def test_python_threads_may_be_the_first_to_need_a_kernel() -> None:
    modules = [elman.RNN(5, units, dtype=torch.float64) for units in (21, 22, 43, 44)]
    x, start = torch.randn(3, 2, 5, dtype=torch.float64), threading.Barrier(4)

    def work(which: int) -> list[list[Tensor]]:
        start.wait()
        return [results(modules[(which + i) % 4], x) for i in range(4)]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    for which, mine in enumerate(found):
        for i, result in enumerate(mine):
            assert_same_bits(result, results(modules[(which + i) % 4], x))


FIRST_CALLS = """
import threading, time, torch, elman
from elman.launch import calls

load, made = calls.load, []

def slow(*given):
    made.append(load(*given))
    time.sleep(0.2)
    return made[-1]

calls.load = slow
rnn, x, start = elman.RNN(2, 3), torch.rand(4, 1, 2), threading.Barrier(4)

def work():
    start.wait()
    rnn(x)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(made))
"""


def test_threads_that_are_first_at_the_same_time_call_the_same_function_of_python() -> None:
    """Each made one, and the memory of all but the last was freed."""
    command = [sys.executable, "-W", "ignore", "-c", FIRST_CALLS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.strip() == "1", done.stderr


@each_module
@pytest.mark.usefixtures("_flushed")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_flushed_denormal_numbers_are_flushed_on_every_thread(
    make: type, sizes: tuple, shape: tuple[int, ...], dtype: torch.dtype, counts: list[int]
) -> None:
    tiny = torch.finfo(dtype).tiny
    module = make(*sizes).to(dtype)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(tiny**0.5)  # whose products are partly denormal
            if parameter.dim() == 1:
                parameter.zero_()
    x = 30 * torch.randn(shape, dtype=dtype) * tiny**0.5
    found = []
    for team in (1, 2):
        torch.set_num_threads(team)
        counts.clear()
        found.append(results(module, x))
        if runtime.parallel_address():
            assert max(counts) == team
    assert_same_bits(*found)
    assert any(value.any() for value in found[0])
    for value in found[0]:
        magnitudes = value.detach().abs().view({4: torch.int32, 8: torch.int64}[dtype.itemsize])
        smallest = torch.tensor(tiny, dtype=dtype).view(magnitudes.dtype)
        assert not ((magnitudes > 0) & (magnitudes < smallest)).any()


@linux_only
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_pytorch_27971_calls_of_many_shapes_keep_no_memory(training: bool) -> None:
    """Memory grew with every new shape (also 32596 and 41486)."""
    chance = random.Random(0)

    def calls(count: int) -> None:
        for _ in range(count):
            module = elman.RNN(16, chance.randint(1, 200), bidirectional=chance.random() < 0.3)
            x = torch.randn(chance.randint(1, 40), chance.randint(1, 20), 16)
            if training:
                module(x)[0].sum().backward()
            else:
                with torch.no_grad():
                    module(x)

    calls(200)  # kernels, buffers and the allocator's reserves
    before = resident()
    calls(3000)
    assert resident() - before < 50
