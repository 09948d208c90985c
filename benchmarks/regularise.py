"""What each option that regularises costs: ``python -m benchmarks.regularise``.

A call is forward and backward of one layer in training. Layers with one option each and the layer
without any run by turns, on one thread; random numbers are drawn in the time that is measured.
Shown is the least time of the processor for a call, divided by that of the layer without.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable

import torch

import elman
from elman.bench.contest import ALLOCATORS

from .turns import least_seconds

SIZES = {(100, 1, 32): 100, (100, 32, 128): 3, (128, 128, 256): 1}  # T, B, H: calls of a turn
ROUNDS = 9
OPTIONS = {
    "input_dropout": 0.2,
    "state_dropout": 0.2,
    "output_dropout": 0.2,
    "recurrent_dropout": 0.2,
    "weight_dropout": 0.2,
    "zoneout": 0.1,
    "state_noise": 0.1,
    "state_clip": 3.0,
    "grad_clip": 1.0,
}


def call_of(cell: str, size: tuple[int, int, int], options: dict[str, float]) -> Callable[[], None]:
    """A step of training of a layer, without the optimiser's."""
    T, B, H = size
    net, x = elman.Recurrent(elman.cells.by_name(cell), H, H, **options), torch.randn(T, B, H)

    def call() -> None:
        output, _ = net(x)
        output.sum().backward()
        for parameter in net.parameters():
            parameter.grad = None

    return call


def ratios(cell: str, size: tuple[int, int, int]) -> tuple[float, dict[str, float]]:
    """The milliseconds of a call without options, and by option how many times as much it takes."""
    none = cell == "Elman" and "recurrent_dropout"  # it has no candidate
    every = {"": call_of(cell, size, {})}
    every |= {n: call_of(cell, size, {n: v}) for n, v in OPTIONS.items() if n != none}
    least = least_seconds(every, ROUNDS, SIZES[size])
    one = least.pop("")
    return 1e3 * one, {name: taken / one for name, taken in least.items()}


def main() -> None:
    """Prints a table for each cell."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("cells", nargs="*", default=["LSTM", "GRU", "Elman"], help="names of cells")
    cells = parser.parse_args().cells
    kept = ALLOCATORS["kept"]  # that of the other benchmarks, which takes a process of its own
    if not kept.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.regularise", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env=os.environ | kept, check=False).returncode)
    torch.set_num_threads(1)
    for cell in cells:
        found = {size: ratios(cell, size) for size in SIZES}
        heads = [f"{'T{} B{} H{}'.format(*s)} ({ms:.3g} ms)" for s, (ms, _) in found.items()]
        print(f"\n| {cell} | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}")
        for name in next(iter(found.values()))[1]:
            ratios_of = [f"{of[name]:.2f}" for _, of in found.values()]
            print(f"| `{name}` | {' | '.join(ratios_of)} |")


if __name__ == "__main__":
    main()
