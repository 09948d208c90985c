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

ROUND_SECONDS = 0.02  # a contestant repeats its call until a round has taken about this long
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
    """Microseconds of a call, a number for each round; or the ``failure`` that kept it out."""

    us: list[float]
    form: str = ""
    failure: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.us)


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
        """The times of the contestants that can do the task; of each, its fastest form's."""
        results, repeats = {}, {}
        for name in names or self._contestants:
            try:
                if self.ask(name, task.threads, "forms", task=task):
                    form, repeats[name] = self._qualify(name, task)
                    results[name] = Result([], form)
            except ContestError as error:
                results[name] = Result([], failure=str(error))
        for _ in range(rounds):
            for name, count in list(repeats.items()):
                form = results[name].form
                try:
                    us = 1e6 * self.ask(name, task.threads, "time", form=form, repeats=count)
                    results[name].us.append(float(f"{us:.5g}"))
                except ContestError as error:
                    results[name] = Result([], failure=str(error))
                    del repeats[name]
        return results

    def row(self, task: Task, rounds: int, names: Iterable[str] | None = None) -> dict[str, Any]:
        """The task and the times, as JSON has them."""
        results = self.compare(task, rounds, names)
        return {**task._asdict(), "times": {who: one._asdict() for who, one in results.items()}}

    def ask(self, name: str, threads: int, do: str, **request: Any) -> Any:
        """What a contestant's process answers; see :class:`.worker.Worker`."""
        key = (name, threads)
        if key not in self._processes:
            self._processes[key] = _Process(
                self._contestants[name], threads, self._environment, self._folder.name
            )
        return self._processes[key].ask(do, **request)

    def _qualify(self, name: str, task: Task) -> tuple[str, int]:
        """Checks the results of all forms; the fastest, and how often a round repeats it."""
        expected = self._results(task)
        best, failure = (math.inf, ""), None
        for form in self.ask(name, task.threads, "forms", task=task):
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
