"""Where streams begin anew within a call."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

#: Steps of the chunks between two resets: few sizes, since a session gets ready for each.
_PIECES = (64, 8, 1)


def read(reset: Any, shape: Sequence[int]) -> Tensor:
    """Truth values of a checked argument."""
    found = torch.as_tensor(reset)
    if found.dtype != torch.bool:
        raise ValueError(
            f"Stream: expected reset to be of torch.bool, True where a stream begins anew, got "
            f"{found.dtype}; convert it with reset.bool()"
        )
    if found.shape != torch.Size(shape):
        raise RuntimeError(
            f"Stream: expected reset of shape {tuple(shape)}, got {tuple(found.shape)}"
        )
    return found


def pieces(reset: Tensor) -> Iterator[tuple[int, int]]:
    """The steps in pieces (first, one past the last) that begin at every reset ``(T, ...)``."""
    T = len(reset)
    begins = reset.reshape(T, -1).any(1).nonzero().flatten().tolist()
    for first, stop in itertools.pairwise(sorted({0, *begins, T})):
        at = first
        while at < stop:
            steps = next(n for n in _PIECES if n <= stop - at)
            yield at, at + steps
            at += steps
