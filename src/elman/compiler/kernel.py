"""A step's compiled passes, and how they are called.

A call is a table of 64-bit slots. What depends on sizes and strides alone is prepared once for each
set of them (:class:`_Prepared`); a call copies it and fills in the addresses.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..batch import Rows, Weights
from ..cell import Step
from ..runtime.memory import scratch
from ..runtime.threads import parallel_address, thread_count
from . import backward, forward, sizes
from .frame import Target, parameters
from .ir import Module
from .isa import ISA, chains
from .jit import LOCK, Code, load
from .plan import Plan, plan_of
from .sizes import Form, Sizes
from .tile import Shape

DTYPES = {torch.float32: "float", torch.float64: "double"}
_PREPARED_LIMIT = 256  # sets of sizes a kernel remembers; each is about a kilobyte
_KERNEL_LIMIT = 128


class Gradients(NamedTuple):
    """Where the backward pass writes; None is not computed. Weights' are contiguous."""

    x: Tensor | None  # (N, I), contiguous
    add: bool  # x's and the inputs' are added to what is there, for the second direction
    initial: Sequence[Tensor | None]
    inputs: Sequence[Tensor | None]
    weights: Weights
    segment: bool = False  # the call is one segment of a longer one
    add_weights: bool = False  # to the weights' of the segments that have been done


class _Prepared:
    """A table in which all but addresses is filled in, and what a call needs beside it."""

    def __init__(
        self,
        table: array[int],
        nbytes: int,
        jobs: sizes.Jobs | None = None,
        segments: array[int] | None = None,
    ) -> None:
        self.table, self.bytes = table, nbytes
        self.jobs, self.segments = jobs, segments


def _no_memory(tensor: Tensor) -> int:
    """The address of a tensor without memory: null if it has no elements either."""
    if tensor.numel():
        raise RuntimeError(
            f"expected a tensor of shape {tuple(tensor.shape)} to have memory, got one whose "
            "storage has been freed, or that never had any: give it memory before the call"
        )
    return 0


class _Pass:
    """One compiled pass: its slots by name, its code, the calls it has been prepared for.

    ``tensors`` names those of the caller, with the slots of their strides after their own; the
    step's parameters follow them.
    """

    def __init__(
        self,
        plan: Plan,
        slots: Sequence[str],
        tensors: Sequence[str],
        load_code: Callable[[], tuple[Code, str]],
    ) -> None:
        self.slots, self._load_code = slots, load_code
        self.at = {slot: i for i, slot in enumerate(slots)}
        self.given = len(tensors)
        self.addresses = [self.at[name] for name in (*tensors, *parameters(plan.step))]
        self.kept = [self.at[name] for name in sizes.kept_slots(plan)]
        self.scratch = self.at["scratch"]
        self._code: Code | None = None
        self.origin = ""  # "disk" or "compiled", once it is loaded
        self.prepared: dict[tuple[Any, ...], _Prepared] = {}

    @property
    def code(self) -> Code:
        if self._code is None:
            with LOCK:
                if self._code is None:
                    self._code, self.origin = self._load_code()
        return self._code

    def prepare(
        self,
        key: tuple[Any, ...],
        tensors: Sequence[Tensor | None],
        values: dict[str, int],
        layout: sizes.Layout,
        jobs: sizes.Jobs | None = None,
        segments: array[int] | None = None,
    ) -> _Prepared:
        """Remembers the table of a call with these sizes and strides.

        A tensor of the caller is ``(T, B, H)``, ``(N, H)``, ``(B, H)`` or ``(1, B, H)``; None is
        all zeros, for which ``values`` has the address and the strides are none.
        """
        values = values | layout.offsets
        table = array("q", [values.get(slot, 0) for slot in self.slots])
        for number, (at, tensor) in enumerate(zip(self.addresses, tensors, strict=True)):
            if tensor is not None:
                strides = tensor.stride()
                if number < self.given:
                    strides = (strides[0], strides[-2], strides[-1])
                for place, stride in enumerate(strides, at + 1):
                    table[place] = stride
        if len(self.prepared) >= _PREPARED_LIMIT:
            self.prepared.clear()
        made = self.prepared[key] = _Prepared(table, layout.bytes, jobs, segments)
        return made

    def start(
        self,
        prepared: _Prepared,
        tensors: Sequence[Tensor | None],
        rows: Rows,
        threads: int,
        saved: Tensor | None,
    ) -> tuple[array[int], Any]:
        """The table for one call, and the owner of its scratch memory."""
        table = prepared.table[:]
        owner, table[self.scratch] = scratch(prepared.bytes)
        for at, tensor in zip(self.addresses, tensors, strict=True):
            if tensor is not None:
                table[at] = tensor.data_ptr() or _no_memory(tensor)
        if saved is not None:
            address = saved.data_ptr()
            for at in self.kept:
                table[at] += address
        if threads > 1:
            table[self.at["parallel"]] = parallel_address()
        if rows.counts is not None and rows.offsets is not None:
            table[self.at["counts"]] = rows.counts.data_ptr()
            table[self.at["offsets"]] = rows.offsets.data_ptr()
        return table, owner


def _segments(rows: Rows, one: bool) -> array[int]:
    """Where the rows of each segment begin and end, in the order of the backward pass."""
    spans = [(0, rows.T)] if one else reversed(rows.segments())
    return array("q", [rows.first_row(t) for span in spans for t in span])


