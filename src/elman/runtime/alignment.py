"""How everything in scratch memory is aligned."""

from __future__ import annotations

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


def aligned(nbytes: int) -> int:
    """So many bytes, and what is missing to the next multiple."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
