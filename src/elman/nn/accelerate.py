"""The layers of an existing model, turned into elman's and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from .bridge import bridge
from .conversions import answer, conversion, meet
from .counterpart import alike, plain
from .freeze import freeze_all
from .gru import GRU, GRUCell
from .lstm import LSTM, LSTMCell
from .messages import check_module
from .replaced import fit, original_of, replace, replacement, stands_in
from .rnn import RNN, RNNCell

#: By torch's class, elman's. They have the same attributes, so a module changes by its class.
OURS: dict[type[torch.nn.Module], type[torch.nn.Module]] = {
    ours._counterpart: ours for ours in (RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell)
}
_THEIRS = {ours: theirs for theirs, ours in OURS.items()}
_WAS = "_elman_was"  # of a module of another library that changed its class: the class before

_Module = TypeVar("_Module", bound=torch.nn.Module)
_Becomes = type | torch.nn.Module | str


def accelerate(
    module: _Module,
    *,
    subclasses: Iterable[type[torch.nn.Module]] = (),
    freeze: bool = False,
) -> _Module:
    """Makes every RNN, LSTM, GRU and cell of them of torch.nn inside a model elman's, in place.

    So it does with layers of other libraries that :func:`elman.register` knows. Parameters, hooks
    and everything else stay what they are (of what a registered conversion replaces by another
    module, see there). Other subclasses of torch.nn's layers are left alone, since they may
    compute something else, and so is what elman has no layer for: :func:`elman.explain` names
    both. Those of ``torch.nn.utils.parametrize`` are taken. Doing it twice does nothing more;
    :func:`restore` undoes it. If it raises, nothing has changed.

    Args:
        module: the model, or a layer.
        subclasses: subclasses of torch.nn's layers that are taken as well: what they define runs
            as before, and where they call ``super().forward``, elman's runs. For those that only
            prepare arguments or results.
        freeze: whether weights stay packed between calls for inference, see :func:`elman.freeze`.

    Returns:
        The module that was given (another only if that itself is replaced, see
        :func:`elman.register`).

    Raises:
        TypeError: what is no module; ``subclasses`` that are none of torch.nn's layers; a
            conversion's answer of a wrong type.
        RuntimeError: a registered conversion that raises.
        ValueError: a conversion whose module cannot take the other's place.

    The guide is docs/libraries.md.

    >>> import elman, torch
    >>> model = torch.nn.ModuleList([torch.nn.RNN(2, 4), torch.nn.Linear(4, 1)])
    >>> type(elman.accelerate(model)[0])
    <class 'elman.nn.rnn.RNN'>
    >>> type(elman.restore(model)[0])
    <class 'torch.nn.modules.rnn.RNN'>
    """
    check_module("accelerate", module)
    picked = chosen(subclasses)
    meet()
    becomes: dict[int, _Becomes | None] = {}
    _plan(module, "", picked, becomes)
    made: _Module = _each(module, lambda part: _taken(part, becomes.get(id(part))), {})
    if freeze:
        freeze_all(made)
    return made


def restore(module: _Module) -> _Module:
    """Makes every layer of elman inside a model what it was before, in place.

    Layers that were made as elman's become torch.nn's. A GRU with ``reset_after=False`` stays
    elman's: torch.nn has none; and so do modules around a cell. No layer is frozen any more.

    Args:
        module: a model, or one layer.

    Returns:
        The module that was given, as from :func:`accelerate`.

    Raises:
        TypeError: what is no module.

    >>> import elman, torch
    >>> elman.restore(elman.accelerate(torch.nn.GRU(2, 4)))
    GRU(2, 4)
    """
    check_module("restore", module)
    return _each(module, _restored, {})


def chosen(subclasses: Iterable[type[torch.nn.Module]]) -> frozenset[type[torch.nn.Module]]:
    """The checked argument of :func:`accelerate`."""
    one = isinstance(subclasses, (type, str)) or not isinstance(subclasses, Iterable)
    picked: list[Any] = [subclasses] if one else [*subclasses]
    for kind in picked:
        if not (isinstance(kind, type) and issubclass(kind, tuple(OURS))) or kind in OURS:
            names = ", ".join(theirs.__name__ for theirs in OURS)
            raise TypeError(
                f"accelerate: expected subclasses of torch.nn's {names}, got {kind!r}: "
                "elman.register takes layers of other kinds"
            )
    return frozenset(picked)


def refusal(module: torch.nn.Module) -> str:
    """Why :func:`accelerate` leaves a recurrent module alone, in words; empty if it takes it.

    Raises:
        RuntimeError, TypeError, ValueError: as :func:`accelerate` does at this module.
    """
    found = _becoming(module, frozenset())
    if found is not None:
        return found if isinstance(found, str) else ""
    mine = plain(type(module))
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
    return isinstance(module, (RNNBase, RNNCellBase)) or conversion(plain(type(module))) is not None


def changed_class(module: torch.nn.Module) -> bool:
    """Whether a module of another library has changed its class."""
    return _WAS in module.__dict__


def _becoming(module: torch.nn.Module, picked: frozenset[type[torch.nn.Module]]) -> _Becomes | None:
    """What a module becomes, or why it stays; None if nothing is known of its class."""
    kind: Any = type(module)
    mine: Any = plain(kind)
    if mine in OURS:
        size = 0 if mine is torch.nn.LSTM else getattr(module, "proj_size", 0)
        if size:
            return f"only LSTM projects its state (proj_size={size})"
        return alike(kind, OURS[mine])
    if mine in picked:
        theirs = next(c for c in mine.__mro__ if c in OURS)
        return alike(kind, bridge(mine, OURS[theirs]))
    if (convert := conversion(mine)) is None:
        return None
    if mine is not kind:
        return "it is parametrized: call elman.accelerate first, and parametrize what is there then"
    if (known := replacement(module, convert)) is not None:
        return known
    found = answer(module, convert)
    if isinstance(found, torch.nn.Module):
        fit(module, found, convert)
    return found


def _plan(
    module: torch.nn.Module,
    name: str,
    picked: frozenset[type[torch.nn.Module]],
    becomes: dict[int, _Becomes | None],
) -> None:
    """Finds out what a module and all below it become, by their ids, and changes nothing."""
    if id(module) in becomes or stands_in(module):
        return
    try:
        found = becomes[id(module)] = _becoming(module, picked)
    except (RuntimeError, TypeError, ValueError) as error:
        raised = next(c for c in (TypeError, ValueError, RuntimeError) if isinstance(error, c))
        raise raised(
            f"accelerate: {name or 'the module itself'}: {error} (nothing has been changed)"
        ) from error
    if not isinstance(found, torch.nn.Module):  # else it was made of elman's
        for child_name, child in module._modules.items():
            if child is not None:
                _plan(child, f"{name}.{child_name}".lstrip("."), picked, becomes)


def _taken(part: torch.nn.Module, becomes: _Becomes | None) -> torch.nn.Module:
    """What a module is after :func:`accelerate`: itself, of another class or not, or another."""
    if isinstance(becomes, torch.nn.Module):
        replace(part, becomes, conversion(type(part)))
        return becomes
    if isinstance(becomes, type):
        mine = plain(type(part))
        if mine not in OURS:
            part.__dict__[_WAS] = mine
        part.__class__ = becomes
    return part


def _restored(part: torch.nn.Module) -> torch.nn.Module:
    """What a module was before :func:`accelerate`."""
    mine: Any = plain(type(part))
    was: Any = part.__dict__.pop(_WAS, None)
    part.__dict__.pop("_repeat", None)  # frozen
    if mine in _THEIRS and getattr(part, "reset_after", True):
        was = _THEIRS[mine]
    if was is not None:
        part.__class__ = alike(type(part), was)
    return original_of(part) or part


def _each(
    module: Any, change: Callable[[torch.nn.Module], torch.nn.Module], done: dict[Any, Any]
) -> Any:
    """Changes a module and all below it, each once; returns what takes its place."""
    if id(module) in done:
        return done[id(module)]
    new = change(module)
    done[id(module)] = done[id(new)] = new
    if new is module and not stands_in(module):  # what does was made of elman's
        for name, child in [*module._modules.items()]:
            if child is not None and (found := _each(child, change, done)) is not child:
                module._modules[name] = found
    return new
