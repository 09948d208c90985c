"""A cache with a limit."""

from __future__ import annotations

from typing import TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class BoundedCache(dict[_K, _V]):
    """A dict of what is expensive to make again. When there is too much, all goes."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def keep(self, key: _K, value: _V) -> _V:
        """Stores the value, and returns it."""
        if len(self) >= self.limit:
            self.clear()
        self[key] = value
        return value
