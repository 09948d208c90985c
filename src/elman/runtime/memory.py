"""Scratch memory for one call of a kernel: uninitialised, aligned, freed with its owner.

A torch storage rather than a tensor: it comes from the same allocator for less (1.2 microseconds),
and neither a default device nor a dispatch mode nor `use_deterministic_algorithms` (which fills
every new tensor) has a say in it.
"""

from __future__ import annotations

import ctypes

import torch

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register

_poison = False


def scratch(nbytes: int) -> tuple[torch.UntypedStorage, int]:
    """A new block of `nbytes` bytes: its owner, and its address, a multiple of `ALIGNMENT`.

    The block lives as long as the owner: hold it until the kernel has returned.
    """
    owner = torch.UntypedStorage(nbytes + ALIGNMENT - 1)
    address = (owner.data_ptr() + ALIGNMENT - 1) & -ALIGNMENT
    if _poison:
        ctypes.memset(address, 0xFF, nbytes)
    return owner, address


def set_poison(on: bool) -> None:
    """Fill every later block with 0xFF, NaN in every float format: what is read unset shows."""
    global _poison
    _poison = on
