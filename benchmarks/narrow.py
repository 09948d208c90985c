"""Layers of bfloat16: torch.nn's, OpenVINO's and elman's, beside those of float32."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from elman.bench.contest import Contest
from elman.bench.figures import duration

from .contestants import ELMAN, NARROW, NARROW_ELMAN, NARROW_OPENVINO, NARROW_TORCH, TORCH, chosen
from .show import median, over, table, task_of


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each workload of several rows and steps, and its modes, on one thread."""
    with Contest(NARROW, TORCH, options.allocator) as contest:
        for name, workload in chosen(options):
            for mode in workload.modes:
                task = workload.task(mode, 1)
                if task.B > 1 and task.T > 1:
                    yield f"{name}, {mode}", partial(contest.row, task, options.rounds)


def show(figures: dict[str, Any]) -> str:
    """A line for each workload and mode."""
    lines = []
    for key, row in figures["narrow"].items():
        task = task_of(row)
        times = {who: duration(median(row, who)) for who, one in row["times"].items() if one["us"]}
        lines.append(
            [
                *(key.partition(",")[0], task.layer, task.mode),
                *(times.get(who, "") for who in (NARROW_ELMAN, ELMAN, NARROW_TORCH)),
                *(str(over(row, who, NARROW_ELMAN) or "") for who in (NARROW_TORCH, TORCH)),
                str(over(row, NARROW_OPENVINO, NARROW_ELMAN) or ""),
            ]
        )
    header = ["workload", "layer", "mode", "elman, bfloat16", "elman, float32", NARROW_TORCH]
    peers = (NARROW_TORCH, "torch.nn, float32", NARROW_OPENVINO)
    return table([*header, *(f"speedup over {who}" for who in peers)], lines)
