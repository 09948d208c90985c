"""elman on every instruction set that this machine runs, against torch.nn, which picks its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from elman.bench.contest import Contest
from elman.bench.contestants import ELMAN, Call
from elman.bench.figures import duration
from elman.bench.task import MODES, Task
from elman.compiler.isa import available
from elman.dispatch.select import set_isa

from .contestants import LAYERS, TORCH
from .show import median, over, table, task_of

KINDS = ("RNN", "GRU", "LSTM")
SIZES = ((100, 1, 32, 32), (100, 32, 128, 128))


class Forced:
    """elman's modules with kernels for one instruction set, in a process of their own."""

    def __init__(self, name: str) -> None:
        self._name, self.stack = name, ExitStack()

    def forms(self, task: Task) -> Sequence[str]:
        return ELMAN.forms(task)

    def prepare(self, task: Task, form: str) -> Call:
        self.stack.enter_context(set_isa(self._name))  # for good
        return ELMAN.prepare(task, form)


AVX512, AVX2, SSE2, NEON = map(Forced, ("avx512", "avx2", "sse2", "neon"))


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each layer, size and mode, on one thread."""
    # What adds pairs of bfloat16s to another has the code of that one for float32.
    rows = [row for row in available() if not row.bf16_pairs]
    forced = {row.name: f"{__name__}:{row.name.upper()}" for row in rows}
    with Contest({TORCH: LAYERS[TORCH], **forced}, TORCH, options.allocator) as contest:
        for layer in KINDS:
            for sizes in SIZES:
                for mode in MODES:
                    task = Task(layer, *sizes, mode=mode)
                    key = f"{layer}, {task.B}, {mode}"
                    yield key, partial(contest.row, task, options.rounds)


def show(figures: dict[str, Any]) -> str:
    """A line for each task: times, and how many times as fast as torch.nn."""
    lines, rows = [], list(figures["isa"].values())
    ours = [who for who in rows[0]["times"] if who != TORCH]
    for row in rows:
        task = task_of(row)
        lines.append([task.layer, task.sizes, task.mode, duration(median(row, TORCH))])
        lines[-1] += [f"{duration(median(row, who))}: {over(row, TORCH, who)}" for who in ours]
    return table(["layer", "T, B, I, H", "mode", TORCH, *ours], lines)
