"""``python -m benchmarks.parts [--rounds N]``: where the time of a training step goes.

Layers with large products on one thread: the forward pass in inference and in training, the
backward pass as far as the states (no parameter wants a gradient), and the weights' gradients,
which are the rest of the whole; each with what its matrix products take at the processor's peak.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

import torch

import elman
from elman.bench.contest import ALLOCATORS
from elman.bench.task import Task
from elman.bench.workloads import WORKLOADS

from .roofline import measure
from .show import table

NAMES = ("char-rnn", "qlib", "hydrology", "rl-train", "tagger")


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="the fastest of so many counts")
    options = parser.parse_args()
    kept = ALLOCATORS["kept"]  # that of the other benchmarks, which takes a process of its own
    if not kept.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.parts", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env=os.environ | kept, check=False).returncode)
    torch.set_num_threads(1)
    peak = measure(1)["gflops"] * 1e9
    print(f"peak: {peak / 1e9:.0f} GFLOP/s; milliseconds, and what a part's products take there\n")
    parts = ("inference", "training, forward", "back to the states", "weights' gradients")
    lines = []
    for name in NAMES:
        task = WORKLOADS[name].task("training", 1)._replace(num_layers=1, bidirectional=False)
        states = task.T * task.B * task.gates * task.H * task.H * 2 / peak
        all_products = states * (task.I + task.H) / task.H
        ideal = (all_products, all_products, states, all_products)
        cells = [
            f"{1e3 * seconds:.1f} ({1e3 * least:.1f}, {least / seconds:.0%})"
            for seconds, least in zip(_measure(task, options.rounds), ideal, strict=True)
        ]
        lines.append([name, task.layer, task.sizes, *cells])
    print(table(["one layer of", "layer", "T, B, I, H", *parts], lines))


def _measure(task: Task, rounds: int) -> tuple[float, float, float, float]:
    """Seconds of each part, the fastest of all rounds."""
    module = getattr(elman, task.layer)(task.I, task.H)
    x, gradient = torch.from_numpy(task.input()), torch.from_numpy(task.gradient())
    first = torch.zeros(1, task.B, task.H, requires_grad=True)
    hx = (first, torch.zeros(1, task.B, task.H)) if task.layer == "LSTM" else first

    def forward(grad: bool) -> float:
        with torch.set_grad_enabled(grad):
            return _seconds(lambda: module(x, hx))

    def backward(weights: bool) -> float:
        for parameter in module.parameters():
            parameter.requires_grad_(weights)
        output = module(x, hx)[0]
        return _seconds(lambda: torch.autograd.backward(output, gradient))

    kinds = (
        lambda: forward(False),
        lambda: forward(True),
        lambda: backward(False),
        lambda: backward(True),
    )
    best = [
        min(times) for times in zip(*([k() for k in kinds] for _ in range(rounds)), strict=True)
    ]
    return best[0], best[1], best[2], best[3] - best[2]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
