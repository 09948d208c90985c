"""Passes that are no layer's: several at the same time (``compiler/together.py``), and a tensor
between two layers times another of the same form (``compiler/link.py``)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from ..compiler import isa, link
from ..compiler.isa import ISA
from ..compiler.jit import Source
from ..compiler.routine import FIRST, LINE, SCRATCH
from ..compiler.schedule import DEFAULT, Schedule
from ..compiler.together import LEFT, SLOTS, emit
from ..runtime.alignment import aligned
from ..runtime.threads import yield_address
from .table import EntryPoint, Launch, Place


class Task(NamedTuple):
    """A pass made for one thread, with the places of its tensors among those of the call.

    It names earlier passes of its list by their numbers. It reads the steps of the ``same`` pass,
    which runs in its own order of time, and of the ``other``, which runs in the opposite order. In
    a backward pass, ``beside`` is the other direction, which writes inputs' gradients to the same
    memory: whichever of the two comes to a step second adds to what the first has written.
    """

    run: Launch
    places: Sequence[int]
    same: int | None = None
    other: int | None = None
    beside: int | None = None


def together(
    tasks: Sequence[Task], threads: int, work: float, schedule: Schedule = DEFAULT
) -> tuple[Launch, list[Launch]]:
    """One call of all these passes, on several threads, with the bits of one pass after another;
    also the passes as it runs them, with tables of their own.

    It is called with the tensors of all tasks, which have the same number of steps and their rows
    in one slice. ``work`` is that of all of them.
    """
    steps, threads, count = tasks[0].run.slot("T"), min(threads, len(tasks)), len(tasks)
    assert all((run.slot("T"), run.slot("slices")) == (steps, 1) for run, *_ in tasks)
    at, begin = _ENTRY.at, len(SLOTS.names)
    length = begin + sum(2 + FIRST + len(run.numbers) + 1 for run, *_ in tasks)
    table, places = array("q", [0] * length), list[tuple[int, int]]()
    counters = aligned(length * table.itemsize)
    scratch, each = counters + LINE * count, aligned(max(run.nbytes for run, *_ in tasks))

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
    most, beside = schedule.pipeline_piece(steps), {"yield": yield_address()}
    runs, numbers = list[Launch](), dict[int, int]()  # a tensor's place, and its number
    for i, ((run, where, *_), points) in enumerate(zip(tasks, _counters(tasks), strict=True)):
        runs.append(run.with_slots(beside | {"piece": min(run.slot("piece"), most)}, points))
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
    return Launch(_ENTRY, table, places, [*numbers], nbytes, threads, work, runs), runs


def _counters(tasks: Sequence[Task]) -> list[dict[str, int]]:
    """The slots of each task that point to counters, its own or others', and where these lie."""
    found = [{"done": LINE * i} for i in range(len(tasks))]
    for i, (_, _, same, other, beside) in enumerate(tasks):
        for slot, number in (("after.same", same), ("after.other", other)):
            if number is not None:
                found[i][slot] = LINE * number
        if beside is not None:
            left = LINE * beside + LEFT
            found[i] |= {"dx.other": LINE * beside, "dx.left": left}
            found[beside] |= {"dx.other": LINE * i, "dx.left": left}
    return found


def _source() -> Source:
    row = isa.of_this_kind()[-1]  # no vectors: the row that every processor can run
    return Source("together", row, "elman_together", lambda: emit(row))


_ENTRY = EntryPoint(SLOTS, _source)


def link_pass(
    dtype: str,
    row: ISA,
    rows: int,
    units: int,
    backwards: bool,
    schedule: Schedule = DEFAULT,
) -> Launch:
    """``goal = given * factors``, called with these three; the first two may be one tensor."""
    values = {"T": rows, "piece": rows, "units": units, "backwards": backwards, "slices": 1}
    places = [Place(name, number) for number, name in enumerate(link.TENSORS)]
    return _link(dtype, row, schedule).prepare(places, {**values, "threads": 1})


@cache
def _link(dtype: str, row: ISA, schedule: Schedule) -> EntryPoint:
    key = f"link {dtype} {schedule}"
    source = Source(key, row, "elman_link", lambda: link.emit(dtype, row, schedule))
    return EntryPoint(link.SLOTS, lambda: source)
