"""Modules to initialise, and their blocks, found without elman's tables."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

import elman

I, H, P = 5, 7, 3  # noqa: E741 - features, units, projected units


class Row(NamedTuple):
    """A module, and how many gates its weights have, at the input and at the state."""

    make: Callable[[], torch.nn.Module]
    ih: int
    hh: int


def _stack(kind: Any, gates: int, **options: Any) -> Row:
    more = {"num_layers": 2, "bidirectional": True, "dtype": torch.float64} | options
    return Row(lambda: kind(I, H, **more), gates, gates)


def _recurrent(cell: Any, ih: int, hh: int, **options: Any) -> Row:
    more = {"num_layers": 2, "bidirectional": True, "dtype": torch.float64} | options
    return Row(lambda: elman.Recurrent(cell, I, more.pop("hidden", H), **more), ih, hh)


def _single(kind: Any, gates: int) -> Row:
    return Row(lambda: kind(I, H, dtype=torch.float64), gates, gates)


MODULES = {
    "torch-rnn": _stack(torch.nn.RNN, 1),
    "torch-relu": _stack(torch.nn.RNN, 1, nonlinearity="relu"),
    "torch-lstm": _stack(torch.nn.LSTM, 4),
    "torch-lstm-projected": _stack(torch.nn.LSTM, 4, proj_size=P),
    "torch-gru": _stack(torch.nn.GRU, 3),
    "torch-rnn-cell": _single(torch.nn.RNNCell, 1),
    "torch-lstm-cell": _single(torch.nn.LSTMCell, 4),
    "torch-gru-cell": _single(torch.nn.GRUCell, 3),
    "elman-rnn": _stack(elman.RNN, 1),
    "elman-lstm": _stack(elman.LSTM, 4, num_layers=3),
    "elman-gru-before": _stack(elman.GRU, 3, reset_after=False),
    "elman-gru-cell": _single(elman.GRUCell, 3),
    "recurrent-lstm": _recurrent(elman.cells.LSTM, 4, 4),
    "recurrent-mgu1": _recurrent(elman.cells.MGU1, 1, 2),  # its gate f doesn't see the input
    "recurrent-ran": _recurrent(elman.cells.RAN, 3, 2),
    "recurrent-one-way": _recurrent(elman.cells.GRU, 3, 3, bidirectional=False),
    "recurrent-cell": Row(
        lambda: elman.RecurrentCell(elman.cells.GRU, I, H, dtype=torch.float64), 3, 3
    ),
}


def parts(module: torch.nn.Module, kind: str, number: int) -> dict[str, torch.Tensor]:
    """Blocks by name of the parameter and number of the gate; ``kind`` is as in ``weight_hh``."""
    found = {}
    for name, p in module.named_parameters():
        if name.startswith(kind):
            for gate, block in enumerate(p.detach().chunk(number)):
                found[f"{name}/{gate}"] = block
    assert found
    return found


def values(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all parameters."""
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def changed(before: dict[str, torch.Tensor], module: torch.nn.Module) -> set[str]:
    """The names of the parameters that have changed."""
    return {name for name, p in module.named_parameters() if not torch.equal(before[name], p)}
