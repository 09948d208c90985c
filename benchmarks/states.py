"""Calls with ``return_states=True`` beside the same without: ``python -m benchmarks.states``.

Training is a forward and a backward pass of a loss that reads the output, or the states as well.
All run by turns, on one thread; shown is the least of the rounds, in milliseconds of the
processor's time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch

import elman
from elman.bench.contest import ALLOCATORS

from .turns import least_seconds

SIZES = ((100, 1, 32), (100, 32, 128), (128, 128, 256))


def contestants(net: Any, x: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """What is timed of a layer."""
    parameters = [*net.parameters()]

    def infer(**options: bool) -> Any:
        with torch.no_grad():
            return net(x, **options)

    def train(read_states: bool, **options: bool) -> Any:
        output, _, *states = net(x, **options)
        loss = output.sum()
        for state in itertools.chain(*states) if read_states else ():
            loss = loss + state.sum()
        return torch.autograd.grad(loss, parameters)

    return {
        "forward": infer,
        "forward, states": lambda: infer(return_states=True),
        "training": lambda: train(False),
        "training, states": lambda: train(False, return_states=True),
        "training, states read": lambda: train(True, return_states=True),
    }


def main() -> None:
    """Prints a line for each layer and size; in brackets, times of the same without states."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.states", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    kept = ALLOCATORS["kept"]  # that of the other benchmarks, which takes a process of its own
    if not kept.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.states", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env=os.environ | kept, check=False).returncode)
    torch.set_num_threads(1)
    for (T, B, H), name in itertools.product(SIZES, ("RNN", "LSTM", "GRU")):
        runs = contestants(getattr(elman, name)(H, H), torch.randn(T, B, H))
        least = least_seconds(runs, options.rounds, max(1, int(1e7) // (T * B * H * H)))
        shown = [
            f"{who} {1e3 * s:.3f} ({s / least[who.partition(',')[0]]:.2f})"
            for who, s in least.items()
        ]
        print(f"T={T} B={B} H={H} {name}: {', '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
