"""How many threads a kernel runs on, and the OpenMP runtime that lends them: torch's own.

Sharing torch's runtime means sharing its threads, already started and warm, where a pool of our
own would compete with them for the same cores. It has to be *the* runtime that torch calls:
packages such as scikit-learn bring a second copy of the same library into the process. So a
library counts only if torch notices what is done to it.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

ALONE = (0.005, 0.2)
"""Seconds for which nobody waits for threads that came late: at first, and at most, if they go on.
The latter is some twenty times what it takes to find that out."""

_late, _late_for = 0, 0.0  # how much more often late than in time; for how much work
_pause, _alone_until = ALONE[0], 0.0
_forked = False  # this process is a child of one that had imported this module


@dataclass(frozen=True)
class _Runtime:
    parallel: int
    in_parallel: Callable[[], int]


def parallel_address() -> int:
    """Address of `void GOMP_parallel(void (*f)(void *), void *data, unsigned n, unsigned flags)`.

    It runs `f(data)` on `n` threads, the caller's among them, and returns when all are done. 0
    where a kernel must stay on its caller's thread: torch has no such runtime (Windows), or this
    is a forked child, where the runtime's threads don't exist and waiting for them never ends.
    """
    runtime = None if _forked else _runtime()
    return runtime.parallel if runtime else 0


@functools.cache
def yield_address() -> int:
    """Address of `int sched_yield(void)`, with which a thread that waits gives its core away; 0
    where kernels have one thread anyway, and nobody waits."""
    return 0 if sys.platform == "win32" else _address(ctypes.CDLL(None), "sched_yield")


def thread_count(work: float, parts: int, least: float) -> int:
    """Threads for `work` floating-point operations that fall into so many independent parts, if
    each is to have `least` of them."""
    if not may_share(work, parts, least) or _obstacle():
        return 1
    return int(min(torch.get_num_threads(), parts, work / least))


def may_share(work: float, parts: int, least: float) -> bool:
    """Whether so much work is ever shared among threads."""
    return work >= 2 * least and parts >= 2


def record_lateness(late: bool, work: float) -> None:
    """Records whether another thread came to so much work when nothing was left of it.

    A late thread was asleep, or another program holds its core. The caller has done the work
    alone, and then waited. If a program holds the core, that takes milliseconds, and again in the
    next region. So when threads have been late twice more often than in time, the caller does so
    much work, or less, alone for a while (:func:`avoid_threads`). The while is longer if threads
    are late again. After it they are asleep, as before every burst of work, so they may be late
    once.
    """
    global _late, _late_for, _pause, _alone_until
    if not late:
        if work <= _late_for:
            _late, _pause = max(0, _late - 1), max(ALONE[0], _pause / 2)
        return
    now = time.monotonic()
    if now < _alone_until:
        _late_for = max(work, _late_for)
    else:
        _late_for, _late = work, 0 if _late == 2 else _late
    _late = min(2, _late + 1)
    if _late == 2:
        _alone_until, _pause = now + _pause, min(2 * _pause, ALONE[1])


def avoid_threads(work: float) -> bool:
    """Whether so much work is better done by its caller alone, since another came late recently."""
    return work <= _late_for and time.monotonic() < _alone_until


def threads_status() -> str:
    """In words: how many threads kernels called from here may use, or why only one."""
    obstacle = _obstacle()
    if obstacle:
        return f"one thread: {obstacle}"
    return f"up to {torch.get_num_threads()} threads of torch's OpenMP runtime"


def _obstacle() -> str:
    """Why kernels called from here get one thread; empty if they may get more."""
    if _forked:
        return "this process was forked, and a forked child can't use its parent's OpenMP runtime"
    runtime = _runtime()
    if runtime is None:
        return "torch has no OpenMP runtime with GOMP_parallel here"
    if torch.get_num_threads() < 2:
        return "torch.get_num_threads() is 1"
    if runtime.in_parallel():
        return "the caller is already inside a parallel region"
    return ""


@functools.cache
def _runtime() -> _Runtime | None:
    """The OpenMP runtime that torch's libraries call, found once."""
    # What torch's libraries depend on or, if that isn't it, what the whole process sees: a runtime
    # that was global before torch was loaded (LD_PRELOAD) is the one that torch got.
    return _bind(torch._C.__file__) or _bind(None)


def _bind(path: str | None) -> _Runtime | None:
    """The runtime that a loaded library sees, if it's torch's."""
    if sys.platform == "win32":
        return None  # torch brings Microsoft's and Intel's there, neither with GOMP_parallel
    try:
        library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD)
        runtime = _Runtime(
            parallel=_address(library, "GOMP_parallel"),
            # A PYFUNCTYPE keeps the GIL, which isn't worth releasing for so short a call.
            in_parallel=ctypes.PYFUNCTYPE(ctypes.c_int)(_address(library, "omp_in_parallel")),
        )
        return runtime if _torch_obeys(library.omp_set_num_threads) else None
    except (OSError, AttributeError):  # no such library; no such function in it
        return None


def _torch_obeys(set_num_threads: Callable[[int], object]) -> bool:
    """Whether torch sees its number of threads change (on this thread only, and not for long)."""
    before = torch.get_num_threads()
    set_num_threads(before + 1)
    seen = torch.get_num_threads()
    set_num_threads(before)
    return seen == before + 1


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


def _after_fork_in_child() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
