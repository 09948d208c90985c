"""What a call of one layer consists of besides its input: which rows when, and the weights."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Rows(NamedTuple):
    """The rows of a batch over time. ``counts`` and ``offsets`` are None if all have ``T`` steps;
    else ``counts[t]`` rows are active at step ``t`` and lie from row ``offsets[t]`` on."""

    T: int
    B: int
    N: int  # rows of all steps together
    counts: Tensor | None = None
    offsets: Tensor | None = None
    reverse: bool = False


class Weights(NamedTuple):
    """The tensors of one layer and direction, ``(G*H, I)``, ``(G*H, H)``, ``(G*H,)`` twice."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None
