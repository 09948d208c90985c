"""Callbacks that accelerate what another library trains.

Each imports its library when it is asked for, and can be named where a callback is saved:

- ``elman.callbacks.AccelerateLightning`` for Lightning's ``Trainer``;
- ``elman.callbacks.AccelerateSkorch`` for skorch's nets.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lightning import AccelerateLightning as AccelerateLightning
    from .skorch import AccelerateSkorch as AccelerateSkorch

_HOMES = {"AccelerateLightning": ".lightning", "AccelerateSkorch": ".skorch"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
