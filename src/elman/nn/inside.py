"""Models that are built, loaded or copied within a ``with`` statement become elman's."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch.nn.modules.module import register_module_module_registration_hook

from .accelerate import OURS, accelerate, chosen
from .conversions import imported

_busy = threading.local()
_lock = threading.Lock()
#: Of every open context of the process, the subclasses that it takes. torch.nn is followed from the
#: first one that opens to the last one that closes, in whatever order.
_open: list[frozenset[type[torch.nn.Module]]] = []
_known: set[type[torch.nn.Module]] = set()  # the classes whose constructors are followed
_ends = contextlib.ExitStack()  # follows no more


@contextlib.contextmanager
def accelerated(subclasses: Iterable[type[torch.nn.Module]] = ()) -> Iterator[None]:
    """Within the context, layers that are made, unpickled or copied become elman's.

    For models that are built out of reach, as in an estimator's ``fit``, and for those that are
    loaded. A module that exists already becomes elman's, too, in place, where it is assigned to an
    attribute of another, or where ``copy.copy`` makes a second owner of its layers; elsewhere it
    stays what it is. Where the context is left, nothing more changes by itself; what has become
    elman's stays that. Contexts may overlap: each holds for all threads of the process, and
    torch.nn is as before when the last one is left.

    Args:
        subclasses: as in :func:`elman.accelerate`.

    Raises:
        TypeError: ``subclasses`` that are none of torch.nn's layers.

    The guide is docs/libraries.md.

    >>> import elman, torch
    >>> with elman.accelerated():
    ...     model = torch.nn.ModuleList([torch.nn.GRU(2, 4), torch.nn.Linear(4, 1)])
    >>> type(model[0])
    <class 'elman.nn.gru.GRU'>
    """
    picked = chosen(subclasses)
    with _lock:
        _open.append(picked)
    try:
        with _lock:
            _follow()
        yield
    finally:
        with _lock:
            _open.remove(picked)  # or another that takes the same
            if not _open:
                _ends.close()
                _known.clear()


def _follow() -> None:
    """Follows torch.nn, and layers that have been imported since it is followed."""
    if not _known:
        hook = register_module_module_registration_hook(_assigned)  # type: ignore[arg-type]
        _ends.callback(hook.remove)
        _ends.enter_context(_followed(torch.nn.Module, "__setstate__", _take))
    for layer in {*OURS, *imported()} - _known:  # those that no other module gets hold of
        _ends.enter_context(_followed(layer, "__init__", _made))
        _known.add(layer)


def _take(module: Any) -> Any:
    """What a module becomes now."""
    if not _open or getattr(_busy, "now", False):  # a conversion makes and copies modules
        return module
    _busy.now = True
    try:
        return accelerate(module, subclasses=frozenset().union(*_open))
    finally:
        _busy.now = False


def _made(module: Any) -> None:
    kind = type(module)
    if kind in _known or any(kind in picked for picked in _open):
        _take(module)


def _assigned(_: Any, __: str, child: torch.nn.Module | None) -> torch.nn.Module | None:
    return None if child is None else _take(child)


@contextlib.contextmanager
def _followed(owner: type, name: str, after: Callable[[Any], None]) -> Iterator[None]:
    """Within the context, a method of a class calls a function with its module at the end."""
    method: Any = getattr(owner, name)
    own = name in vars(owner)

    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        method(self, *args, **kwargs)
        after(self)

    setattr(owner, name, wrapper)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, method)
        else:
            delattr(owner, name)
