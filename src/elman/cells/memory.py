"""A memory that a recurrence writes to and reads from: fast weights."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from typing import Any

from ..cell import Cell
from ..functions import exp, sigmoid
from ..reductions import amax, take


class DeltaNet(Cell):
    """Fast weights that learn by the delta rule: a memory of values, each under a key.

    With ``q, k, v, b = W x_t + b`` and a memory M of ``keys`` rows for each head:
    ``k = softmax(k)``, ``M_t = M_{t-1} + k (sigmoid(b) * (v - k^T M_{t-1}))``,
    ``h_t = softmax(q)^T M_t``. The states are h and the rows of M, all zero at the beginning.

    A head's first ``keys`` units of q and k count. So ``hidden_size`` is best ``heads * keys``; it
    must be at least that. The strength ``sigmoid(b)`` of the paper is one number for a head, here
    one for each unit. The paper's sum-normalised feature maps are softmax here, as in the authors'
    later work (K. Irie et al., "Going beyond linear transformers with recurrent fast weight
    programmers", NeurIPS (2021)).

    Use it for tasks that look up what was written under a key, such as pairs to recall; its memory
    holds ``keys`` times as many numbers as an LSTM's state.

    Args:
        keys: how many rows each head's memory has.
        heads: into how many parts the units are cut, each with a memory of its own.

    Raises:
        ValueError: if one of them is below 1.

    Source: I. Schlag, K. Irie, J. Schmidhuber, "Linear transformers are secretly fast weight
    programmers", ICML (2021), section 4.2.

    >>> import elman, torch
    >>> layer = elman.Recurrent(DeltaNet(keys=4, heads=2), 3, 8)
    >>> layer(torch.rand(5, 2, 3))[0].shape
    torch.Size([5, 2, 8])
    """

    gates = ("q", "k", "v", "b")
    states: tuple[str, ...] = ("h", "m0", "m1", "m2", "m3")

    def __init__(self, keys: int = 4, heads: int = 1) -> None:
        if min(keys, heads) < 1:
            raise ValueError(
                f"DeltaNet: expected keys and heads of at least 1, got {keys}, {heads}"
            )
        self.keys, self.heads = keys, heads
        self.states = ("h", *(f"m{i}" for i in range(keys)))

    def step(self, x: Any, u: Any, s: Any) -> Any:
        q, k = exp(x.q - amax(x.q, self.heads)), exp(x.k - amax(x.k, self.heads))
        query, key = ([take(p, i, self.heads) for i in range(self.keys)] for p in (q, k))
        rows = [getattr(s, name) for name in self.states[1:]]
        total = _sum(key)
        known = _dot(key, rows) / total
        change = sigmoid(x.b) * (x.v - known) / total
        rows = [row + weight * change for weight, row in zip(key, rows, strict=True)]
        return _dot(query, rows) / _sum(query), *rows


def _sum(values: Iterable[Any]) -> Any:
    return functools.reduce(operator.add, values)


def _dot(weights: list[Any], rows: list[Any]) -> Any:
    return _sum(map(operator.mul, weights, rows))
