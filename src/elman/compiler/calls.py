"""How Python calls passes: through a function of its own kind, made of machine code.

``ctypes`` would take a microsecond longer, as much as all else that a small call does in native
code. The function is one for all passes, and calls nothing but Python's C interface.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from functools import cache

from torch import Tensor

from ..runtime.memory import scratch
from ..runtime.threads import alone, came, parallel_address
from . import isa
from .ir import Function, Int, Module
from .jit import LOCK, Code, load
from .table import FIRST, SCRATCH, Prepared

_FASTCALL = 0x80  # METH_FASTCALL: the arguments come as an array
#: What is used of Python's C interface, of which all versions have these.
_INTERFACE = {
    "PyBytes_AsString": "ptr @PyBytes_AsString(ptr)",
    "PyBool_FromLong": "ptr @PyBool_FromLong(i64)",
    "PyList_GetItem": "ptr @PyList_GetItem(ptr, i64)",
    "PyLong_AsLongLong": "i64 @PyLong_AsLongLong(ptr)",
    "PyObject_CallFunctionObjArgs": "ptr @PyObject_CallFunctionObjArgs(ptr, ...)",
    "Py_DecRef": "void @Py_DecRef(ptr)",
    "PyEval_SaveThread": "ptr @PyEval_SaveThread()",
    "PyEval_RestoreThread": "void @PyEval_RestoreThread(ptr)",
}
#: What a function owns: two functions of Python, how many passes there are and numbers for all;
_OWN = ("data_ptr", "check_memory", "passes", "numbers")
#: then of each pass its code, its table, its own scratch memory or 0, its threads, where its table
#: says that one came late, and how many tensors it takes, then their places in the list of tensors.
_EACH = ("code", "table", "scratch", "threads", "late", "count")
_LAST = 2  # of a pass's numbers: how many threads it gets, and what lends them


class Calls:
    """Passes that one call runs one after another, those without scratch memory of their own all
    in the same.

    Each comes with the places of its tensors among those of the call.
    """

    def __init__(self, passes: Sequence[tuple[Prepared, Sequence[int]]]) -> None:
        runs = self._runs = [run for run, _ in passes]  # which keep what their tables point to
        self._bytes = max(0 if run.scratch else run.nbytes for run in runs)
        self._parallel = any(run.threads > 1 for run in runs)
        self._work = sum(run.work for run in runs)
        numbers = sum(FIRST + len(run.numbers) + _LAST for run in runs)
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
            parallel = _lender(self._work)
            late = self._call(tensors, place, parallel)
            if parallel:
                came(late, self._work)
        else:
            self._call(tensors, place, 0)
        del owner  # until here the code used it


def _lender(work: float) -> int:
    """The address of what lends threads to so much work; 0 if the caller does it alone, as it has
    to in a forked child."""
    return 0 if alone(work) else parallel_address()


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
        name: ctypes.cast(getattr(python, name), ctypes.c_void_p).value or 0 for name in _INTERFACE
    }
    row = isa.of_this_kind()[-1]  # no vectors: the row that every processor can run
    code, _ = load("call", row, "elman_call", _emit, addresses)
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


def _emit() -> Module:
    """``elman_call(self, arguments, count)``: first the numbers of all passes, which takes Python's
    lock, then the passes without it. NULL after an exception, as ever in that interface."""
    module = Module()
    for declaration in _INTERFACE.values():
        module.declare(declaration)
    parameters = [("ptr", "self"), ("ptr", "arguments"), ("i64", "count")]
    f = Function(module, "elman_call", parameters, public=True, returns="ptr")

    def call(name: str, *arguments: str) -> str:
        kind = _INTERFACE[name].split()[0]
        return f.op(f"call {kind} @{name}({', '.join(arguments)})")

    def stop_if(condition: str) -> None:
        with f.when(condition):
            f.do("ret ptr null")
            f.label(f.name("never"))

    own = call("PyBytes_AsString", "ptr %self")
    data_ptr, check, passes, most = (
        f.load(kind, own, i) for i, kind in enumerate(("ptr", "ptr", "i64", "i64"))
    )
    tensors = f.load("ptr", "%arguments", 0)
    place, parallel = (
        call("PyLong_AsLongLong", f"ptr {f.load('ptr', '%arguments', i)}") for i in (1, 2)
    )
    numbers = f.op(f"alloca i64, i64 {most}")

    def ask(function: str, tensor: str) -> str:
        given = f"ptr {function}, ptr {tensor}, ptr null"
        answer = f.op(f"call ptr (ptr, ...) @PyObject_CallFunctionObjArgs({given})")
        stop_if(f.op(f"icmp eq ptr {answer}, null"))
        return answer

    def each(turn: Callable[[str, str, str], str]) -> str:
        """For each pass its own numbers, those it is called with, and what the last turn gave."""

        def turn_in(_: Int, state: list[str]) -> list[str]:
            mine, given, last = state
            result, count = turn(mine, given, last), f.load("i64", mine, _EACH.index("count"))
            mine = f.gep("i64", f.gep("i64", mine, len(_EACH)), count)
            return [mine, f.gep("i64", f.gep("i64", given, FIRST + _LAST), count), result]

        begun = [f.gep("i64", own, len(_OWN)), numbers, "0"]
        return f.carry((0, passes), ["ptr", "ptr", "i64"], begun, turn_in)[-1]

    def gather(mine: str, given: str, _: str) -> str:
        _, table, kept, threads, _, count = (f.load("i64", mine, i) for i in range(len(_EACH)))
        f.store("i64", table, given)
        memory = f.select(f.compare("eq", kept, 0), place, kept)
        f.store("i64", memory, f.gep("i64", given, SCRATCH))
        behind = f.gep("i64", given, FIRST)
        with f.loop(0, count) as i:
            index = f.load("i64", f.gep("i64", mine, len(_EACH)), i)
            tensor = call("PyList_GetItem", f"ptr {tensors}", f"i64 {index}")
            stop_if(f.op(f"icmp eq ptr {tensor}, null"))
            answer = ask(data_ptr, tensor)
            address = call("PyLong_AsLongLong", f"ptr {answer}")
            f.do(f"call void @Py_DecRef(ptr {answer})")
            f.store("i64", address, f.gep("i64", behind, i))
            stop_if(f.compare("eq", address, -1))
            with f.when(f.compare("eq", address, 0)):
                f.do(f"call void @Py_DecRef(ptr {ask(check, tensor)})")
        behind = f.gep("i64", behind, count)
        f.store("i64", f.select(f.compare("eq", parallel, 0), 1, threads), behind)
        f.store("i64", parallel, f.gep("i64", behind, 1))
        return "0"

    def run(mine: str, given: str, before: str) -> str:
        last = f.gep("i64", f.gep("i64", given, FIRST), f.load("i64", mine, _EACH.index("count")))
        with f.when(f.compare("ne", before, 0)):  # who was late in one pass would be in the next
            f.store("i64", 1, last)
        f.do(f"call void {f.load('ptr', mine, _EACH.index('code'))}(ptr {given})")
        table = f.load("ptr", given, SCRATCH)  # where the pass has left it
        late = f.gep("i8", table, f.load("i64", mine, _EACH.index("late")))
        return f.op(f"or i64 {before}, {f.load('i64', late)}")

    each(gather)
    thread = call("PyEval_SaveThread")
    late = each(run)
    f.do(f"call void @PyEval_RestoreThread(ptr {thread})")
    f.result = call("PyBool_FromLong", f"i64 {late}")
    return module
