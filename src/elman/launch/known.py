"""A cache of what is ready to be called."""

from __future__ import annotations

from typing import Any, TypeVar

_LIMIT = 64  # each has a table of about a kilobyte
_T = TypeVar("_T")


class Known:
    """Passes that are ready, by what they depend on. When there are too many, all go."""

    def __init__(self) -> None:
        self._ready: dict[Any, Any] = {}
        self.find = self._ready.get

    def keep(self, key: Any, ready: _T) -> _T:
        if len(self._ready) >= _LIMIT:
            self._ready.clear()
        self._ready[key] = ready
        return ready

    def __len__(self) -> int:
        return len(self._ready)
