"""How the times of elman and torch.nn grow with steps, rows, units and threads."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from elman.bench.contest import Contest
from elman.bench.task import MODES, Task

from .contestants import ELMAN, LAYERS, TORCH
from .show import over, ratio_ticks

BASE = {"T": 64, "B": 32, "I": 128, "H": 128}
VALUES = {"T": (4, 16, 64, 256, 1024), "B": (1, 4, 32, 128, 512), "H": (16, 32, 64, 128, 256, 512)}
KINDS = ("RNN", "GRU", "LSTM")
ROUNDS = 6


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each point of a curve; where the curves cross, one for all."""
    with Contest({who: LAYERS[who] for who in (TORCH, ELMAN)}, TORCH, options.allocator) as contest:
        for layer in KINDS:
            for mode in MODES:
                for sizes in _points():
                    for threads in options.threads:
                        task = Task(layer, **sizes, mode=mode, threads=threads)
                        yield _key(task), partial(contest.row, task, ROUNDS)


def _points() -> list[dict[str, int]]:
    every = [{**BASE, letter: value} for letter, values in VALUES.items() for value in values]
    return [point for i, point in enumerate(every) if point not in every[:i]]


def _key(task: Task) -> str:
    return f"{task.layer}, {task.T}, {task.B}, {task.H}, {task.mode}, {task.threads}"


def plot(figures: dict[str, Any], figure: Any) -> None:
    """Times as fast as torch.nn over T, B and H; a line for each layer and number of threads."""
    rows = [row for row in figures["scaling"].values() if over(row, TORCH, ELMAN)]
    axes = figure.subplots(len(MODES), len(VALUES), sharex="col", sharey="row")
    for line, mode in zip(axes, MODES, strict=True):
        for axis, letter in zip(line, VALUES, strict=True):
            for color, layer in enumerate(KINDS):
                for threads in sorted({row["threads"] for row in rows}):
                    points = [
                        (row[letter], over(row, TORCH, ELMAN).median)
                        for row in rows
                        if (row["layer"], row["mode"], row["threads"]) == (layer, mode, threads)
                        and all(row[x] == BASE[x] for x in VALUES if x != letter)
                    ]
                    style = {"color": f"C{color}", "linestyle": "-" if threads == 1 else "--"}
                    label = f"{layer}, {threads} thread{'s' * (threads > 1)}"
                    axis.plot(*zip(*sorted(points), strict=True), marker=".", label=label, **style)
            axis.set(xscale="log", yscale="log", xlabel=letter if mode == MODES[-1] else None)
            axis.set_xticks(VALUES[letter], labels=map(str, VALUES[letter]))
            axis.xaxis.minorticks_off()
            ratio_ticks(axis.yaxis, (1, 2, 5, 10, 20))
            axis.axhline(1, color="black", linewidth=0.5)
            axis.grid(axis="y", linewidth=0.3)
        line[0].set_ylabel(f"times as fast, {mode}")
    axes[0][-1].legend(fontsize=7)
