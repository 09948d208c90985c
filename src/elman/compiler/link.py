"""Between two layers: a tensor times another of the same form, such as an output and what dropout
multiplies it by, or the gradient there.

It is a pass as those of layers are, and so part of the same call: where layers run at the same time
(``together``), it waits for the steps that it reads, and tells how many it has done.
"""

from __future__ import annotations

from functools import cache

import torch

from .entry import define_entry
from .ir import Module
from .isa import ISA
from .jit import load
from .kernel import DTYPES
from .routine import BESIDE, SHARED, Routine
from .sizes import Layout
from .table import Pass, Place, Prepared
from .units import load_beside, store_beside
from .vector import Vector

#: Three contiguous tensors of so many rows, of so many units each, and whether the last row comes
#: first, as in a backward pass.
_TENSORS = ("goal", "given", "factors")
_SLOTS = (*SHARED, *BESIDE, *_TENSORS, "T", "units", "backwards", "slices", "scratch")


def link(dtype: torch.dtype, isa: ISA, rows: int, units: int, backwards: bool) -> Prepared:
    """``goal = given * factors``, called with these three; the first two may be one tensor."""
    values = {"T": rows, "piece": rows, "units": units, "backwards": backwards, "slices": 1}
    places = [Place(name, number, strided=False) for number, name in enumerate(_TENSORS)]
    nothing = [torch.empty(0, device="meta")] * len(_TENSORS)
    return _pass(dtype, isa).prepare(nothing, places, {**values, "threads": 1}, Layout())


def emit(dtype: torch.dtype, isa: ISA) -> Module:
    """The module of ``elman_link``."""
    module = Module()
    routine = Routine(module, "link", isa, _SLOTS)
    f, v = routine.f, Vector(routine.f, isa, DTYPES[dtype])
    rows, units = routine.slot("T"), routine.slot("units")
    goal, given, factors = map(routine.pointer, _TENSORS)
    with f.loop(0, rows, routine.slot("piece")) as begin:
        end = f.min(f.add(begin, routine.slot("piece")), rows)
        routine.wait(begin, end)
        backwards = f.compare("ne", routine.slot("backwards"), 0)
        first = f.mul(f.select(backwards, f.sub(rows, end), begin), units)
        last = f.add(first, f.mul(f.sub(end, begin), units))
        with f.loop(first, last, v.lanes) as i:
            product = v.mul(load_beside(v, given, i, last), load_beside(v, factors, i, last))
            store_beside(v, product, goal, i, last)
        routine.tell(end)
    define_entry(module, "elman_link", "link")
    return module


@cache
def _pass(dtype: torch.dtype, isa: ISA) -> Pass:
    key = f"link {DTYPES[dtype]}"
    return Pass(_SLOTS, lambda: load(key, isa, "elman_link", lambda: emit(dtype, isa)))
