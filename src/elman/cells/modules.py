"""Which cell a module computes. torch.nn's layers hold none: their mode or their size says it."""

from __future__ import annotations

from typing import Any

from torch.nn.modules.rnn import RNNBase, RNNCellBase

from ..cell import Cell
from .elman import Elman
from .gru import GRU
from .lstm import LSTM


def cell_of(module: Any) -> Cell | None:
    """The cell of a recurrent module of torch.nn or elman; None for any other module.

    >>> import torch
    >>> cell_of(torch.nn.RNN(2, 3, nonlinearity="relu"))
    Elman(nonlinearity='relu')
    """
    held = getattr(module, "cell", None)
    if isinstance(held, Cell):
        return held
    if isinstance(module, RNNBase):
        kind, _, nonlinearity = module.mode.partition("_")
        gates = {"RNN": 1, "GRU": 3, "LSTM": 4}.get(kind, 0)
    elif isinstance(module, RNNCellBase):
        nonlinearity = getattr(module, "nonlinearity", "")
        gates = module.weight_ih.shape[0] // module.hidden_size
    else:
        return None
    if gates == 1:
        return Elman(nonlinearity.lower())
    if gates == 3:
        return GRU(getattr(module, "reset_after", True))
    return LSTM(bool(getattr(module, "proj_size", 0))) if gates == 4 else None
