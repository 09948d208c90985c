"""Interrupts, worker processes, a second OpenMP runtime, calls that fail: nothing stays behind."""

import _thread
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import elman
from elman.compiler import forward, jit, objects
from elman.launch import calls, kernel_cache, table
from tests.nn import jobs
from tests.nn.kinds import KINDS, LAYERS, Kind, assert_same_bits, call, each, loss_of, tensors
from tests.systems import PATIENCE, linux_only, needs_fork

# Python warns of forks with threads about, which is what is tested here.
may_fork = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def _cold(no_kernels_in_memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel is in memory or on disk."""
    monkeypatch.setenv("ELMAN_CACHE_DIR", "off")


def assert_lock_is_free() -> None:
    """Another thread can compile, and so can a process be forked."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(jit.LOCK.acquire, timeout=PATIENCE).result()
        pool.submit(jit.LOCK.release).result()


# Ctrl-C


@contextlib.contextmanager
def interrupted(after: float) -> Iterator[None]:
    """Within, Ctrl-C is pressed after so many seconds, which raises when the call is over."""
    timer = threading.Timer(after, _thread.interrupt_main)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    timer.start()
    try:
        yield
        timer.join()  # what runs within was over before: it comes now
        time.sleep(5)
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGINT, before)
    pytest.fail("there was no interrupt")


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("team", [1, 2])
def test_ctrl_c_in_a_long_call_leaves_later_calls_right(team: int, training: bool) -> None:
    torch.set_num_threads(team)
    module, small = elman.RNN(128, 128), torch.randn(3, 20, 128)
    long = torch.randn(600, 64, 128)
    with elman.set_path("kernel"):
        before = call(module, small)
        with interrupted(0.01), torch.set_grad_enabled(training):
            for _ in range(100):
                output, _ = module(long)
                if training:
                    output.sum().backward()
        assert_lock_is_free()
        assert_same_bits(call(module, small), before)


#: Where in a first call the interrupt comes.
MOMENTS: dict[str, tuple[Any, str]] = {
    "plan": (kernel_cache, "plan_of"),
    "reading the cache": (type(jit.CACHE), "load"),
    "emitting": (forward, "emit"),
    "compiling": (objects, "_emit"),
    "storing": (type(jit.CACHE), "store"),
    "linking": (jit, "Code"),
    "preparing": (table, "Launch"),
    "running": (calls, "scratch"),
}


@pytest.mark.usefixtures("_cold")
@pytest.mark.parametrize(("place", "name"), MOMENTS.values(), ids=MOMENTS.keys())
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_compilation_that_is_broken_off_is_done_by_the_next_call(
    place: Any, name: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise error

    module, x = elman.RNN(3, 5), torch.randn(4, 2, 3)
    with elman.set_path("kernel"):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, stop)
            with pytest.raises(error):
                module(x)
        assert_lock_is_free()
        found = call(module, x)
    with elman.set_path("reference"):
        torch.testing.assert_close(found, call(module, x))


# Worker processes


@pytest.fixture(scope="module")
def spawned() -> Iterator[concurrent.futures.Executor]:
    """A process that inherits nothing. It serves all kinds, since it has to import torch anew."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        yield pool


@pytest.fixture(params=[pytest.param("fork", marks=needs_fork), "spawn"])
def worker(request: pytest.FixtureRequest) -> Iterator[concurrent.futures.Executor]:
    """Another process; a forked one is a copy of this one as it is when it gets its first job."""
    if request.param == "spawn":
        yield request.getfixturevalue("spawned")
        return
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        yield pool


@may_fork
@each(KINDS)
def test_worker_processes_compute_with_shared_weights(
    kind: Kind, worker: concurrent.futures.Executor
) -> None:
    module, x = kind.make(elman).share_memory(), kind.input()
    expected = [t.detach().numpy() for t in call(module, x)]
    found = worker.submit(jobs.results, module, x).result(PATIENCE)
    worker.submit(jobs.halve, module).result(PATIENCE)  # there, and so here
    with torch.no_grad():
        here = [t.numpy() for t in tensors(module(x))]
    there = worker.submit(jobs.results, module, x).result(PATIENCE)[: len(here)]
    assert all(map(jobs.equal, found, expected))
    assert all(map(jobs.equal, there, here))
    assert not jobs.equal(here[0], expected[0])


# A child that compiles while another thread is `inside`.
FORK = """
child = os.fork()
if not child:
    signal.alarm(600)
    kernel_cache.forget()
    with elman.set_path("kernel"):
        os._exit(0 if torch.equal(rnn(x)[0], expected) else 2)
other.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


