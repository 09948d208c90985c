"""Threads that come too late."""

import ctypes
from typing import Any

import pytest

from elman.launch import calls


def come_late(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces the runtime by one whose other threads begin when the caller has finished; returns
    how many threads each region has had, which grows."""
    counts: list[int] = []

    def run(function: Any, data: int, count: int, flags: int) -> None:
        counts.append(count)
        for _ in range(count):
            function(data)

    worker = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    region = ctypes.CFUNCTYPE(None, worker, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)(run)
    monkeypatch.setattr(
        calls, "parallel_address", lambda: ctypes.cast(region, ctypes.c_void_p).value
    )
    return counts
