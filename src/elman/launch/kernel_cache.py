"""The kernels in memory, and what is remembered of calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from typing import Any

import torch

from ..compiler.formats import Format
from ..compiler.isa import ISA
from ..compiler.jit import SHARED
from ..compiler.narrow import NARROW
from ..compiler.objects import LOCK
from ..compiler.plan import plan_of
from ..compiler.schedule import DEFAULT, Schedule
from ..compiler.sizes import KernelSpec
from ..compiler.target import target_of
from ..step import Step
from .kernel import Kernel

DTYPES = {torch.float32: "float", torch.float64: "double"}
#: Of the dtypes that kernels read and write, but compute with as float32.
HALF_DTYPES = {torch.bfloat16: "bfloat", torch.float16: "half"}
_KERNEL_LIMIT = 128

_kernels: dict[tuple[Any, ...], Kernel] = {}
#: Caches of what holds kernels. They are emptied when a kernel goes.
HOLDERS: list[dict[Any, Any]] = []
_schedule = DEFAULT  # of kernels that are made from now on


def current_schedule() -> Schedule:
    """The tuning constants of kernels that are made from now on."""
    return _schedule


def forget() -> None:
    """No kernel is in memory any more, and no function that kernels share."""
    _kernels.clear()
    SHARED.clear()
    forget_calls()


def forget_calls() -> None:
    """Nothing is known of calls any more."""
    for holder in HOLDERS:
        holder.clear()


@contextlib.contextmanager
def scheduled(**constants: Any) -> Iterator[None]:
    """Within the context, kernels are made with other tuning constants, in all threads: for tests
    and measurements. It begins with no kernel in memory; those that were are put back at its end.

    >>> import elman, torch
    >>> from elman.launch import kernel_cache
    >>> with kernel_cache.scheduled(piece_bytes=1):
    ...     output, h_n = elman.RNN(2, 4)(torch.rand(3, 1, 2))  # one step at a time is projected
    """
    global _schedule
    caches: tuple[MutableMapping[Any, Any], ...] = _kernels, SHARED, *HOLDERS
    before, kept = _schedule, [dict(cache) for cache in caches]
    _schedule = replace(_schedule, **constants)
    forget()
    try:
        yield
    finally:
        _schedule = before
        forget()
        for cache, content in zip(caches, kept, strict=True):
            cache.update(content)


def has_kernels(dtype: torch.dtype, isa: ISA | None) -> bool:
    """Whether kernels for an instruction set read and write tensors of a dtype."""
    return dtype in DTYPES or (
        isa is not None and dtype in HALF_DTYPES and (isa.float16 or dtype is not torch.float16)
    )


def kernel_for(
    step: Step,
    dtype: torch.dtype,
    isa: ISA,
    units: int,
    single: bool,
    narrow: str = "",
    padded: bool = False,
    wide_states: bool = False,
) -> Kernel:
    """The kernel for a step and sizes. When there are too many, the oldest go.

    ``narrow`` says what panels hold instead of such numbers, if anything, see ``NARROW``. Rows in
    ``padded`` tensors have kernels of their own: looking for each row would cost others 2 to 6%.
    With ``wide_states`` initial and final states are of the dtype that a narrower one is computed
    in.
    """
    key = (step, dtype, isa, units, single, narrow, padded, wide_states)
    kernel = _kernels.get(key)
    if kernel is None:
        with LOCK:
            plan = plan_of(step)
            number, half = DTYPES.get(dtype, "float"), HALF_DTYPES.get(dtype, "")
            panel = NARROW[narrow] if narrow else Format(number)
            target = target_of(plan, number, panel, isa, units, single, _schedule)
            states = "" if wide_states else half
            target = replace(target, padded=padded, given=half, given_states=states)
            spec = KernelSpec(plan, target)
            # One of the same formula and tiles may be made for other sizes or another cell object.
            every = _kernels.values()
            same = (k for k in every if (k.plan.key, k.spec.target) == (plan.key, spec.target))
            known = next(same, None)
            while len(_kernels) >= _KERNEL_LIMIT:
                _kernels.pop(next(iter(_kernels)))
                forget_calls()
            kernel = _kernels.setdefault(key, known or Kernel(spec))
    return kernel


def compiled(step: Step, dtype: torch.dtype, isa: ISA, units: int) -> dict[str, str]:
    """By pass, where the code of these kernels came from; only of what is in memory."""
    found: dict[str, str] = {}
    for (*made_for, single, narrow, padded, _), kernel in list(_kernels.items()):
        if made_for == [step, dtype, isa, units]:
            ending = ", one row" if single else ", padded rows" if padded else ""
            if narrow:
                ending += f", {NARROW[narrow].label}"
            if dtype in HALF_DTYPES:
                ending += f", {str(dtype).removeprefix('torch.')} tensors"
            made = {name: run.origin for name, run in kernel.passes.items() if run.origin}
            found |= {name + ending: origin for name, origin in made.items()}
    return found
