"""torch.nn's layers in an existing model, turned into elman's and back."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch.nn.modules.rnn import RNNBase

from .gru import GRU, GRUCell
from .lstm import LSTM, LSTMCell
from .rnn import RNN, RNNCell

#: By torch's class, elman's. They have the same attributes, so a module changes by its class.
_OURS: dict[type[torch.nn.Module], type[torch.nn.Module]] = {
    ours._counterpart: ours for ours in (RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell)
}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}

_Module = TypeVar("_Module", bound=torch.nn.Module)


def accelerate(module: _Module) -> _Module:
    """Makes every RNN, LSTM, GRU and cell of them of torch.nn inside a model elman's, in place.

    Parameters, hooks and everything else stay what they are; subclasses are left alone, since
    they may compute something else, and so is what elman has no layer for: :func:`elman.explain`
    names both. Doing it twice does nothing more; :func:`restore` undoes it.

    Returns:
        The module that was given.

    >>> import elman, torch
    >>> model = torch.nn.ModuleList([torch.nn.RNN(2, 4), torch.nn.Linear(4, 1)])
    >>> type(elman.accelerate(model)[0])
    <class 'elman.nn.rnn.RNN'>
    >>> type(elman.restore(model)[0])
    <class 'torch.nn.modules.rnn.RNN'>
    """
    for part in module.modules():
        if type(part) in _OURS and not refusal(part):
            part.__class__ = _OURS[type(part)]
    return module


def restore(module: _Module) -> _Module:
    """Makes every layer of elman inside a model torch.nn's again, in place.

    A GRU with ``reset_after=False`` stays elman's: torch.nn has none.
    """
    for part in module.modules():
        if type(part) in _THEIRS and getattr(part, "reset_after", True):
            part.__class__ = _THEIRS[type(part)]
    return module


def refusal(module: torch.nn.Module) -> str:
    """Why :func:`accelerate` leaves a recurrent module alone, in words; empty if it takes it."""
    mine = type(module)
    if mine not in _OURS:
        theirs = next(c for c in mine.__mro__ if c.__module__ == RNNBase.__module__)
        if theirs is mine:
            return f"elman has no {mine.__name__}"
        return (
            f"{mine.__name__} is a subclass of torch.nn.{theirs.__name__}, and may compute "
            "something else"
        )
    size = 0 if mine is torch.nn.LSTM else getattr(module, "proj_size", 0)
    return f"only LSTM projects its state (proj_size={size})" if size else ""
