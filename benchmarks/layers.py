"""Every named workload, in its modes, on each number of threads, against every contestant."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from elman.bench.contest import Contest, figures
from elman.bench.workloads import WORKLOADS

from .contestants import CONTESTANTS, TORCH


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each workload, mode and number of threads."""
    with Contest(CONTESTANTS, TORCH, options.allocator) as contest:
        for name, workload in WORKLOADS.items():
            if options.only and name not in options.only:
                continue
            for mode in workload.modes:
                for threads in options.threads:
                    task = workload.task(mode, threads)

                    def measure() -> Any:
                        results = contest.compare(task, options.rounds, options.contestants)
                        return {**task._asdict(), "times": figures(results)}

                    yield f"{name}, {mode}, {threads}", measure
