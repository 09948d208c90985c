"""``python -m benchmarks.calls [--rounds N]``: what the smallest calls take, layer by layer.

Stacks of the tutorial's size (three steps, one row, four units) on one thread, beside torch.nn's:
microseconds of a forward pass without gradients, and of a training step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch

import elman

from .show import table

LAYERS, CALLS = (1, 2, 3, 4), 100


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="the fastest of so many counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, lines = torch.randn(3, 1, 2), []
    for layers in LAYERS:
        pair = [nn.RNN(2, 4, layers) for nn in (elman, torch.nn)]
        kinds = [partial(kind, module, x) for kind in (_infer, _train) for module in pair]
        rounds = ([_microseconds(kind) for kind in kinds] for _ in range(options.rounds))
        found = [f"{min(times):.1f}" for times in zip(*rounds, strict=True)]
        lines.append([str(layers), *found])
    columns = [f"{who}, {mode}" for mode in ("inference", "training") for who in ("elman", "torch")]
    print(table(["layers", *columns], lines))


@torch.no_grad()
def _infer(module: torch.nn.Module, x: torch.Tensor) -> None:
    module(x)


def _train(module: torch.nn.Module, x: torch.Tensor) -> None:
    module.zero_grad()
    output, _ = module(x)
    output.backward(torch.ones_like(output))


def _microseconds(call: Callable[[], None]) -> float:
    """Of a call, on average."""
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS * 1e6


if __name__ == "__main__":
    main()
