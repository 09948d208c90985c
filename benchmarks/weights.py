"""Sessions with weights in fewer bytes beside those of float32: ``python -m benchmarks.weights``.

Steps of one stream through a layer with as many features as units, by turns on one thread. Shown is
the least time of a step in microseconds of processor time; in brackets, the part of float32's.
With ``--errors``, a small layer learns to tell the next value of a Mackey-Glass series. Shown are
the error of the forecasts, in parts of the series' deviation, and by how much the layer's outputs
are off, in parts of their own deviation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import elman

DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "int8": torch.int8}
SIZES = (32, 128, 256, 512, 1024)
WEIGHTS = 1e7  # that a measurement reads, at least
UNITS, TRAINED, TAKEN = 48, 400, 1000  # training steps; steps of the series that are told


def least_times(runs: dict[str, Callable[[], Any]], rounds: int, many: int) -> dict[str, float]:
    """The least time of a call, in seconds of the processor's time."""
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for who, run in runs.items():
            run()
            before = time.process_time()
            for _ in range(many):
                run()
            least[who] = min(least[who], (time.process_time() - before) / many)
    return least


def print_times(rounds: int) -> None:
    """A line for each layer and size."""
    for name in ("GRU", "LSTM"):
        for units in SIZES:
            layer, x = getattr(elman, name)(units, units), torch.randn(units)
            streams = {who: elman.Stream(layer, None, dtype) for who, dtype in DTYPES.items()}
            runs = {who: (lambda s=s, x=x: s.step(x)) for who, s in streams.items()}
            count = sum(p.numel() for p in layer.parameters())
            least = least_times(runs, rounds, max(3, int(WEIGHTS / count)))
            shown = [
                f"{who} {1e6 * s:.2f} ({s / least['float32']:.2f})" for who, s in least.items()
            ]
            print(f"{name} {units}: {', '.join(shown)}", flush=True)


def mackey_glass(steps: int) -> Tensor:
    """The series with a delay of 17, of mean 0 and deviation 1."""
    values = [1.2] * 18
    while len(values) < 500 + steps:
        before = values[-18]
        values.append(values[-1] * 0.9 + 0.2 * before / (1 + before**10))
    series = torch.tensor(values[500:])
    return (series - series.mean()) / series.std()


def print_errors() -> None:
    """A line for each layer and dtype."""
    series = mackey_glass(8 * TAKEN)
    known, new = series[: 7 * TAKEN].view(-1, 100, 1), series[7 * TAKEN :, None]
    for name in ("GRU", "LSTM"):
        torch.manual_seed(0)
        layer: Any = getattr(elman, name)(1, UNITS, 2, batch_first=True)
        head = torch.nn.Linear(UNITS, 1)
        parameters = [*layer.parameters(), *head.parameters()]
        adam = torch.optim.Adam(parameters, 3e-3)
        for _ in range(TRAINED):
            batch = known[torch.randint(len(known), (16,))]
            loss = (head(layer(batch[:, :-1])[0]) - batch[:, 1:]).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        with torch.no_grad():
            exact = elman.Stream(layer).chunk(new[:-1])
            for who, dtype in DTYPES.items():
                output = elman.Stream(layer, None, dtype).chunk(new[:-1])
                wrong = (head(output) - new[1:]).square().mean().sqrt()
                off = (output - exact).square().mean().sqrt() / exact.std()
                print(f"{name} {who}: forecasts {wrong:.5f}, outputs {off:.1e}", flush=True)


def main() -> None:
    """Prints times, or errors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--errors", action="store_true", help="errors instead of times")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.errors:
        print_errors()
    else:
        print_times(options.rounds)


if __name__ == "__main__":
    main()
