"""Scratch memory for one call of a kernel: uninitialised, aligned, freed with its owner.

Small blocks are lent from one block that each thread keeps: a thread runs one kernel at a time, and
nothing of a call is in there before or after it.

A torch storage rather than a tensor: it comes from the same allocator for less (1.2 microseconds),
and neither a default device nor a dispatch mode nor `use_deterministic_algorithms` (which fills
every new tensor) has a say in it.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from collections.abc import Callable

import torch

from .alignment import ALIGNMENT

SMALL = 64 << 10  # bytes that a thread keeps
LARGE = 4 << 20  # bytes from which on memory is asked for in huge pages

_HUGE_PAGE = 2 << 20
_MADV_HUGEPAGE = 14

_poison = False
_local = threading.local()


def scratch(nbytes: int) -> tuple[torch.UntypedStorage, int]:
    """A new block of `nbytes` bytes: its owner, and its address, a multiple of `ALIGNMENT`.

    The block lives as long as the owner: hold it until the kernel has returned. A block of at most
    `SMALL` bytes is this thread's own, and the next call gives it again.
    """
    if nbytes <= SMALL:
        try:
            owner, address = _local.block
        except AttributeError:
            owner, address = _local.block = new_block(SMALL)
        if _poison:
            ctypes.memset(address, 0xFF, nbytes)
    else:
        owner, address = new_block(nbytes)
    return owner, address


def new_block(nbytes: int) -> tuple[torch.UntypedStorage, int]:
    """A block that is its owner's alone, and its address."""
    owner = torch.UntypedStorage(nbytes + ALIGNMENT - 1)
    address = (owner.data_ptr() + ALIGNMENT - 1) & -ALIGNMENT
    if nbytes >= LARGE:
        advise(address, nbytes)
    if _poison:
        ctypes.memset(address, 0xFF, nbytes)
    return owner, address


def advise(address: int, nbytes: int) -> None:
    """Asks the system for huge pages in memory that is about to be touched first."""
    madvise = _madvise()
    first, end = -(-address // _HUGE_PAGE), (address + nbytes) // _HUGE_PAGE
    if madvise is not None and end > first:
        madvise(first * _HUGE_PAGE, (end - first) * _HUGE_PAGE, _MADV_HUGEPAGE)


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    """The system's function, where there are huge pages to ask for."""
    if not sys.platform.startswith("linux"):
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return function


def set_poison(on: bool) -> None:
    """Fill every later block with 0xFF, NaN in every float format: what is read unset shows."""
    global _poison
    _poison = on


def poisoned() -> bool:
    """Whether memory that is about to be written is filled with NaN."""
    return _poison
