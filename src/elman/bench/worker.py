"""``python -m elman.bench.worker CONTESTANT THREADS``: a contestant's process.

It answers requests, a line of JSON each, and sleeps between them.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import pkgutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..runtime.large import let_go
from .contestants import TOLERANCE, Call, Contestant
from .task import Task

WARM_UP = 0.01  # seconds before each measurement


class Worker:
    """The requests: each method takes what a request says, and gives what is answered."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._calls: dict[str, Call] = {}

    def forms(self, task: list[Any]) -> list[str]:
        """Forget the last task; the forms in which this one can be done."""
        self._calls.clear()
        gc.collect()
        return list(self._contestant.forms(Task(*task)))

    def results(self, task: list[Any], form: str, file: str) -> None:
        """Save what a form computes, for the others to be compared with."""
        found = _run(self._prepared(task, form), Task(*task))
        np.savez(file, *map(_array, found))

    def prepare(self, task: list[Any], form: str, expected: str) -> None:
        """Compile a form, and compare what it computes; ValueError if that is something else."""
        call = self._prepared(task, form)
        found = _run(call, Task(*task))
        tolerance = getattr(self._contestant, "tolerance", TOLERANCE)
        with np.load(expected) as arrays:
            if len(arrays.files) != len(found):
                raise ValueError(f"it gives {len(found)} arrays instead of {len(arrays.files)}")
            for name, array in zip(arrays.files, found, strict=True):
                _agree(arrays[name], _array(array), tolerance)
        self._calls[form] = call

    def _prepared(self, task: list[Any], form: str) -> Call:
        """With autograd on or off for all calls to come, as around a loop of them."""
        torch.set_grad_enabled(Task(*task).mode == "training")
        return self._contestant.prepare(Task(*task), form)

    def keep(self, form: str) -> None:
        """Forget all other forms."""
        self._calls = {form: self._calls[form]}
        gc.collect()

    def time(self, form: str, repeats: int) -> float:
        """Seconds a call takes, on average, when calls have run for a while: caches are this
        process's own then, and the system has found a core for each of its threads."""
        call = self._calls[form]
        began = time.perf_counter()
        while time.perf_counter() - began < WARM_UP:
            call()
        began = time.perf_counter()
        for _ in range(repeats):
            call()
        seconds = time.perf_counter() - began
        _rest()
        return seconds / repeats

    def latencies(self, form: str, count: int) -> list[float]:
        """Microseconds of each of so many calls."""
        call, clock = self._calls[form], time.perf_counter_ns
        ticks = [clock()]
        for _ in range(count):
            call()
            ticks.append(clock())
        _rest()
        return [(b - a) / 1000 for a, b in itertools.pairwise(ticks)]

    def growth(self, form: str) -> int:
        """Bytes by which the process is larger, at the peak of a further call, than before it.
        Linux only."""
        gc.collect()
        let_go()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = _status("VmRSS")
        self._calls[form]()
        return _status("VmHWM") - before


def _status(name: str) -> int:
    """A line of this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _run(call: Call, task: Task) -> Sequence[Any]:
    """The results: of the third step in streaming, to which the first ones hand their states."""
    if task.streaming:
        call()
        call()
    return call()


def _array(result: Any) -> np.ndarray:
    """A result as an array; NumPy has no bfloat16."""
    bfloat16 = isinstance(result, torch.Tensor) and result.dtype == torch.bfloat16
    return np.asarray(result.float() if bfloat16 else result)


def _agree(expected: np.ndarray, found: np.ndarray, tolerance: float) -> None:
    if expected.shape != found.shape:
        raise ValueError(f"a result has shape {found.shape} instead of {expected.shape}")
    apart = float(np.abs(expected - found).max() / (np.abs(expected).max() + 1e-30))
    if not apart <= tolerance:
        raise ValueError(f"its results lie {apart:.1e} from torch's in float64")


def _rest() -> None:
    """Until the threads of this process sleep: many spin for a while when their work is done."""
    for _ in range(500):
        began = time.process_time()
        time.sleep(0.001)
        if time.process_time() - began < 2e-4:
            return


def main(contestant: str, threads: int) -> None:
    """Serve until the input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    worker: Worker | None = None
    with os.fdopen(answers, "w") as out:
        for line in sys.stdin:
            do, request = json.loads(line)
            try:
                worker = worker or Worker(pkgutil.resolve_name(contestant))
                answer = {"answer": getattr(worker, do)(**request)}
            except Exception as error:  # noqa: BLE001 - whatever a library raises is the answer
                reason = " ".join(str(error).split())
                answer = {"error": f"{type(error).__name__}: {reason[:200]}"}
            print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
