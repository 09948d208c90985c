"""Memory of large tensors, which the next call gets again when nobody holds it any more.

The C library gives large blocks back to the system when they are freed. So each call would get new
ones, and each page of them costs a fault when it is touched first. In pages of 4 KiB that is 0.4
nanoseconds a byte, about what it takes to write it; in huge pages it is a tenth of that. But the
system may have to make room for a huge page first, which takes milliseconds.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import memory
from .memory import LARGE, advise

KEPT = 512 << 20  # bytes of all blocks that are known here, at most


class _Block(NamedTuple):
    """Memory that a tensor was given once; ``tensor`` is a second one on the same memory."""

    form: tuple[Any, ...]
    tensor: Tensor
    address: int

    def in_place(self) -> bool:
        """Whether the memory is what it was: a storage that is resized or shared with other
        processes, which may hold it for longer, has moved."""
        storage = self.tensor.untyped_storage()
        return storage.data_ptr() == self.address and storage.nbytes() == self.tensor.nbytes

    def unused(self) -> bool:
        """Whether it is in place, and nobody else holds it."""
        return self.in_place() and _holders(self.tensor) == _nobody()


_blocks: list[_Block] = []  # the last used one is the last
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit it from a thread it hasn't got
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


def reuse(tensor: Tensor) -> Tensor:
    """The new tensor, whose memory is about to be written. If it is large, it gets that of an
    earlier tensor of its form which nobody holds any more, or else huge pages.

    Where there is none, all that nobody holds is freed first, and what has moved is forgotten. So
    no more is kept than was once in use at the same time, and at most `KEPT` bytes.
    """
    if tensor.nbytes < LARGE:
        return tensor
    form = tensor.shape, tensor.stride(), tensor.dtype, tensor.is_inference()
    with _lock:
        # What runs in between, such as a handler of signals, finds no block to take.
        known, _blocks[:] = _blocks[:], []
        block = next((one for one in known if one.form == form and one.unused()), None)
        if block is None:
            known = [one for one in known if one.in_place() and not one.unused()]
            block = _Block(form, fresh(tensor).data, tensor.data_ptr())
        else:
            known = [one for one in known if one is not block]
            tensor.data = block.tensor
        _blocks.extend([*known, block])
        while sum(each.tensor.nbytes for each in _blocks) > KEPT:
            del _blocks[0]
    if memory.poisoned():
        ctypes.memset(tensor.data_ptr(), 0xFF, tensor.nbytes)
    return tensor


def fresh(tensor: Tensor) -> Tensor:
    """The new tensor, whose memory is about to be written: in huge pages, if it is large."""
    if tensor.nbytes >= LARGE:
        advise(tensor.data_ptr(), tensor.nbytes)
    return tensor


def let_go() -> None:
    """Frees what nobody holds, and keeps nothing of what somebody does."""
    with _lock:
        _blocks.clear()


def _holders(tensor: Tensor) -> tuple[int, int]:
    """How often PyTorch refers to a tensor's memory, and how often Python does; here, too."""
    storage = tensor.untyped_storage()
    return torch._C._storage_Use_Count(storage._cdata), sys.getrefcount(storage)


@functools.cache
def _nobody() -> tuple[int, int]:
    """The holders of memory that nobody has but one tensor."""
    return _holders(torch.empty(1, device="cpu"))
