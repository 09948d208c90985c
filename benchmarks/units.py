"""``python -m benchmarks.units [--threads N] [--only NAME]``: few rows on several threads.

Layers whose rows are too few for all threads share the units of each step. By turns with one
thread: medians of the rounds in milliseconds, how many times as fast, and in how many of the calls
a thread was late, as it is where other programs run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch

import elman
from elman.cells import by_name
from elman.launch import calls

from .show import table

#: Layer, steps, rows, features, units.
CASES = [
    ("LSTM", 25, 1, 700, 700),
    ("RNN", 25, 3, 700, 700),
    ("GRU", 50, 1, 256, 256),
    ("LSTM", 50, 1, 256, 256),
    ("LSTM", 50, 1, 128, 128),
    ("RNN", 50, 1, 192, 192),
    ("MinGRU", 1000, 1, 256, 256),
    ("MinGRU", 1000, 1, 8, 1024),
    ("LRU", 1000, 1, 256, 256),
]
SPAN = 0.03  # seconds of a turn

Call = Callable[[], torch.Tensor]


def main() -> None:
    """Prints a line for each layer and mode."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.units", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="a mode: session, inference or training")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    lates: list[bool] = []
    record = calls.record_lateness

    def recorded(late: bool, work: float) -> None:
        lates.append(late)
        record(late, work)

    calls.record_lateness = recorded
    lines = []
    for case in CASES:
        for mode, make in _modes(*case):
            if options.only and mode != options.only:
                continue
            lines.append(_line(f"{', '.join(map(str, case))}, {mode}", make, options, lates))
    header = ["layer, T, B, I, H, mode", "one thread", f"{options.threads} threads", "gain", "late"]
    print(table(header, lines))


def _line(
    name: str, make: Callable[[], Call], options: argparse.Namespace, lates: list[bool]
) -> list[str]:
    functions, times = dict[int, Call](), dict[int, list[float]]()
    for threads in (1, options.threads):
        torch.set_num_threads(threads)
        functions[threads], times[threads] = make(), []
    found = [function() for function in functions.values()]
    assert torch.equal(*found), f"{name}: other bits on several threads"
    for _ in range(options.rounds):
        for threads, function in functions.items():
            torch.set_num_threads(threads)
            for _ in range(3):
                function()
            lates.clear()
            times[threads].append(_median(function))
    medians = [1000 * statistics.median(found) for found in times.values()]
    late = sum(lates) / max(1, len(lates))
    return [name, *(f"{m:.3f}" for m in medians), f"{medians[0] / medians[1]:.2f}", f"{late:.1%}"]


def _median(function: Call) -> float:
    """Of the calls of a turn."""
    found, end = list[float](), time.perf_counter() + SPAN
    while len(found) < 5 or time.perf_counter() < end:
        begin = time.perf_counter()
        function()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def _modes(
    layer: str, T: int, B: int, width: int, units: int
) -> Iterator[tuple[str, Callable[[], Call]]]:
    """What makes the call of each mode."""
    torch.manual_seed(0)
    plain = getattr(elman, layer, None)
    module = plain(width, units) if plain else elman.Recurrent(by_name(layer), width, units)
    x = torch.randn(T, B, width)

    def session() -> Call:
        stream = elman.Stream(module, B)
        return lambda: stream.chunk(x)

    def infer() -> torch.Tensor:
        with torch.no_grad():
            output: torch.Tensor = module(x)[0]
        return output

    def train() -> torch.Tensor:
        module.zero_grad()
        output: torch.Tensor = module(x)[0]
        output.sum().backward()
        return output

    yield "session", session
    yield "inference", lambda: infer
    yield "training", lambda: train


if __name__ == "__main__":
    main()
