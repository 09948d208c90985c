"""The layers of an existing model, turned into elman's and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from .bridge import bridge
from .conversions import answer, conversion, meet
from .gru import GRU, GRUCell
from .lstm import LSTM, LSTMCell
from .replaced import original_of, replace
from .rnn import RNN, RNNCell

#: By torch's class, elman's. They have the same attributes, so a module changes by its class.
OURS: dict[type[torch.nn.Module], type[torch.nn.Module]] = {
    ours._counterpart: ours for ours in (RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell)
}
_THEIRS = {ours: theirs for theirs, ours in OURS.items()}
_WAS = "_elman_was"  # of a module of another library that changed its class: the class before

_Module = TypeVar("_Module", bound=torch.nn.Module)


def accelerate(module: _Module, *, subclasses: Iterable[type[torch.nn.Module]] = ()) -> _Module:
    """Makes every RNN, LSTM, GRU and cell of them of torch.nn inside a model elman's, in place.

    So it does with layers of other libraries that :func:`elman.register` knows. Parameters, hooks
    and everything else stay what they are. Other subclasses of torch.nn's layers are left alone,
    since they may compute something else, and so is what elman has no layer for:
    :func:`elman.explain` names both. Doing it twice does nothing more; :func:`restore` undoes it.

    Args:
        module: the model, or a layer.
        subclasses: subclasses of torch.nn's layers that are taken as well: what they define runs
            as before, and where they call ``super().forward``, elman's runs. For those that only
            prepare arguments or results.

    Returns:
        The module that was given (another only if that itself is replaced, see
        :func:`elman.register`).

    Raises:
        TypeError: what is no module; ``subclasses`` that are none of torch.nn's layers.

    >>> import elman, torch
    >>> model = torch.nn.ModuleList([torch.nn.RNN(2, 4), torch.nn.Linear(4, 1)])
    >>> type(elman.accelerate(model)[0])
    <class 'elman.nn.rnn.RNN'>
    >>> type(elman.restore(model)[0])
    <class 'torch.nn.modules.rnn.RNN'>
    """
    _check_module("accelerate", module)
    picked = chosen(subclasses)
    meet()
    return _each(module, lambda part: _taken(part, picked), {})


def restore(module: _Module) -> _Module:
    """Makes every layer of elman inside a model what it was before, in place.

    Layers that were made as elman's become torch.nn's. A GRU with ``reset_after=False`` stays
    elman's: torch.nn has none; and so do modules around a cell.

    Returns:
        The module that was given, as from :func:`accelerate`.

    Raises:
        TypeError: what is no module.
    """
    _check_module("restore", module)
    return _each(module, _restored, {})


def _check_module(owner: str, module: Any) -> None:
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"{owner}: expected a torch.nn.Module, got {type(module).__name__}: give the module "
            "that it holds, or make it within elman.accelerated()"
        )


def chosen(subclasses: Iterable[type[torch.nn.Module]]) -> frozenset[type[torch.nn.Module]]:
    """The checked argument of :func:`accelerate`."""
    given: Any = [subclasses] if isinstance(subclasses, type) else subclasses
    picked: frozenset[type[torch.nn.Module]] = frozenset(given)
    for kind in picked:
        if not (isinstance(kind, type) and issubclass(kind, tuple(OURS))) or kind in OURS:
            names = ", ".join(theirs.__name__ for theirs in OURS)
            raise TypeError(
                f"accelerate: expected subclasses of torch.nn's {names}, got {kind!r}: "
                "elman.register takes layers of other kinds"
            )
    return picked


def refusal(module: torch.nn.Module) -> str:
    """Why :func:`accelerate` leaves a recurrent module alone, in words; empty if it takes it."""
    mine = type(module)
    if mine in OURS:
        size = 0 if mine is torch.nn.LSTM else getattr(module, "proj_size", 0)
        return f"only LSTM projects its state (proj_size={size})" if size else ""
    if (convert := conversion(mine)) is not None:
        found = answer(module, convert)
        return found if isinstance(found, str) else ""
    theirs = next(c for c in mine.__mro__ if c.__module__ == RNNBase.__module__)
    if theirs is mine:
        return f"elman has no {mine.__name__}"
    remedy = f"if it only calls super().forward, name it in subclasses=[{mine.__name__}]"
    if theirs not in OURS:
        remedy = "write its step as an elman.Cell"
    return (
        f"{mine.__name__} is a subclass of torch.nn.{theirs.__name__}, and may compute something "
        f"else: {remedy}"
    )


def takes(module: torch.nn.Module) -> bool:
    """Whether a module is of a kind that :func:`accelerate` asks about."""
    return isinstance(module, (RNNBase, RNNCellBase)) or conversion(type(module)) is not None


def changed_class(module: torch.nn.Module) -> bool:
    """Whether a module of another library has changed its class."""
    return _WAS in module.__dict__


def _taken(part: torch.nn.Module, picked: frozenset[type[torch.nn.Module]]) -> torch.nn.Module:
    """What a module becomes: itself, with another class or not, or another module."""
    kind = type(part)
    if kind in OURS:
        if not refusal(part):
            part.__class__ = OURS[kind]
    elif kind in picked:
        theirs = next(c for c in kind.__mro__ if c in OURS)
        _change(part, bridge(kind, OURS[theirs]))
    elif (convert := conversion(kind)) is not None:
        found = answer(part, convert)
        if isinstance(found, torch.nn.Module):
            replace(part, found, convert)
            return found
        if isinstance(found, type):
            _change(part, found)
    return part


def _change(part: torch.nn.Module, kind: Any) -> None:
    part.__dict__[_WAS] = type(part)
    part.__class__ = kind


def _restored(part: torch.nn.Module) -> torch.nn.Module:
    """What a module was before :func:`accelerate`."""
    if type(part) in _THEIRS and getattr(part, "reset_after", True):
        part.__class__ = _THEIRS[type(part)]
    elif _WAS in part.__dict__:
        part.__class__ = part.__dict__.pop(_WAS)
    return original_of(part) or part


def _each(
    module: Any, change: Callable[[torch.nn.Module], torch.nn.Module], done: dict[Any, Any]
) -> Any:
    """Changes a module and all below it, each once; returns what takes its place."""
    if id(module) in done:
        return done[id(module)]
    new = change(module)
    done[id(module)] = done[id(new)] = new
    if new is module:  # else it was made of elman's
        for name, child in [*module._modules.items()]:
            if child is not None and (found := _each(child, change, done)) is not child:
                module._modules[name] = found
    return new
