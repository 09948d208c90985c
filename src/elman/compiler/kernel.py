"""A step's compiled passes, and how they are called.

A call is a table of 64-bit slots. What depends on sizes alone is prepared once for each set of
sizes (:class:`_Prepared`); a call copies it and fills in the addresses.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
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
from .plan import plan_of
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
    """A table whose sizes are filled in, and the scratch memory it needs."""

    def __init__(self, slots: Sequence[str], values: dict[str, int], layout: sizes.Layout) -> None:
        values = values | layout.offsets
        self.table = array("q", [values.get(slot, 0) for slot in slots])
        self.scratch = slots.index("scratch")
        self.bytes = layout.bytes

    def start(self) -> tuple[array[int], Any]:
        """A table for one call, and the owner of its scratch memory."""
        table = self.table[:]
        owner, table[self.scratch] = scratch(self.bytes)
        return table, owner


def _no_memory(tensor: Tensor) -> int:
    """The address of a tensor without memory: null if it has no elements either."""
    if tensor.numel():
        raise RuntimeError(
            f"expected a tensor of shape {tuple(tensor.shape)} to have memory, got one whose "
            "storage has been freed, or that never had any: give it memory before the call"
        )
    return 0


class _Pass:
    """One compiled pass: its slots by name, its code, the sizes it has been prepared for."""

    def __init__(
        self, step: Step, slots: Sequence[str], load_code: Callable[[], tuple[Code, str]]
    ) -> None:
        self.slots, self._load_code = slots, load_code
        self.at = {slot: i for i, slot in enumerate(slots)}
        self.parameters = [self.at[name] for name in parameters(step)]
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
        self, key: tuple[Any, ...], values: dict[str, int], layout: sizes.Layout
    ) -> _Prepared:
        """Remembers the table of these sizes."""
        if len(self.prepared) >= _PREPARED_LIMIT:
            self.prepared.clear()
        made = self.prepared[key] = _Prepared(self.slots, values, layout)
        return made

    def tensor(self, table: array[int], name: str, tensor: Tensor | None) -> None:
        """Fills in a tensor ``(T, B, H)``, ``(N, H)``, ``(B, H)`` or ``(1, B, H)``. None is all
        zeros, which is how the table is prepared."""
        if tensor is None:
            return
        at, strides = self.at[name], tensor.stride()
        table[at] = tensor.data_ptr() or _no_memory(tensor)
        table[at + 1] = strides[0]
        table[at + 2] = strides[-2]
        table[at + 3] = strides[-1]

    def weights(self, table: array[int], weights: Weights) -> None:
        """Fills in those parameters that there are, with their strides."""
        for at, tensor in zip(self.parameters, weights.flat(), strict=True):
            if tensor is not None:
                table[at] = tensor.data_ptr() or _no_memory(tensor)
                for place, stride in enumerate(tensor.stride(), at + 1):
                    table[place] = stride

    def address(self, table: array[int], name: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            table[self.at[name]] = tensor.data_ptr()

    def rows(self, table: array[int], rows: Rows, threads: int) -> None:
        if threads > 1:
            table[self.at["parallel"]] = parallel_address()
        if rows.counts is not None:
            self.address(table, "counts", rows.counts)
            self.address(table, "offsets", rows.offsets)

    def kept(self, table: array[int], saved: Tensor, places: Iterable[tuple[str, int]]) -> None:
        """The parts of what the forward pass keeps for the backward pass."""
        address = saved.data_ptr()
        for name, offset in places:
            table[self.at[name]] = address + offset


class Kernel:
    """The compiled passes of a step, for one dtype, instruction set and shape of tiles."""

    def __init__(self, form: Form) -> None:
        self.form, plan = form, form.plan
        self.columns, self.products = len(plan.columns), len(plan.products)
        self.plan = plan
        slots = forward.slots(plan)
        step, back = plan.step, backward.slots(plan)
        self.infer = _Pass(step, slots, self._loader("infer", "elman_forward"))
        self.train = _Pass(step, slots, self._loader("train", "elman_forward"))
        self.back = _Pass(step, back, self._loader("backward", "elman_backward"))
        self.state_slots = [("h0." + name, "hn." + name) for name in plan.step.states]
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
        step, size = self.plan.step, Sizes(x.shape[-1], *weights.sizes(self.plan.step))
        width, units, _ = size
        run = self.infer if saved is None else self.train
        T, B, N, counts, _, reverse = rows
        work = 2.0 * N * units * (self.columns * width + self.products * units)
        threads = thread_count(work, B)
        key = (T, B, N, counts is None, reverse, size, threads)
        prepared = run.prepared.get(key)
        if prepared is None:
            keep = saved is not None
            made = sizes.forward(self.form, rows, size, threads, keep)
            prepared = run.prepare(key, *made)
        table, owner = prepared.start()
        if threads > 1 or counts is not None:
            run.rows(table, rows, threads)
        run.tensor(table, "x", x)
        run.tensor(table, "output", output)
        for (given, reached), h0, hn in zip(self.state_slots, initial, final, strict=True):
            run.tensor(table, given, h0)
            run.tensor(table, reached, hn)
        if inputs:
            for name, tensor in zip(step.inputs, inputs, strict=True):
                run.tensor(table, "input." + name, tensor)
        run.weights(table, weights)
        if saved is not None:
            run.kept(table, saved, sizes.kept(self.form, rows, units))
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
        step, size = self.plan.step, Sizes(x.shape[-1], *weights.sizes(self.plan.step))
        width, units, _ = size
        run = self.back
        work = 4.0 * rows.N * units * (self.columns * width + self.products * units)
        threads = thread_count(work, rows.B)
        asked = tuple(w is not None for w in wanted.weights.flat())
        key = (*rows[:3], rows.counts is None, rows.reverse, size, threads, asked)
        prepared = run.prepared.get(key)
        if prepared is None:
            made = sizes.backward(self.form, rows, size, threads, asked)
            prepared = run.prepare(key, *made)
        table, owner = prepared.start()
        run.rows(table, rows, threads)
        run.tensor(table, "x", x)
        run.tensor(table, "gout", gout)
        for name, ghn, gh0 in zip(step.states, gfinal, wanted.initial, strict=True):
            run.tensor(table, "ghn." + name, ghn)
            run.tensor(table, "gh0." + name, gh0)
        for name, given, goal in zip(step.inputs, inputs, wanted.inputs, strict=True):
            run.tensor(table, "input." + name, given)
            run.tensor(table, "ginput." + name, goal)
        run.weights(table, weights)
        run.address(table, "dx", wanted.x)
        table[run.at["dx.add"]] = wanted.add
        run.kept(table, saved, sizes.kept(self.form, rows, units))
        jobs = sizes.jobs(self.form, wanted.weights, x.stride(-1), size)
        table[run.at["jobs"]] = jobs.buffer_info()[0]
        spans = [(0, rows.T)] if wanted.segment else reversed(rows.segments())
        segments = array("q", [rows.first_row(t) for span in spans for t in span])
        table[run.at["segments"]], numbers = segments.buffer_info()
        table[run.at["segments.n"]] = numbers // 2
        table[run.at["sums.add"]] = wanted.add_weights
        run.code.call(table.buffer_info()[0])
        del owner, jobs, segments


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
