"""Between two layers: a tensor times another of the same form, such as an output and what dropout
multiplies it by, or the gradient there.

It is a pass as those of layers are, and so part of the same call: where layers run at the same time
(``together``), it waits for the steps that it reads, and tells how many it has done.
"""

from __future__ import annotations

from .buffers import Argument, Slots
from .halves import computed
from .ir import Module
from .isa import ISA
from .routine import BESIDE, SHARED, Routine, define_entry
from .schedule import DEFAULT, Schedule
from .vector import Vector
from .view import View, load_units, store_units

#: Three contiguous tensors of so many rows, of so many units each, and whether the last row comes
#: first, as in a backward pass.
TENSORS = ("goal", "given", "factors")
SLOTS = Slots(
    [
        *SHARED,
        *BESIDE,
        *map(Argument, TENSORS),
        *("T", "units", "backwards", "slices", "scratch"),
    ]
)


def emit(kind: str, isa: ISA, schedule: Schedule = DEFAULT) -> Module:
    """The module of ``elman_link``, for tensors of numbers of a kind."""
    module = Module()
    routine = Routine(module, "link", isa, SLOTS, schedule=schedule)
    f, v = routine.f, Vector(routine.f, isa, computed(kind))
    rows, units = routine.slot("T"), routine.slot("units")
    goal, given, factors = (View(f, kind, routine.pointer(name)) for name in TENSORS)
    with f.loop(0, rows, routine.slot("piece")) as begin:
        end = f.min(f.add(begin, routine.slot("piece")), rows)
        routine.wait(begin, end)
        backwards = f.compare("ne", routine.slot("backwards"), 0)
        first = f.mul(f.select(backwards, f.sub(rows, end), begin), units)
        last = f.add(first, f.mul(f.sub(end, begin), units))
        with f.loop(first, last, v.lanes) as i:
            product = v.mul(load_units(v, given, i, last), load_units(v, factors, i, last))
            store_units(v, product, goal, i, last)
        routine.tell(end)
    define_entry(module, "elman_link", "link")
    return module