BESIDE_LLVM = """
import os, signal, threading, time, torch, elman
from llvmlite import binding
from elman.launch import kernel_cache

rnn, x, inside = elman.RNN(3, 5), torch.ones(4, 2, 3), threading.Event()
with elman.set_path("kernel"):
    expected = rnn(x)[0]

def linger():
    if threading.current_thread() is not threading.main_thread():
        inside.set()
        time.sleep(0.2)

binding.ffi.register_lock_callback(linger, int)
other = threading.Thread(target=binding.get_process_triple)
other.start()
inside.wait()
"""


BESIDE_HELPERS = """
import os, signal, threading, time, torch, elman
from elman.compiler import objects
from elman.launch import kernel_cache
from elman.runtime import cores

rnn, x, inside, emit = elman.RNN(3, 5), torch.ones(4, 2, 3), threading.Event(), objects._emit
with elman.set_path("kernel"):
    expected = rnn(x)[0]

def linger(*given):
    inside.set()
    time.sleep(0.05)
    return emit(*given)

objects._emit, cores.cores = linger, lambda: 3
other = threading.Thread(target=elman.LSTM(3, 5), args=[x])
other.start()
inside.wait()
"""


@needs_fork
@pytest.mark.parametrize("script", [BESIDE_LLVM, BESIDE_HELPERS], ids=["LLVM", "helpers"])
def test_a_child_can_compile_whatever_another_thread_had_llvm_do(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script + FORK],
        env={**os.environ, "ELMAN_CACHE_DIR": "off"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.strip() == "0", done.stderr


class Features(Dataset):
    """A dataset whose items are made by a layer that the parent has used."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module
        self.inputs = torch.randn(8, 40, 64, 128)

    def __len__(self) -> int:
        return len(self.inputs)

    @torch.no_grad()
    def __getitem__(self, index: int) -> Tensor:
        return tensors(self.module(self.inputs[index]))[0]


@may_fork
@needs_fork
@each(LAYERS)
def test_workers_of_a_data_loader_run_layers(kind: Kind) -> None:
    torch.set_num_threads(2)
    data = Features(getattr(elman, kind.name)(128, 128))
    expected = list(data)
    loader = DataLoader(data, None, num_workers=2, multiprocessing_context="fork", timeout=PATIENCE)
    assert_same_bits(list(loader), expected)


SECOND_RUNTIME = """
import sys
if sys.argv[1] == "first":
    import sklearn.utils._openmp_helpers
import torch, elman
torch.manual_seed(0)
torch.set_num_threads(2)
rnn, x = elman.RNN(128, 128), torch.randn(40, 64, 128)

def results():
    output, h_n = rnn(x)
    return [output, h_n, *torch.autograd.grad(output.sum(), list(rnn.parameters()))]

with elman.set_path("kernel"):
    before = results()
    import sklearn.utils._openmp_helpers as helpers
    assert helpers._openmp_effective_n_threads() >= 1
    from elman.runtime.threads import threads_status
    same = all(torch.equal(a, b) for a, b in zip(results(), before))
    torch.set_num_threads(1)
    same &= all(torch.equal(a, b) for a, b in zip(results(), before))
runtimes = {line.split()[-1] for line in open("/proc/self/maps") if "libgomp" in line}
print(same, len(runtimes))
"""


@linux_only
@pytest.mark.parametrize("order", ["first", "later"])
def test_a_second_openmp_runtime_is_no_matter(order: str) -> None:
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, "-c", SECOND_RUNTIME, order],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout.split() == ["True", "2"], done.stderr


# Calls that fail


def of_other_features(module: torch.nn.Module, x: Tensor) -> None:
    module(x[..., 1:])


def changed_in_place(module: torch.nn.Module, x: Tensor) -> None:
    loss = loss_of(tensors(module(x)))
    x.add_(1)
    loss.backward()


def with_a_hook_that_fails(module: torch.nn.Module, x: Tensor) -> None:
    handle = next(module.parameters()).register_hook(lambda g: 1 / 0)
    try:
        loss_of(tensors(module(x))).backward()
    finally:
        handle.remove()


def with_a_gradient_of_other_shape(module: torch.nn.Module, x: Tensor) -> None:
    result = tensors(module(x))[0]
    result.backward(torch.ones(3, *result.shape))


FAILURES = (
    of_other_features,
    changed_in_place,
    with_a_hook_that_fails,
    with_a_gradient_of_other_shape,
)


@linux_only
@each(KINDS)
@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f.__name__)
def test_calls_that_fail_keep_no_memory(
    kind: Kind, failure: Callable[[torch.nn.Module, Tensor], None]
) -> None:
    module, rows = kind.make(elman), 12000 if kind.single else 2000

    def calls(count: int) -> None:
        for _ in range(count):
            with pytest.raises((RuntimeError, ZeroDivisionError)):
                failure(module, kind.input(rows))  # about half a megabyte each time

    calls(20)
    before = jobs.resident()
    calls(150)
    assert jobs.resident() - before < 20
