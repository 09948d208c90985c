"""Masked recurrent matrices beside whole ones: ``python -m benchmarks.masks``.

An LSTM and an Elman network of 512 units keep a half, a quarter and an eighth of the blocks of
their recurrent matrix, drawn at random. Blocks have 16, 32 and 64 units. Calls of inference and of
training run by turns on one thread. Shown is the least time of a call in milliseconds of the
processor's time; in brackets, the part of the time without a mask. The input has 64 features, and
its product is the same for all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

import elman
from elman.cells import LSTM, Elman

from .turns import call_of, least_seconds

I, H = 64, 512  # noqa: E741
KEPT = (0.5, 0.25, 0.125)
BLOCKS = (16, 32, 64)
ROUNDS, CALLS = 8, 2


def run_of(
    kind: type[elman.Cell], block: int, kept: float, x: torch.Tensor, train: bool
) -> Callable[[], Any]:
    """A call of a layer of which so much is kept, in blocks of so many units; 0: without a mask."""
    cell = kind()
    if block:
        parts = H // block
        order = torch.rand(parts, parts, generator=torch.Generator().manual_seed(0)).argsort(1)
        cell.masks = {"weight_hh": order < round(kept * parts)}
    return call_of(elman.Recurrent(cell, I, H), x, train)


def main(blocks: tuple[int, ...]) -> None:
    """Prints a line for each size."""
    torch.set_num_threads(1)
    for kind in (LSTM, Elman):
        for T, B in ((50, 1), (50, 32), (20, 128)):
            for train in (False, True):
                x = torch.randn(T, B, I)
                forms = [(0, 1.0), *((block, kept) for block in blocks for kept in KEPT)]
                runs = {form: run_of(kind, *form, x, train) for form in forms}
                least = least_seconds(runs, ROUNDS, CALLS)
                whole = least[0, 1.0]
                shown = [
                    f"{block}: {kept:g} {1e3 * seconds:.2f} ({seconds / whole:.2f})"
                    for (block, kept), seconds in least.items()
                ]
                mode = "training" if train else "inference"
                print(f"{kind.__name__} T{T} B{B} {mode}: {', '.join(shown)}", flush=True)


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or BLOCKS)
