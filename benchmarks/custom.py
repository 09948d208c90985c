"""Cells that torch.nn lacks, against JAX and a PyTorch loop, beside layers of the same products."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from elman.bench.contest import Contest
from elman.bench.figures import duration
from elman.bench.task import MODES, Task

from .contestants import CELLS, ELMAN, LOOP
from .show import median, over, table, task_of

SIZES = ((100, 1, 32, 32), (100, 32, 128, 128))
BUILT_IN = {"Leaky": "RNN", "PeepholeLSTM": "LSTM"}  # with the same products
NAMES = ("LightGRU", *BUILT_IN, *BUILT_IN.values())


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each layer, size and mode, on one thread."""
    with Contest(CELLS, LOOP, options.allocator) as contest:
        for layer in NAMES:
            for given in SIZES:
                for mode in MODES:
                    task = Task(layer, *given, mode=mode)
                    yield _key(task), partial(contest.row, task, options.rounds)


def _key(task: Task) -> str:
    return f"{task.layer}, {task.B}, {task.mode}"


def show(figures: dict[str, Any]) -> str:
    """A line for each cell, size and mode."""
    rows, lines = figures["custom"], []
    for row in rows.values():
        task = task_of(row)
        if task.layer in BUILT_IN.values():
            continue
        shown = {who: duration(median(row, who)) for who, one in row["times"].items() if one["us"]}
        beside = rows.get(_key(task._replace(layer=BUILT_IN.get(task.layer, ""))))
        cost = f"{median(row, ELMAN) / median(beside, ELMAN):.2f}" if beside else ""
        lines.append(
            [
                *(task.layer, task.sizes, task.mode, shown.get(ELMAN, "")),
                f"{shown.get('JAX', '')} ({row['times']['JAX']['form']})",
                *(str(over(row, who, ELMAN) or "") for who in ("JAX", LOOP)),
                cost,
            ]
        )
    header = ["cell", "T, B, I, H", "mode", "elman", "JAX", "speedup over JAX", "over the loop"]
    return table([*header, "time / built-in's"], lines)
