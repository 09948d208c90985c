"""A tensor between two layers times another of the same form (``compiler/link.py``), prepared."""

from __future__ import annotations

from functools import cache

import torch

from ..compiler import link
from ..compiler.isa import ISA
from ..compiler.jit import load
from .table import Pass, Place, Prepared


def link_pass(dtype: str, isa: ISA, rows: int, units: int, backwards: bool) -> Prepared:
    """``goal = given * factors``, called with these three; the first two may be one tensor."""
    values = {"T": rows, "piece": rows, "units": units, "backwards": backwards, "slices": 1}
    places = [Place(name, number) for number, name in enumerate(link.TENSORS)]
    nothing = [torch.empty(0, device="meta")] * len(link.TENSORS)
    return _pass(dtype, isa).prepare(nothing, places, {**values, "threads": 1})


@cache
def _pass(dtype: str, isa: ISA) -> Pass:
    key = f"link {dtype}"
    return Pass(link.SLOTS, lambda: load(key, isa, "elman_link", lambda: link.emit(dtype, isa)))
