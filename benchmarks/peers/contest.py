"""Peers in turn: every round asks each of them once, while the others sleep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from .task import Task

ROUND_SECONDS = 0.02  # a peer repeats its call until a round has taken about this long


class Entry(NamedTuple):
    """A task for one form of a peer."""

    peer: str
    task: Task
    variant: str = ""

    @property
    def key(self) -> str:
        return repr(self)


class Contest:
    """Worker processes, one a peer, with ``threads`` threads each."""

    def __init__(self, peers: list[str], threads: int = 1) -> None:
        single = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        environment = {**os.environ, **single, "JAX_PLATFORMS": "cpu"}
        self._workers = {
            peer: subprocess.Popen(
                [sys.executable, "-m", "benchmarks.peers.worker", peer, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for peer in peers
        }
        self.variants = {peer: self._answer(peer)["variants"] for peer in peers}
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Contest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers.values():
            assert worker.stdin is not None
            worker.stdin.close()
            worker.wait()
        self._folder.cleanup()

    def entries(self, peer: str, task: Task) -> list[Entry]:
        """The task in all forms of a peer."""
        return [Entry(peer, task, variant) for variant in self.variants[peer]]

    def prepare(self, entry: Entry) -> list[np.ndarray]:
        """Compile; what the call computes."""
        file = Path(self._folder.name) / "results.npz"
        task = list(entry.task)
        self._ask(entry, do="prepare", task=task, variant=entry.variant, file=str(file))
        with np.load(file) as found:
            return [found[name] for name in found.files]

    def rounds(self, entries: list[Entry], rounds: int) -> dict[Entry, list[float]]:
        """Seconds a call, for each entry one number a round."""
        repeats = {}
        for entry in entries:
            once = min(self._time(entry, 2) for _ in range(3))
            repeats[entry] = max(1, round(ROUND_SECONDS / once))
        times: dict[Entry, list[float]] = {entry: [] for entry in entries}
        for _ in range(rounds):
            for entry in entries:
                times[entry].append(self._time(entry, repeats[entry]))
        return times

    def _time(self, entry: Entry, repeats: int) -> float:
        return self._ask(entry, do="time", repeats=repeats)["seconds"]

    def _ask(self, entry: Entry, **request: Any) -> dict[str, Any]:
        stdin = self._workers[entry.peer].stdin
        assert stdin is not None
        print(json.dumps({**request, "key": entry.key}), file=stdin, flush=True)
        return self._answer(entry.peer)

    def _answer(self, peer: str) -> dict[str, Any]:
        stdout = self._workers[peer].stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {peer} has ended; its error is above")
        return json.loads(line)


def agree(expected: list[np.ndarray], found: list[np.ndarray], what: str) -> None:
    """Nothing is timed before outputs and gradients agree."""
    if len(expected) != len(found):
        raise AssertionError(f"{what}: {len(found)} results instead of {len(expected)}")
    for right, one in zip(expected, found, strict=True):
        apart = float(np.abs(right - one).max() / (np.abs(right).max() + 1e-30))
        if apart > 2e-4:
            raise AssertionError(f"{what}: results lie {apart:.1e} apart")
