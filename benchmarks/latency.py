"""Streaming: how long single steps take, and how much longer the slowest of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from elman.bench.contest import Contest
from elman.bench.figures import duration
from elman.bench.task import Task

from .contestants import STREAMING, TORCH, chosen
from .show import table

PERCENTILES = (50, 90, 99, 99.9)
STEPS = 500  # that a contestant takes in a round


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each streaming workload, on one thread."""
    with Contest(STREAMING, TORCH, options.allocator) as contest:
        for name, workload in chosen(options):
            task = workload.task("inference", 1)
            if task.streaming:
                yield name, partial(_measure, contest, task, options)


def _measure(contest: Contest, task: Task, options: argparse.Namespace) -> dict[str, Any]:
    entered = contest.compare(task, 0, options.contestants)
    steps: dict[str, list[float]] = {who: [] for who, one in entered.items() if not one.failure}
    for _ in range(options.rounds):
        for who in steps:
            form = entered[who].form
            steps[who] += contest.ask(who, 1, "latencies", form=form, count=STEPS)
    return {
        **task._asdict(),
        "steps": STEPS * options.rounds,
        "us": {who: np.percentile(found, PERCENTILES).tolist() for who, found in steps.items()},
    }


def show(figures: dict[str, Any]) -> str:
    """A line for each workload and contestant."""
    lines = [
        [name, who, *map(duration, percentiles)]
        for name, row in figures["latency"].items()
        for who, percentiles in row["us"].items()
    ]
    return table(["workload", "contestant", *(f"{p}%" for p in PERCENTILES)], lines)
