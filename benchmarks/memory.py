"""How much a process grows at the peak of its second training step, each in new processes.

Freed memory goes back to the system at once (the allocator "returned"), the peak is the kernel's
own count (``VmHWM``, set back before the step), and the step's results are dropped. What is left in
the heap before differs from process to process: the median counts.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from elman.bench.contest import Contest, ContestError
from elman.bench.task import Task

from .contestants import ELMAN, LAYERS, TORCH, chosen
from .show import table

WHO = (TORCH, ELMAN)
PROCESSES = 3  # of each
SMALLEST = 2.0  # megabytes; of less, the kernel's own count is too coarse
REFERENCE = "reference"  # torch.nn again: its results in float64 leave no trace in the others


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each workload that is trained, on one thread."""
    for name, workload in chosen(options):
        if "training" in workload.modes:
            yield name, partial(_measure, workload.task("training", 1))


def _measure(task: Task) -> dict[str, Any]:
    contestants = {who: LAYERS[who] for who in WHO} | {REFERENCE: LAYERS[TORCH]}
    grown: dict[str, list[float]] = {who: [] for who in WHO}
    failed: dict[str, str] = {}
    for _ in range(PROCESSES):
        with Contest(contestants, REFERENCE, "returned") as contest:
            for who, one in contest.compare(task, 0, WHO).items():
                try:
                    grown[who].append(contest.ask(who, 1, "growth", form=one.form) / 1e6)
                except ContestError as error:
                    failed[who] = one.failure or str(error)
    median = {who: statistics.median(each) for who, each in grown.items() if who not in failed}
    return {**task._asdict(), "megabytes": {**median, **failed}}


def show(figures: dict[str, Any]) -> str:
    """Megabytes of each, and elman's over torch.nn's."""
    lines = []
    for name, row in figures["memory"].items():
        grown = [row["megabytes"][who] for who in WHO]
        if any(isinstance(one, str) for one in grown):
            lines.append([name, row["layer"], *map(str, grown), ""])
        else:
            theirs, ours = grown
            share = f"{ours / theirs:.0%}" if theirs > SMALLEST else ""
            lines.append([name, row["layer"], f"{theirs:.1f}", f"{ours:.1f}", share])
    return table(["workload", "layer", *(f"{who} (MB)" for who in WHO), "elman / torch.nn"], lines)
