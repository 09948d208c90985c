"""The function of a pass that Python calls."""

from __future__ import annotations

from .ir import Function, Module

#: Of the numbers of a call: behind the table's address scratch memory, then the first tensor.
SCRATCH, FIRST = 1, 2


def define_entry(module: Module, name: str, run: str) -> None:
    """The function of a pass that Python calls; ``run`` is the frame that does the work.

    Its argument is a list of numbers: the address of a prepared table, that of scratch memory,
    and the rest of the addresses of the call (``launch``). The table is copied to where
    scratch memory begins, and there the numbers are added to the slots that they belong to.
    """
    f = Function(module, name, [("ptr", "numbers")], public=True)
    prepared, table = f.load("ptr", "%numbers", 0), f.load("ptr", "%numbers", 1)
    length, end = f.load("i64", prepared, 0), f.load("i64", prepared, 1)
    given = f.gep("i64", prepared, 2)
    with f.loop(0, length) as i:
        f.store("i64", f.load("i64", given, i), f.gep("i64", table, i))
    with f.loop(length, end, 2) as i:
        slot = f.gep("i64", table, f.load("i64", given, i))
        number = f.load("i64", "%numbers", f.load("i64", given, f.add(i, 1)))
        f.store("i64", f.add(f.load("i64", slot), number), slot)
    f.call(run, ("ptr", table))