class Kernel:
    """The compiled passes of a step, for one dtype, instruction set and shape of tiles."""

    def __init__(self, form: Form) -> None:
        self.form, plan = form, form.plan
        self.columns, self.products = len(plan.columns), len(plan.products)
        self.plan = plan
        ahead = forward.slots(plan), forward.tensors(plan)
        self.infer = _Pass(plan, *ahead, self._loader("infer", "elman_forward"))
        self.train = _Pass(plan, *ahead, self._loader("train", "elman_forward"))
        self.back = _Pass(
            plan,
            backward.slots(plan),
            backward.tensors(plan),
            self._loader("backward", "elman_backward"),
        )
        self.passes = {"infer": self.infer, "train": self.train, "backward": self.back}

    def _loader(self, which: str, name: str) -> Callable[[], tuple[Code, str]]:
        plan, _, target = self.form

        def emit() -> Module:
            if which == "backward":
                return backward.emit(plan, target)
            return forward.emit(plan, target, which == "train")

        return lambda: load(f"{plan.key} {which} {target}", target.isa, name, emit)

    def saved_size(self, rows: Rows, units: int) -> int:
        """Elements of what the forward pass keeps for the backward pass."""
        return sizes.saved_size(self.form, rows, units)

    def forward(
        self,
        rows: Rows,
        x: Tensor,
        weights: Weights,
        initial: Sequence[Tensor | None],
        output: Tensor,
        final: Sequence[Tensor],
        saved: Tensor | None,
        inputs: Sequence[Tensor] = (),
    ) -> None:
        """Runs the forward pass; writes ``output``, ``final`` and, for training, ``saved``."""
        size = Sizes(x.shape[-1], *weights.sizes(self.plan.step))
        width, units, _ = size
        run = self.infer if saved is None else self.train
        T, B, N, counts, _, reverse = rows
        work = 2.0 * N * units * (self.columns * width + self.products * units)
        threads = thread_count(work, B)
        tensors = [x, output, *initial, *final, *inputs, *weights.flat()]
        strides = [None if t is None else t.stride() for t in tensors]
        key = (T, B, N, counts is None, reverse, size, threads, *strides)
        prepared = run.prepared.get(key)
        if prepared is None:
            made = sizes.forward(self.form, rows, size, threads, saved is not None)
            prepared = run.prepare(key, tensors, *made)
        table, owner = run.start(prepared, tensors, rows, threads, saved)
        run.code.call(table.buffer_info()[0])
        del owner  # until here the code used it

    def backward(
        self,
        rows: Rows,
        x: Tensor,
        weights: Weights,
        saved: Tensor,
        gout: Tensor | None,
        gfinal: Sequence[Tensor | None],
        wanted: Gradients,
        inputs: Sequence[Tensor] = (),
    ) -> None:
        """Runs the backward pass; writes the tensors of ``wanted`` that are not None."""
        size = Sizes(x.shape[-1], *weights.sizes(self.plan.step))
        width, units, _ = size
        run = self.back
        T, B, N, counts, _, reverse = rows
        work = 4.0 * N * units * (self.columns * width + self.products * units)
        threads = thread_count(work, B)
        goals = wanted.weights.flat()
        tensors = [
            *(x, gout, *gfinal, *wanted.initial, *inputs, *wanted.inputs),
            *weights.flat(),
        ]
        strides = [None if t is None else t.stride() for t in tensors]
        asked = tuple([goal is not None for goal in goals])
        key = (T, B, N, counts is None, reverse, size, threads, wanted.segment, asked, *strides)
        prepared = run.prepared.get(key)
        if prepared is None:
            made = sizes.backward(self.form, rows, size, threads, asked)
            jobs = sizes.jobs(self.form, asked, x.stride(-1), size)
            segments = _segments(rows, wanted.segment) if counts is None else None
            prepared = run.prepare(key, tensors, *made, jobs, segments)
        table, owner = run.start(prepared, tensors, rows, threads, saved)
        at = run.at
        if wanted.x is not None:
            table[at["dx"]] = wanted.x.data_ptr()
        table[at["dx.add"]], table[at["sums.add"]] = wanted.add, wanted.add_weights
        assert prepared.jobs is not None
        list_of_jobs = prepared.jobs.of(goals)
        table[at["jobs"]] = list_of_jobs.buffer_info()[0]
        segments = prepared.segments or _segments(rows, wanted.segment)
        table[at["segments"]], numbers = segments.buffer_info()
        table[at["segments.n"]] = numbers // 2
        run.code.call(table.buffer_info()[0])
        del owner, list_of_jobs, segments


_kernels: dict[tuple[Any, ...], Kernel] = {}


def kernel_for(step: Step, dtype: torch.dtype, isa: ISA, units: int, single: bool) -> Kernel:
    """The kernel for a step and sizes. When there are too many, the oldest go."""
    key = (step, dtype, isa, units, single)
    kernel = _kernels.get(key)
    if kernel is None:
        name = DTYPES[dtype]
        cut = chains(isa, name, units)
        shape = Shape.single(isa, name, cut, units) if single else Shape.many(isa, cut)
        with LOCK:
            form = Form(plan_of(step), dtype, Target(isa, name, shape, Shape.many(isa, 1)))
            known = _same(form)
            while len(_kernels) >= _KERNEL_LIMIT:
                _kernels.pop(next(iter(_kernels)))
            kernel = _kernels.setdefault(key, known or Kernel(form))
    return kernel


def _same(form: Form) -> Kernel | None:
    """A kernel of the same formula and tiles, made for other sizes or another cell object."""
    for kernel in _kernels.values():
        if kernel.plan.key == form.plan.key and kernel.form[1:] == form[1:]:
            return kernel
    return None


def compiled(step: Step, dtype: torch.dtype, isa: ISA, units: int) -> dict[str, str]:
    """By pass, where the code of these kernels came from; only of what is in memory."""
    return {
        name + (", one row" if key[4] else ""): run.origin
        for key, kernel in list(_kernels.items())
        if key[:4] == (step, dtype, isa, units)
        for name, run in kernel.passes.items()
        if run.origin
    }
