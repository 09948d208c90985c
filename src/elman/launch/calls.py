"""Passes that one call runs, as Python calls them: through ``compiler/native.py``."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from functools import cache

from torch import Tensor

from ..compiler import isa, native
from ..compiler.jit import Code, Source, load
from ..compiler.native import LAST
from ..compiler.objects import LOCK
from ..compiler.routine import FIRST
from ..runtime.memory import scratch
from ..runtime.threads import avoid_threads, parallel_address, record_lateness
from .table import Launch

_FASTCALL = 0x80  # METH_FASTCALL: the arguments come as an array


class NativeCall:
    """Passes that one call runs one after another, those without scratch memory of their own all
    in the same.

    Each comes with the places of its tensors among those of the call.
    """

    def __init__(self, passes: Sequence[tuple[Launch, Sequence[int]]]) -> None:
        runs = self._runs = [run for run, _ in passes]  # which keep what their tables point to
        self._bytes = max(0 if run.scratch else run.nbytes for run in runs)
        self._parallel = any(run.threads > 1 for run in runs)
        self._work = sum(run.work for run in runs)
        numbers = sum(FIRST + len(run.numbers) + LAST for run in runs)
        self._functions = Tensor.data_ptr, check_memory  # native code has their addresses
        own = array("q", [*map(id, self._functions), len(runs), numbers])
        for run, places in passes:
            late, count = 8 * run.at["late"], len(run.numbers)
            own.extend((run.code.address, run.address, run.scratch, run.threads, late, count))
            own.extend(places[number] for number in run.numbers)
        self._call = _function(own)

    def run(self, tensors: list[Tensor | None]) -> None:
        """Runs the passes. RuntimeError for a tensor without memory. (As ``__call__`` it would take
        longer.)"""
        owner, place = scratch(self._bytes) if self._bytes else (None, 0)
        if self._parallel:
            # Nobody lends threads where the caller works alone, as it has to in a forked child.
            parallel = 0 if avoid_threads(self._work) else parallel_address()
            late = self._call(tensors, place, parallel)
            if parallel:
                record_lateness(late, self._work)
        else:
            self._call(tensors, place, 0)
        del owner  # until here the code used it


def check_memory(tensor: Tensor) -> None:
    """RuntimeError for a tensor that has elements, but no memory."""
    if tensor.numel() and not tensor.data_ptr():
        raise RuntimeError(
            f"expected a tensor of shape {tuple(tensor.shape)} to have memory, got one whose "
            "storage has been freed, or that never had any: give it memory before the call"
        )


_NEW = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)


class _Definition(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@cache
def _definition() -> tuple[_Definition, Code]:
    python = ctypes.pythonapi
    addresses = {
        name: ctypes.cast(getattr(python, name), ctypes.c_void_p).value or 0
        for name in native.INTERFACE
    }
    row = isa.of_this_kind()[-1]  # no vectors: the row that every processor can run
    ((code, _),) = load(Source("call", row, "elman_call", native.emit, addresses))
    return _Definition(b"run", code.address, _FASTCALL, None), code


def _function(own: array[int]) -> Callable[[list[Tensor | None], int, int], bool]:
    """A function ``run(tensors, scratch, parallel)`` that owns these numbers: runs the passes, and
    says whether a thread came late. ``parallel`` lends threads; 0 if there is the caller's only."""
    with LOCK:  # a cached function alone would let two threads make one each, and drop the first
        definition, _ = _definition()
    new = _NEW(("PyCFunction_NewEx", ctypes.pythonapi))
    made: Callable[[list[Tensor | None], int, int], bool] = new(
        ctypes.addressof(definition), own.tobytes(), None
    )
    return made
