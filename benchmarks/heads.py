"""Block-diagonal recurrent matrices beside whole ones: ``python -m benchmarks.heads``.

An LSTM of 512 units with 1, 2, 4, 8 and 16 heads, in inference and in training, by turns on one
thread. Shown is the least time of a call in milliseconds of the processor's time; in brackets, the
part of the time with one head. The input has 64 features, and its product is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import elman
from elman.cells import LSTM

from .turns import call_of, least_seconds

I, H = 64, 512  # noqa: E741
HEADS = (1, 2, 4, 8, 16)
ROUNDS, CALLS = 8, 2


def run_of(heads: int, x: torch.Tensor, train: bool) -> Callable[[], Any]:
    """A call of an LSTM with so many heads."""
    cell = LSTM()
    cell.heads = heads
    return call_of(elman.Recurrent(cell, I, H), x, train)


def main() -> None:
    """Prints a line for each size."""
    torch.set_num_threads(1)
    for T, B in ((50, 1), (50, 32), (20, 128)):
        for train in (False, True):
            x = torch.randn(T, B, I)
            runs = {heads: run_of(heads, x, train) for heads in HEADS}
            least = least_seconds(runs, ROUNDS, CALLS)
            shown = [f"{n} {1e3 * s:.2f} ({s / least[1]:.2f})" for n, s in least.items()]
            print(f"T{T} B{B} {'training' if train else 'inference'}: {', '.join(shown)}")


if __name__ == "__main__":
    main()
