"""The function that runs passes when Python calls it: of a kind of Python's own, in machine code.

``ctypes`` would take a microsecond longer, as much as all else that a small call does in native
code. The function is one for all passes, and calls nothing but Python's C interface.
"""

from __future__ import annotations

from collections.abc import Callable

from .ir import Function, Int, Module
from .routine import FIRST, SCRATCH

#: What is used of Python's C interface, of which all versions have these.
INTERFACE = {
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
OWN = ("data_ptr", "check_memory", "passes", "numbers")
#: then of each pass its code, its table, its own scratch memory or 0, its threads, where its table
#: says that one came late, and how many tensors it takes, then their places in the list of tensors.
EACH = ("code", "table", "scratch", "threads", "late", "count")
LAST = 2  # of a pass's numbers: how many threads it gets, and what lends them


def emit() -> Module:
    """``elman_call(self, arguments, count)``: first the numbers of all passes, which takes Python's
    lock, then the passes without it. NULL after an exception, as ever in that interface."""
    module = Module()
    for declaration in INTERFACE.values():
        module.declare(declaration)
    parameters = [("ptr", "self"), ("ptr", "arguments"), ("i64", "count")]
    f = Function(module, "elman_call", parameters, public=True, returns="ptr")

    def call(name: str, *arguments: str) -> str:
        kind = INTERFACE[name].split()[0]
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
            result, count = turn(mine, given, last), f.load("i64", mine, EACH.index("count"))
            mine = f.gep("i64", f.gep("i64", mine, len(EACH)), count)
            return [mine, f.gep("i64", f.gep("i64", given, FIRST + LAST), count), result]

        begun = [f.gep("i64", own, len(OWN)), numbers, "0"]
        return f.carry((0, passes), ["ptr", "ptr", "i64"], begun, turn_in)[-1]

    def gather(mine: str, given: str, _: str) -> str:
        _, table, kept, threads, _, count = (f.load("i64", mine, i) for i in range(len(EACH)))
        f.store("i64", table, given)
        memory = f.select(f.compare("eq", kept, 0), place, kept)
        f.store("i64", memory, f.gep("i64", given, SCRATCH))
        behind = f.gep("i64", given, FIRST)
        with f.loop(0, count) as i:
            index = f.load("i64", f.gep("i64", mine, len(EACH)), i)
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
        last = f.gep("i64", f.gep("i64", given, FIRST), f.load("i64", mine, EACH.index("count")))
        with f.when(f.compare("ne", before, 0)):  # who was late in one pass would be in the next
            f.store("i64", 1, last)
        f.do(f"call void {f.load('ptr', mine, EACH.index('code'))}(ptr {given})")
        table = f.load("ptr", given, SCRATCH)  # where the pass has left it
        late = f.gep("i8", table, f.load("i64", mine, EACH.index("late")))
        return f.op(f"or i64 {before}, {f.load('i64', late)}")

    each(gather)
    thread = call("PyEval_SaveThread")
    late = each(run)
    f.do(f"call void @PyEval_RestoreThread(ptr {thread})")
    f.result = call("PyBool_FromLong", f"i64 {late}")
    return module
