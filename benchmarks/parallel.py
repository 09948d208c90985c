"""``python -m benchmarks.parallel [--threads N]``: affine recurrences where no kernel runs.

PyTorch operations on this processor stand for those of another device: all steps at once, and one
step after another, by turns. Milliseconds of processor time, the least of the rounds, and how many
operations each launches.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import elman
from elman.cells import by_name
from elman.dispatch import layer

from .show import table

#: Cell, its options, steps, rows, features, units.
CASES = [
    ("MinGRU", {}, 100, 8, 64, 64),
    ("MinGRU", {}, 1000, 8, 64, 64),
    ("MinGRU", {}, 10_000, 1, 8, 8),
    ("QRNN", {}, 1000, 8, 64, 64),
    ("LRU", {}, 1000, 8, 64, 64),
    ("DeltaNet", {"keys": 2}, 1000, 8, 64, 64),
    ("DeltaNet", {"keys": 4}, 1000, 8, 64, 64),
    ("DeltaNet", {"keys": 8}, 1000, 8, 64, 64),
]


def main() -> None:
    """Prints a line for each case and mode."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parallel", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = []
    for name, given, T, B, width, units in CASES:
        torch.manual_seed(0)
        net = elman.Recurrent(by_name(name, **given), width, units)
        x = torch.randn(T, B, width)
        for mode in (infer, train):
            loop, scan = _times(lambda: mode(net, x), options.rounds)  # noqa: B023
            with torch.no_grad():
                counts = [_operations(net, x, at_once) for at_once in (False, True)]
            case = ", ".join(map(str, (*given.values(), T, B, width, units, mode.__name__)))
            figures = f"{loop:.1f}", f"{scan:.1f}", f"{loop / scan:.1f}", *map(str, counts)
            lines.append([f"{name}, {case}", *figures])
    header = ["cell, T, B, I, H, mode", "loop", "at once", "gain", "operations", "at once"]
    print(table(header, lines))


def infer(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A call without its gradient."""
    with torch.no_grad():
        output: torch.Tensor = net(x)[0]
    return output


def train(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A call with its gradient."""
    net.zero_grad()
    output: torch.Tensor = net(x)[0]
    output.sum().backward()
    return output


def _run(run: Callable[[], Any], at_once: bool) -> Any:
    """Runs without kernels."""
    why = "" if at_once else "a loop is timed"
    with (
        mock.patch.object(layer, "bind", lambda *_: None),
        mock.patch.object(layer, "hindrance", lambda _: why),
        mock.patch.object(layer, "bind_stack", lambda *_: None),
    ):
        return run()


def _times(run: Callable[[], torch.Tensor], rounds: int) -> list[float]:
    """Of both ways the least time of a call, in milliseconds."""
    best, found = [float("inf")] * 2, list[torch.Tensor]()
    for _ in range(rounds):
        for i in range(2):
            begin = time.process_time()
            found.append(_run(run, bool(i)))
            best[i] = min(best[i], 1000 * (time.process_time() - begin))
    torch.testing.assert_close(*found[:2], atol=1e-4, rtol=1e-3)
    return best


class _Count(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        return function(*args, **kwargs or {})


def _operations(net: torch.nn.Module, x: torch.Tensor, at_once: bool) -> int:
    with _Count() as counted:
        _run(lambda: net(x), at_once)
    return counted.count


if __name__ == "__main__":
    main()
