"""Passes of one thread each that run at the same time: the layers of a stack, two directions.

A layer's pass reads what the one below has written of the same steps, so it may follow a few steps
behind. Each pass tells how far it is in a counter, and waits for the counters of those that it
reads (:class:`.Routine`). Threads take the passes in the order of the list, of which each reads
from earlier ones only: whatever a pass waits for has a thread, or is done, however many come.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from ..runtime.memory import ALIGNMENT
from ..runtime.threads import yield_address
from . import isa
from .entry import define_entry
from .ir import Module
from .jit import Code, load
from .routine import SHARED, Routine
from .table import FIRST, SCRATCH, Pass, Prepared

#: How many passes, for each its code and the address of its numbers, their counters and steps; and
#: a thread's scratch memory, each in so many bytes.
_SLOTS = (*SHARED, "tasks", "list", "counters", "T", "scratch", "bytes")
_LINE = 128  # bytes for a pass's counters: processors fetch two lines of 64 at once
_LEFT = 64  # of them, where the steps are counted that neither of two directions has claimed
_PIECES = 16  # of a pass, if it has steps enough
_STEPS = 8  # of a piece, at least: the rows of a tile


class Task(NamedTuple):
    """A pass made for one thread, with the places of its tensors among those of the call, and the
    numbers of earlier ones in its list, if there are any:

    of those whose steps it reads, which run in the ``same`` order of time or in the ``other`` one,
    and in a backward pass of the other direction ``beside`` it, whose inputs' gradients lie in the
    same memory. Whichever of the two comes to a step second adds to what the first has written.
    """

    run: Prepared
    places: Sequence[int]
    same: int | None = None
    other: int | None = None
    beside: int | None = None


def together(tasks: Sequence[Task], threads: int, work: float) -> tuple[Prepared, list[Prepared]]:
    """One call of all these passes, on several threads, with the bits of one pass after another;
    also the passes as it runs them, with tables of their own.

    It is called with the tensors of all tasks, which have the same number of steps and their rows
    in one slice. ``work`` is that of all of them.
    """
    steps, threads, count = tasks[0].run.slot("T"), min(threads, len(tasks)), len(tasks)
    assert all((run.slot("T"), run.slot("slices")) == (steps, 1) for run, *_ in tasks)
    at, begin = _PASS.at, len(_SLOTS)
    length = begin + sum(2 + FIRST + len(run.numbers) + 1 for run, *_ in tasks)
    table, places = array("q", [0] * length), list[tuple[int, int]]()
    counters = _aligned(length * table.itemsize)
    scratch, each = counters + _LINE * count, _aligned(max(run.nbytes for run, *_ in tasks))

    def near(place: int, offset: int) -> None:
        """An address that lies so many bytes from where the call's scratch memory begins."""
        table[place] = offset
        places.append((place, SCRATCH))

    for slot, number in {"tasks": count, "T": steps, "bytes": each}.items():
        table[at[slot]] = number
    near(at["list"], begin * table.itemsize)
    near(at["counters"], counters)
    near(at["scratch"], scratch)
    mine = begin + 2 * count  # where a task's numbers are
    runs, numbers = list[Prepared](), dict[int, int]()  # a tensor's place, and its number
    for i, ((run, where, *_), points) in enumerate(zip(tasks, _counters(tasks), strict=True)):
        runs.append(run.with_slots(_pieces(run, steps), points))
        table[begin + 2 * i] = run.code.address
        near(begin + 2 * i + 1, mine * table.itemsize)
        table[mine] = runs[i].address
        mine += FIRST
        for number in run.numbers:
            places.append((mine, numbers.setdefault(where[number], FIRST + len(numbers))))
            mine += 1
        near(mine, counters)
        mine += 1
    nbytes = scratch + each * threads
    return Prepared(_PASS, table, places, [*numbers], nbytes, threads, work, runs), runs


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _pieces(run: Prepared, steps: int) -> dict[str, int]:
    """Pieces of time so small that others need not wait for long."""
    few = -(-steps // (_PIECES * _STEPS)) * _STEPS
    return {"piece": min(run.slot("piece"), few), "yield": yield_address()}


def _counters(tasks: Sequence[Task]) -> list[dict[str, int]]:
    """The slots of each task that point to counters, its own or others', and where these lie."""
    found = [{"done": _LINE * i} for i in range(len(tasks))]
    for i, (_, _, same, other, beside) in enumerate(tasks):
        for slot, number in (("after.same", same), ("after.other", other)):
            if number is not None:
                found[i][slot] = _LINE * number
        if beside is not None:
            left = _LINE * beside + _LEFT
            found[i] |= {"dx.other": _LINE * beside, "dx.left": left}
            found[beside] |= {"dx.other": _LINE * i, "dx.left": left}
    return found


def emit(row: isa.ISA) -> Module:
    """``elman_together``: a thread takes one pass of the list after another."""
    module = Module()
    worker = Routine(module, "run_tasks", row, _SLOTS)
    f = worker.f
    scratch = f.gep("i8", worker.pointer("scratch"), f.mul(worker.worker(), worker.slot("bytes")))
    with worker.tickets(worker.slot("tasks")) as ticket:
        task = f.gep("ptr", worker.pointer("list"), f.mul(ticket, 2))
        run, numbers = f.load("ptr", task), f.load("ptr", task, 1)
        f.store("ptr", scratch, f.gep("ptr", numbers, SCRATCH))
        f.do(f"call void {run}(ptr {numbers})")
    start = Routine(module, "start", row, _SLOTS)
    f = start.f
    with f.loop(0, start.slot("tasks")) as i:
        counter = f.gep("i8", start.pointer("counters"), f.mul(i, _LINE))
        f.store("i64", 0, counter)
        f.store("i64", start.slot("T"), f.gep("i8", counter, _LEFT))
    start.region("run_tasks")
    define_entry(module, "elman_together", "start")
    return module


def _load() -> tuple[Code, str]:
    row = isa.of_this_kind()[-1]  # no vectors: the row that every processor can run
    return load("together", row, "elman_together", lambda: emit(row))


_PASS = Pass(_SLOTS, _load)
