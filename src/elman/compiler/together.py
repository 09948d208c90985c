"""Passes of one thread each that run at the same time: the layers of a stack, two directions.

A layer's pass reads what the one below has written of the same steps, so it may follow a few steps
behind. Each pass tells how far it is in a counter, and waits for the counters of those that it
reads (:class:`.Routine`). Threads take the passes in the order of the list, of which each reads
from earlier ones only: whatever a pass waits for has a thread, or is done, however many come.
"""

from __future__ import annotations

from .buffers import Slots
from .ir import Module
from .isa import ISA
from .routine import LINE, SCRATCH, SHARED, Routine, define_entry

#: How many passes, for each its code and the address of its numbers, their counters and steps; and
#: a thread's scratch memory, each in so many bytes.
SLOTS = Slots([*SHARED, "tasks", "list", "counters", "T", "scratch", "bytes"])
LEFT = 64  # of them, where the steps are counted that neither of two directions has claimed


def emit(row: ISA) -> Module:
    """``elman_together``: a thread takes one pass of the list after another."""
    module = Module()
    worker = Routine(module, "run_tasks", row, SLOTS)
    f = worker.f
    scratch = f.gep("i8", worker.pointer("scratch"), f.mul(worker.worker(), worker.slot("bytes")))
    with worker.tickets(worker.slot("tasks")) as ticket:
        task = f.gep("ptr", worker.pointer("list"), f.mul(ticket, 2))
        run, numbers = f.load("ptr", task), f.load("ptr", task, 1)
        f.store("ptr", scratch, f.gep("ptr", numbers, SCRATCH))
        f.do(f"call void {run}(ptr {numbers})")
    start = Routine(module, "start", row, SLOTS)
    f = start.f
    with f.loop(0, start.slot("tasks")) as i:
        counter = f.gep("i8", start.pointer("counters"), f.mul(i, LINE))
        f.store("i64", 0, counter)
        f.store("i64", start.slot("T"), f.gep("i8", counter, LEFT))
    start.region("run_tasks")
    define_entry(module, "elman_together", "start")
    return module
