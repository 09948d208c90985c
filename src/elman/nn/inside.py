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


@contextlib.contextmanager
def accelerated(subclasses: Iterable[type[torch.nn.Module]] = ()) -> Iterator[None]:
    """Within the context, layers that are made, unpickled or copied become elman's.

    For models that are built out of reach, as in an estimator's ``fit``, and for those that are
    loaded. Modules that exist already stay what they are. Where it is left, nothing more changes
    by itself; what has become elman's stays that. It holds for all threads of the process.

    Args:
        subclasses: as in :func:`elman.accelerate`.

    Raises:
        TypeError: ``subclasses`` that are none of torch.nn's layers.

    >>> import elman, torch
    >>> with elman.accelerated():
    ...     model = torch.nn.ModuleList([torch.nn.GRU(2, 4), torch.nn.Linear(4, 1)])
    >>> type(model[0])
    <class 'elman.nn.gru.GRU'>
    """
    picked = chosen(subclasses)

    def take(module: Any) -> Any:
        if getattr(_busy, "now", False):  # a conversion makes and copies modules
            return module
        _busy.now = True
        try:
            return accelerate(module, subclasses=picked)
        finally:
            _busy.now = False

    known = {*OURS, *imported()}

    def made(module: Any) -> None:
        if type(module) in known or type(module) in picked:
            take(module)

    def assigned(_: Any, __: str, child: torch.nn.Module | None) -> torch.nn.Module | None:
        return None if child is None else take(child)

    with contextlib.ExitStack() as stack:
        hook = register_module_module_registration_hook(assigned)  # type: ignore[arg-type]
        stack.callback(hook.remove)
        for layer in known:  # those that no other module gets hold of
            stack.enter_context(_followed(layer, "__init__", made))
        stack.enter_context(_followed(torch.nn.Module, "__setstate__", take))
        yield


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
