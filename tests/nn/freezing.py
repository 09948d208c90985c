"""Modules that are frozen, and what tests of them share."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import elman
from elman.nn.frozen import frozen_of
from tests.streaming.modules import learned

I, H = 3, 21  # noqa: E741


class Masked(elman.cells.GRU):
    masks = {"weight_hh": [[1, 0, 0], [0, 1, 1], [1, 0, 1]]}  # noqa: RUF012


LAYERS: dict[str, Callable[[], Any]] = {
    "RNN": lambda: elman.RNN(I, H, 2),
    "GRU, no bias, double": lambda: elman.GRU(I, H, bias=False, dtype=torch.float64),
    "GRU, reset before": lambda: elman.GRU(I, H, reset_after=False),
    "LSTM, stacked, two ways": lambda: elman.LSTM(I, H, 3, dropout=0.5, bidirectional=True),
    "LSTM, projected": lambda: elman.LSTM(I, H, 2, proj_size=2),
    "LSTM, batch first": lambda: elman.LSTM(I, H, batch_first=True),
    "peepholes, layers of sizes": lambda: elman.Recurrent(elman.cells.PeepholeLSTM, I, [H, 2, 6]),
    "merged, residual": lambda: elman.Recurrent(
        elman.cells.LightGRU, I, H, 3, bidirectional=True, merge="sum", residual=True
    ),
    "learned": lambda: learned(elman.Recurrent(elman.cells.GRU, I, H, 2, learn_initial=True)),
    "zoneout": lambda: elman.Recurrent(elman.cells.GRU, I, H, zoneout=0.3),
    "heads": lambda: elman.Recurrent(elman.cells.SLSTM(heads=3), I, H),
    "masks": lambda: elman.Recurrent(Masked, I, H),
    "wide": lambda: elman.GRU(I, 150),
}
CELLS: dict[str, Callable[[], Any]] = {
    "RNNCell": lambda: elman.RNNCell(I, H, bias=False),
    "LSTMCell": lambda: elman.LSTMCell(I, H),
    "GRUCell": lambda: elman.GRUCell(I, 130),
    "RecurrentCell": lambda: elman.RecurrentCell(elman.cells.IndRNN, I, H),
}
MODULES = LAYERS | CELLS


def pair(make: Callable[[], Any], **options: Any) -> tuple[Any, Any]:
    """A module, and a frozen one with the same weights."""
    module = make().eval()
    return module, elman.freeze(copy.deepcopy(module), **options)


def example(module: Any, *lead: int) -> Tensor:
    return torch.randn(*lead, I, dtype=next(module.parameters()).dtype)


def same(found: Any, expected: Any) -> None:
    pairs = zip(tree_leaves(found), tree_leaves(expected), strict=True)
    for a, b in pairs:
        assert (a is None and b is None) or torch.equal(a, b)


def packs(module: Any) -> bool:
    """Whether something is packed now."""
    held = frozen_of(module).held
    return held is not None and held.packed.nbytes > 0


def both(plain: Any, frozen: Any, *arguments: Any, **named: Any) -> Any:
    """The same call three times: the first is checked, the second packs, the third is known."""
    for _ in range(3):
        expected = plain(*arguments, **named)
        same(frozen(*arguments, **named), expected)
    return expected
