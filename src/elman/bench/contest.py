"""Contestants in turn: every round asks each of them once, while the others sleep."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from .task import Task

ROUND_SECONDS = 0.03  # a contestant repeats its call until a round has taken about this long
PATIENCE = 120.0  # seconds in which a request must be answered

#: By name, what the C library of Linux is told. "kept": freed memory stays with the process, so
#: that a large buffer isn't mapped anew at each step, which can take longer than filling it.
#: "returned": it goes back to the system at once. "default": as the system has it.
ALLOCATORS = {
    "kept": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**40),
        "MALLOC_TOP_PAD_": str(2**26),
    },
    "returned": {"MALLOC_MMAP_THRESHOLD_": str(2**16), "MALLOC_TRIM_THRESHOLD_": "0"},
    "default": {},
}


class ContestError(Exception):
    """A contestant could not do what it was asked; the message says why."""


class Result(NamedTuple):
    """``seconds`` of a call, a number for each round; or the ``failure`` that kept it out."""

    seconds: list[float]
    form: str = ""
    failure: str = ""


class Contest:
    """Contestants by name, each given as ``"module:object"``, in a process for each number of
    threads. ``reference``, one of them, has a form "float64" that all others must agree with."""

    def __init__(
        self, contestants: Mapping[str, str], reference: str, allocator: str = "kept"
    ) -> None:
        self._contestants, self._reference = contestants, reference
        self._environment = ALLOCATORS[allocator]
        self._processes: dict[tuple[str, int], _Process] = {}
        self._folder = tempfile.TemporaryDirectory()
        self._expected: tuple[Task, str] | None = None

    def __enter__(self) -> Contest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes.values():
            process.close()
        self._folder.cleanup()

    def compare(
        self, task: Task, rounds: int, names: Iterable[str] | None = None
    ) -> dict[str, Result]:
        """The contestants that can do the task, after their results have been checked."""
        results, repeats = {}, {}
        for name in names or self._contestants:
            try:
                form, repeats[name] = self._qualify(name, task)
                results[name] = Result([], form)
            except ContestError as error:
                results[name] = Result([], failure=str(error))
            except LookupError:
                continue  # it has no form for this task
        for _ in range(rounds):
            for name, count in repeats.items():
                if results[name].failure:
                    continue
                try:
                    seconds = self.ask(name, task.threads, "time", form=results[name].form, repeats=count)
                    results[name].seconds.append(seconds)
                except ContestError as error:
                    results[name] = Result([], failure=str(error))
        return results

    def ask(self, name: str, threads: int, do: str, **request: Any) -> Any:
        """What a contestant's process answers; see :class:`.worker.Worker`."""
        key = (name, threads)
        if key not in self._processes:
            self._processes[key] = _Process(
                self._contestants[name], threads, self._environment, self._folder.name
            )
        return self._processes[key].ask(do, **request)

    def _qualify(self, name: str, task: Task) -> tuple[str, int]:
        """Checks all forms of a contestant; its fastest, and how often a round repeats it."""
        forms = self.ask(name, task.threads, "forms", task=task)
        if not forms:
            raise LookupError(name)
        expected = self._results(task)
        best, failure = (math.inf, ""), None
        for form in forms:
            try:
                self.ask(name, task.threads, "prepare", task=task, form=form, expected=expected)
                seconds = self.ask(name, task.threads, "time", form=form, repeats=1)
                if _repeats(seconds) > 1:  # the first was cold
                    count = _repeats(seconds)
                    seconds = self.ask(name, task.threads, "time", form=form, repeats=count)
                best = min(best, (seconds, form))
            except ContestError as error:
                failure = error
        if failure and best[0] == math.inf:
            raise failure
        self.ask(name, task.threads, "keep", form=best[1])
        return best[1], _repeats(best[0])

    def _results(self, task: Task) -> str:
        """The file with the reference's results, which don't depend on the number of threads."""
        if self._expected is None or self._expected[0] != task._replace(threads=0):
            file = str(Path(self._folder.name) / "expected.npz")
            self.ask(self._reference, task.threads, "results", task=task, form="float64", file=file)
            self._expected = task._replace(threads=0), file
        return self._expected[1]


def _repeats(seconds: float) -> int:
    return max(1, round(ROUND_SECONDS / seconds))


class _Process:
    """A worker, started anew if it has ended."""

    def __init__(
        self, contestant: str, threads: int, environment: Mapping[str, str], folder: str
    ) -> None:
        self._command = [sys.executable, "-m", "elman.bench.worker", contestant, str(threads)]
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        self._environment = {**os.environ, **counts, **environment}
        self._log = Path(folder) / f"{id(self)}.log"
        self._process: subprocess.Popen[str] | None = None

    def ask(self, do: str, **request: Any) -> Any:
        if self._process is None:
            with self._log.open("w") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=self._environment,
                )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(PATIENCE, process.kill)
        timer.start()
        try:
            print(json.dumps([do, request]), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        late = timer.finished.is_set()
        timer.cancel()
        if not line:
            self.close()
            if late:
                raise ContestError(f"no answer to '{do}' within {PATIENCE:.0f} s")
            last = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise ContestError(f"its process ended with code {process.returncode}: {last[:200]}")
        found = json.loads(line)
        if "error" in found:
            raise ContestError(found["error"])
        return found["answer"]

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None


def interval(values: list[float]) -> tuple[float, float]:
    """A distribution-free 95% interval of the median: two of the values, by their rank.

    With fewer than six values it is all of them, and its level lower.

    >>> interval([float(i) for i in range(1, 22)])
    (6.0, 16.0)
    """
    n, values = len(values), sorted(values)
    rank, chance = 0, 0.5**n
    while chance + math.comb(n, rank + 1) * 0.5**n <= 0.025:
        rank += 1
        chance += math.comb(n, rank) * 0.5**n
    return values[rank], values[n - 1 - rank]


def figures(results: Mapping[str, Result], base: str = "elman") -> dict[str, dict[str, Any]]:
    """By contestant: microseconds, and how many times as long as the base it takes, with the
    interval of the ratios within a round."""
    found: dict[str, dict[str, Any]] = {}
    ours = results[base].seconds
    for name, (seconds, form, failure) in results.items():
        if failure:
            found[name] = {"failure": failure}
            continue
        found[name] = {"us": 1e6 * statistics.median(seconds), "form": form}
        if ours:
            ratios = [theirs / mine for theirs, mine in zip(seconds, ours, strict=True)]
            low, high = interval(ratios)
            found[name] |= {"ratio": statistics.median(ratios), "low": low, "high": high}
    return found
