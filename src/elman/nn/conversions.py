"""The table of what :func:`elman.accelerate` takes beside torch.nn's own layers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.modules.rnn import RNNBase

from .cellmodule import CellModule
from .counterpart import Counterpart

#: Says what a module becomes, see :func:`register`.
Convert = Callable[[Any], Any]

#: What to do once a library has been imported, by the module that shows it.
_WHEN_IMPORTED: dict[str, Callable[[], Any]] = {}
_OURS = (Counterpart, CellModule)
_BY_CLASS: dict[type[torch.nn.Module], Convert | None] = {}
_BY_NAME: dict[str, Convert | None] = {}  # of classes that need not have been imported


def register(their_class: type[torch.nn.Module] | str, convert: Convert | None) -> None:
    """Has :func:`elman.accelerate` take a class of layers that is neither's.

    Modules of exactly this class are given to ``convert``, which answers one of

    - **a subclass of their class**: the module changes to it in place, as torch.nn's layers do.
      It keeps its parameters, so optimizers and checkpoints go on;
    - **another module**, which takes the same calls. It takes the module's place in its parents
      (in none that is no ``torch.nn.Module``), with its hooks of forward and backward calls and
      its ``requires_grad``; hooks of state dicts, and of modules inside it, stay behind. Where it
      has parameters of its own, these have the dtype and the device of the module's, and an
      optimizer has to be made afterwards. :func:`elman.restore` puts the original back and copies
      the weights to it, so each of them has to stand in the new module as it is, wherever;
    - None, or a sentence that says why, to leave the module alone.

    Args:
        their_class: the class, or its full name, which is looked up without an import. What is
            registered later for the same class counts.
        convert: the function; or None, to leave the class alone from now on.

    Raises:
        TypeError: a class that is no module's, or a function that cannot be called.
        ValueError: a class that is torch.nn's or elman's own.

    The guide is docs/libraries.md.

    >>> import elman, torch
    >>> class MyRNN(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.w, self.u = torch.nn.Linear(2, 4), torch.nn.Linear(4, 4)
    ...     def forward(self, x):
    ...         h, outputs = x.new_zeros(x.shape[1], 4), []
    ...         for x_t in x:
    ...             h = torch.tanh(self.w(x_t) + self.u(h))
    ...             outputs.append(h)
    ...         return torch.stack(outputs), h[None]
    >>> def convert(mine):
    ...     layer = elman.RNN(2, 4)
    ...     layer.weight_ih_l0, layer.bias_ih_l0 = mine.w.weight, mine.w.bias
    ...     layer.weight_hh_l0, layer.bias_hh_l0 = mine.u.weight, mine.u.bias
    ...     return layer
    >>> elman.register(MyRNN, convert)
    >>> model = elman.accelerate(torch.nn.Sequential(MyRNN()))
    >>> type(model[0]).__name__, type(elman.restore(model)[0]).__name__
    ('RNN', 'MyRNN')
    """
    if convert is not None and not callable(convert):
        raise TypeError(f"register: expected convert to be a function of a module, got {convert!r}")
    if isinstance(their_class, str):
        _BY_NAME[their_class] = convert
        return
    if not (isinstance(their_class, type) and issubclass(their_class, torch.nn.Module)):
        raise TypeError(
            "register: expected a subclass of torch.nn.Module, or the full name of one, got "
            f"{their_class!r}"
        )
    if their_class.__module__ == RNNBase.__module__ or issubclass(their_class, _OURS):
        raise ValueError(
            f"register: expected another library's class, got {their_class}, which "
            "elman.accelerate knows"
        )
    _BY_CLASS[their_class] = convert


def when_imported(name: str, act: Callable[[], Any]) -> None:
    """Has :func:`meet` call a function if it finds a library imported."""
    _WHEN_IMPORTED[name] = act


def meet() -> None:
    """Does what is to be done once for libraries that have been imported by now."""
    for name in [*_WHEN_IMPORTED]:
        if name in sys.modules:
            _WHEN_IMPORTED.pop(name)()


def conversion(of: type) -> Convert | None:
    """What is registered for a class; None if nothing is."""
    if of in _BY_CLASS:
        return _BY_CLASS[of]
    return _BY_NAME.get(f"{of.__module__}.{of.__qualname__}")


def imported() -> list[type]:
    """The classes that something is registered for, as far as they have been imported."""
    found: list[type] = [*_BY_CLASS]
    for name in _BY_NAME:
        home, _, kind = name.rpartition(".")
        held = getattr(sys.modules.get(home), kind, None)
        found += [held] if isinstance(held, type) else []
    return found


def answer(module: torch.nn.Module, convert: Convert) -> type | torch.nn.Module | str:
    """What a module becomes: a subclass of its class, another module; or why it is left alone.

    Raises:
        RuntimeError: if the conversion raises.
        TypeError: an answer that is none of these.
    """
    kind = type(module)
    try:
        given = convert(module)
    except Exception as error:
        raise RuntimeError(
            f"the conversion that is registered for {kind.__name__} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    if given is None:
        return f"the conversion that is registered for {kind.__name__} leaves it"
    if isinstance(given, str):
        return given
    if isinstance(given, type) and issubclass(given, kind) and given is not kind:
        return given
    if isinstance(given, torch.nn.Module) and given is not module:
        return given
    raise TypeError(
        f"the conversion that is registered for {kind.__name__} has to return a subclass of it, "
        f"another module, None or a sentence, got {given!r}"
    )
