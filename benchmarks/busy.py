"""Two threads while another program keeps one of two cores busy, beside the undisturbed time."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from elman.bench.contest import Contest, Result
from elman.bench.figures import duration
from elman.bench.task import Task
from elman.bench.workloads import WORKLOADS

from .contestants import ELMAN, LAYERS, TORCH
from .show import table

CASES = [("ptb-lm", "inference"), ("qlib", "inference"), ("deepar", "training")]
ROUNDS, THREADS, WHO = 21, 2, (TORCH, ELMAN)


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each of a few workloads."""
    with Contest({who: LAYERS[who] for who in WHO}, TORCH, options.allocator) as contest:
        for name, mode in CASES:
            task = WORKLOADS[name].task(mode, THREADS)
            yield f"{name}, {mode}", partial(_measure, contest, task)


def _measure(contest: Contest, task: Task) -> dict[str, Any]:
    alone = contest.compare(task, ROUNDS)
    with busy_core():
        beside = contest.compare(task, ROUNDS)
    return {**task._asdict(), "alone": _medians(alone), "beside": _medians(beside)}


def _medians(results: dict[str, Result]) -> dict[str, Any]:
    return {who: r.failure or r.median for who, r in results.items()}


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """A program that computes without end, on the last core that we may use."""
    core = max(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{core}])\nwhile True: pass"
    program = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def show(figures: dict[str, Any]) -> str:
    """Both times of each, and how many times as long it takes beside the other program."""
    lines = []
    for key, row in figures["busy"].items():
        line = [key]
        for who in WHO:
            alone, beside = row["alone"][who], row["beside"][who]
            if isinstance(alone, float) and isinstance(beside, float):
                line += [duration(alone), duration(beside), f"{beside / alone:.1f}"]
            else:
                line += [str(alone), str(beside), ""]
        lines.append(line)
    header = [f"{who}{what}" for who in WHO for what in (" alone", ", busy core", ", slowdown")]
    return table(["workload", *header], lines)
