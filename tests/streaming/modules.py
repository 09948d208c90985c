"""Modules that sessions are made of, and whether two results have the same bits."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

import elman

I, H, T, B = 3, 5, 7, 4  # noqa: E741


class Gap(elman.Cell):
    """A state that decays by a time gap, which every step is given."""

    gates, states, inputs = ("n",), ("h",), ("gap",)

    def step(self, x, u, s):
        return elman.exp(-self.input("gap")) * s.h + elman.tanh(x.n + u.n)


MODULES: dict[str, Callable[[], Any]] = {
    "RNN": lambda: elman.RNN(I, H, 2),
    "GRU, no bias, double": lambda: elman.GRU(I, H, bias=False, dtype=torch.float64),
    "LSTM": lambda: elman.LSTM(I, H, 3, dropout=0.5),
    "LSTM, projected": lambda: elman.LSTM(I, H, 2, proj_size=2),
    "residual": lambda: elman.Recurrent(elman.cells.LightGRU, I, H, 3, residual=True),
    "sizes": lambda: elman.Recurrent(elman.cells.PeepholeLSTM, I, [H, 2, 6]),
    "learned": lambda: learned(elman.Recurrent(elman.cells.GRU, I, H, 2, learn_initial=True)),
    "wide": lambda: elman.GRU(I, 67),
}


def learned(net: Any) -> Any:
    for name, p in net.named_parameters():
        if name.startswith("initial"):
            torch.nn.init.normal_(p)
    return net


def dtype_of(module: Any) -> torch.dtype:
    return next(module.parameters()).dtype


def same(found: Any, expected: Any) -> bool:
    pairs = zip(tree_leaves(found), tree_leaves(expected), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
