"""A tensor between two layers times another of the same form (``compiler/link.py``), prepared."""

from __future__ import annotations

from functools import cache

from ..compiler import link
from ..compiler.isa import ISA
from ..compiler.jit import Code, load
from ..compiler.schedule import DEFAULT, Schedule
from .table import EntryPoint, Launch, Place


def link_pass(
    dtype: str,
    isa: ISA,
    rows: int,
    units: int,
    backwards: bool,
    schedule: Schedule = DEFAULT,
) -> Launch:
    """``goal = given * factors``, called with these three; the first two may be one tensor."""
    values = {"T": rows, "piece": rows, "units": units, "backwards": backwards, "slices": 1}
    places = [Place(name, number) for number, name in enumerate(link.TENSORS)]
    return _pass(dtype, isa, schedule).prepare(places, {**values, "threads": 1})


@cache
def _pass(dtype: str, isa: ISA, schedule: Schedule) -> EntryPoint:
    def load_code() -> tuple[Code, str]:
        return load(key, isa, "elman_link", lambda: link.emit(dtype, isa, schedule))

    key = f"link {dtype} {schedule}"
    return EntryPoint(link.SLOTS, load_code)
