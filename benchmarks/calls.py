"""``python -m benchmarks.calls [--rounds N]``: what the smallest calls take, layer by layer.

Stacks of the tutorial's size (three steps, one row, four units) on one thread, beside torch.nn's:
microseconds of a forward pass without gradients, and of a training step. Then where those of one
layer go: a forward pass for which autograd is on takes what autograd's function adds, a training
step the call of ``backward``; beside a session, and a function whose results are known beforehand.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

import elman
from elman.bench import contestants
from elman.bench.task import Task

from .contestants import ELMAN, FLOOR, SESSION, TORCH
from .peers import floor
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
        lines.append([str(layers), *_fastest(kinds, options.rounds)])
    columns = [f"{who}, {mode}" for mode in ("inference", "training") for who in ("elman", "torch")]
    print(table(["layers", *columns], lines))
    print()
    print(table(["one layer", *_PARTS], _parts(x, options.rounds)))


_PARTS = ("forward", "with autograd on", "training step")


def _parts(x: torch.Tensor, rounds: int) -> list[list[str]]:
    """A line for each contestant: what it is, and what its parts take."""
    task = Task("RNN", 3, 1, 2, 4, mode="training")
    calls: dict[str, list[Callable[[], object]]] = {}
    for who, one in ((ELMAN, contestants.ELMAN), (TORCH, contestants.TORCH)):
        module = one.module(task)
        calls[who] = [partial(_infer, module, x), partial(module, x), one.prepare(task, "")]
    calls[FLOOR] = [floor.function(task)[0], floor.prepare(task, "")]
    calls[SESSION] = [partial(elman.Stream(contestants.ELMAN.module(task), 1).chunk, x)]
    found = iter(_fastest([*itertools.chain(*calls.values())], rounds))
    every = {who: [*itertools.islice(found, len(mine))] for who, mine in calls.items()}
    every[FLOOR].insert(0, "")
    every[SESSION] += ["", ""]
    return [[who, *mine] for who, mine in every.items()]


def _fastest(calls: Sequence[Callable[[], object]], rounds: int) -> list[str]:
    """Microseconds of each, which take turns."""
    times = ([_microseconds(call) for call in calls] for _ in range(rounds))
    return [f"{min(mine):.1f}" for mine in zip(*times, strict=True)]


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
