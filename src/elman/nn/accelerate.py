"""torch.nn's layers in an existing model, turned into elman's and back."""

from __future__ import annotations

from typing import TypeVar

import torch

from .rnn import RNN, RNNCell

#: By torch's class, elman's. They have the same attributes, so a module changes by its class.
_OURS: dict[type[torch.nn.Module], type[torch.nn.Module]] = {
    torch.nn.RNN: RNN,
    torch.nn.RNNCell: RNNCell,
}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}

_Module = TypeVar("_Module", bound=torch.nn.Module)


def accelerate(module: _Module) -> _Module:
    """Makes every ``torch.nn.RNN`` and ``RNNCell`` inside a model elman's, in place.

    Parameters, hooks and everything else stay what they are; subclasses are left alone, since
    they may compute something else. Doing it twice does nothing more; :func:`restore` undoes it.

    Returns:
        The module that was given.

    >>> import elman, torch
    >>> model = torch.nn.ModuleList([torch.nn.RNN(2, 4), torch.nn.Linear(4, 1)])
    >>> type(elman.accelerate(model)[0])
    <class 'elman.nn.rnn.RNN'>
    >>> type(elman.restore(model)[0])
    <class 'torch.nn.modules.rnn.RNN'>
    """
    return _exchange(module, _OURS)


def restore(module: _Module) -> _Module:
    """Makes every layer of elman inside a model torch.nn's again, in place."""
    return _exchange(module, _THEIRS)


def _exchange(
    module: _Module, classes: dict[type[torch.nn.Module], type[torch.nn.Module]]
) -> _Module:
    for part in module.modules():
        if type(part) in classes:
            part.__class__ = classes[type(part)]
    return module
