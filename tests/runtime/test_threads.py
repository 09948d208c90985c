"""Threads: the runtime is torch's own, forked children keep out, the count is respected."""

import ctypes
import importlib.util
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from elman.runtime import threads
from elman.runtime.threads import parallel_address, thread_count, threads_status
from tests.systems import PATIENCE, linux_only, needs_threads

MUCH, LEAST = 1e12, 200_000


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def enter(size: int, body: Callable[[], None]) -> None:
    """Run `body` on a team of `size` threads."""
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: body())
    signature = ctypes.CFUNCTYPE(
        None, type(function), ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint
    )
    signature(parallel_address())(function, None, size, 0)


def run(script: str, **environment: str) -> str:
    """What a fresh interpreter prints; a hang or a crash fails the test."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PRELUDE = """
import ctypes, os, sys

def enter(size):
    "How many times a team of `size` threads runs a function."
    from elman.runtime.threads import parallel_address
    calls = []
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(calls.append)
    unsigned = ctypes.c_uint
    signature = ctypes.CFUNCTYPE(None, type(function), ctypes.c_void_p, unsigned, unsigned)
    signature(parallel_address())(function, None, size, 0)
    return len(calls)

def library_at(address):
    for line in open("/proc/self/maps"):
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= address < last:
            return line.split()[-1]

def system_threads():
    return len(os.listdir("/proc/self/task"))
"""


@needs_threads
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_region_runs_its_function_once_on_each_thread(size: int) -> None:
    seen: list[int] = []
    meeting = threading.Barrier(size)  # only passed if all are there at once

    def body() -> None:
        meeting.wait(timeout=PATIENCE)
        seen.append(threading.get_native_id())

    enter(size, body)
    assert len(seen) == len(set(seen)) == size


@linux_only
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("RTLD_LOCAL", "torch"),
        ("RTLD_GLOBAL", "scikit_learn"),  # then torch itself binds to it
    ],
)
def test_the_runtime_is_the_one_whose_threads_torch_uses(mode: str, expected: str) -> None:
    """Whether scikit-learn's copy came into the process quietly or for all to see."""
    package = importlib.util.find_spec("sklearn")
    site = Path(package.origin).parents[1] if package and package.origin else Path()
    copies = list(site.glob("scikit_learn.libs/libgomp*"))
    if not copies:
        pytest.skip("scikit-learn brings no libgomp here")
    printed = run(f"""
        ctypes.CDLL({str(copies[0])!r}, mode=ctypes.{mode})
        import torch
        libraries = {{line.split()[-1] for line in open("/proc/self/maps")}}
        assert sum("libgomp" in library for library in libraries) == 2
        torch.set_num_threads(3)
        torch.ones(1 << 22).exp()  # torch starts its threads
        started = system_threads()
        assert enter(3) == 3
        assert torch.get_num_threads() == 3
        from elman.runtime.threads import parallel_address
        print(system_threads() - started, library_at(parallel_address()))
    """)
    started, library = printed.split(maxsplit=1)
    assert started == "0", "the region started threads of its own: it's not torch's runtime"
    assert expected in library


@linux_only
def test_a_forked_child_keeps_out_of_the_runtime() -> None:
    printed = run("""
        import signal, torch
        from elman.runtime.threads import *
        from elman.runtime import threads
        torch.set_num_threads(3)
        assert enter(3) == 3 and threads.parallel_address()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            signal.alarm(600)
            print(threads.parallel_address())
            print(threads.thread_count(1e12, 100, 1), threads.threads_status())
            sys.stdout.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert threads.thread_count(1e12, 100, 1) == 3 == enter(3)
    """)
    zeros, words = printed.splitlines()
    assert zeros == "0"
    assert words.startswith("1 one thread: this process was forked")


@linux_only
def test_a_team_may_be_smaller_than_asked_for() -> None:
    """No kernel may wait for a thread that never comes."""
    assert run("import torch; print(enter(4))", OMP_THREAD_LIMIT="2") == "2"


def test_count_respects_torch() -> None:
    for limit in (1, 2, 5):
        torch.set_num_threads(limit)
        assert thread_count(MUCH, 1000, LEAST) == (limit if parallel_address() else 1)


@needs_threads
def test_count_grows_with_work_and_stays_within_rows() -> None:
    torch.set_num_threads(4)
    assert [thread_count(MUCH, rows, LEAST) for rows in (0, 1, 2, 3, 4, 5)] == [1, 1, 2, 3, 4, 4]
    works = [0, 1, 1.99, 2, 2.99, 3, 4, 100]
    counts = [thread_count(work * LEAST, 100, LEAST) for work in works]
    assert counts == [1, 1, 1, 2, 2, 3, 4, 4]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time by which threads are late, none of which has been so far."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(threads.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(threads, "_alone_until", 0.0)
    monkeypatch.setattr(threads, "_late", 0)
    monkeypatch.setattr(threads, "_pause", threads.ALONE[0])
    return clock


def test_work_is_done_alone_for_a_while_after_a_thread_came_late(clock: SimpleNamespace) -> None:

    def came(*late: bool, work: float = 10) -> None:
        for each in late:
            threads.record_lateness(each, work)

    came(True, False, True)  # once is not enough: it may have slept
    assert not threads.avoid_threads(10)
    came(True)
    assert threads.avoid_threads(10)
    assert threads.avoid_threads(1)
    assert not threads.avoid_threads(11)
    clock.now += 1.01 * threads.ALONE[0]
    assert not threads.avoid_threads(10)
    came(True, True, work=5)
    assert not threads.avoid_threads(10)  # what was before is forgotten
    clock.now += 1.01 * threads.ALONE[0]
    assert threads.avoid_threads(5)  # for longer this time
    clock.now += threads.ALONE[0]
    came(False, False, True, work=5)
    assert not threads.avoid_threads(5)
    for _ in range(20):
        clock.now += threads.ALONE[1]
        came(True, True)
    clock.now += 0.99 * threads.ALONE[1]
    assert threads.avoid_threads(10)
    clock.now += 0.02 * threads.ALONE[1]
    assert not threads.avoid_threads(10)


def test_threads_that_were_late_may_sleep_before_each_burst_of_work(
    clock: SimpleNamespace,
) -> None:
    threads.record_lateness(True, 10)
    threads.record_lateness(True, 10)
    assert threads.avoid_threads(10)
    for _ in range(5):
        clock.now += 2 * threads.ALONE[1]
        for late in (True, False, False):
            assert not threads.avoid_threads(10)
            threads.record_lateness(late, 10)


@needs_threads
def test_no_region_inside_a_region() -> None:
    torch.set_num_threads(2)
    inside: list[tuple[int, str]] = []
    enter(2, lambda: inside.append((thread_count(MUCH, 100, LEAST), threads_status())))
    reason = "one thread: the caller is already inside a parallel region"
    assert inside == [(1, reason), (1, reason)]
    assert thread_count(MUCH, 100, LEAST) == 2


def test_without_a_runtime_one_thread_and_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(4)
    monkeypatch.setattr(threads, "_runtime", lambda: None)
    assert parallel_address() == 0
    assert thread_count(MUCH, 100, LEAST) == 1
    assert threads_status() == "one thread: torch has no OpenMP runtime with GOMP_parallel here"


@needs_threads
def test_status_in_words() -> None:
    torch.set_num_threads(3)
    assert threads_status() == "up to 3 threads of torch's OpenMP runtime"
    torch.set_num_threads(1)
    assert threads_status() == "one thread: torch.get_num_threads() is 1"


def test_a_library_that_torch_ignores_is_refused() -> None:
    before = torch.get_num_threads()
    assert not threads._torch_obeys(lambda count: None)
    assert threads._torch_obeys(torch.set_num_threads)
    assert torch.get_num_threads() == before
