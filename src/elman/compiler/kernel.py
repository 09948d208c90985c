"""A step's compiled passes, for one direction of a layer."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..batch import Rows
from ..cell import Step
from ..runtime.threads import thread_count
from . import backward, forward, sizes
from .frame import Target
from .ir import Module
from .isa import ISA, chains
from .jit import LOCK, Code, load
from .plan import plan_of
from .sizes import Form, Sizes
from .table import Pass, Place
from .tile import Shape

DTYPES = {torch.float32: "float", torch.float64: "double"}
_KERNEL_LIMIT = 128


class Kernel:
    """The compiled passes of a step, for one dtype, instruction set and shape of tiles.

    A call is given the tensors of a layer in the order of ``batch.Given``, those of all its
    directions, ``count`` of them, and which direction runs. ``key`` is what a caller knows their
    sizes and strides by; without it they are looked at.
    """

    def __init__(self, form: Form) -> None:
        self.form, plan = form, form.plan
        self.columns, self.products = len(plan.columns), len(plan.products)
        self.plan = plan
        ahead, kept = forward.slots(plan), sizes.kept_slots(plan)
        self.infer = Pass(ahead, kept, self._loader("infer", "elman_forward"))
        self.train = Pass(ahead, kept, self._loader("train", "elman_forward"))
        self.back = Pass(backward.slots(plan), kept, self._loader("backward", "elman_backward"))
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
        size: Sizes,
        tensors: Sequence[Tensor | None],
        results: Sequence[Tensor],
        saved: Tensor | None,
        direction: int = 0,
        count: int = 1,
        key: Any = None,
    ) -> None:
        """Runs the forward pass; writes the ``results``, output and final states, and ``saved``."""
        run = self.infer if saved is None else self.train
        T, B, N, counts, _, reverse = rows
        threads = thread_count(self._work(2.0, N, size), B)
        every = [*tensors, *results]
        if key is None:
            key = [None if t is None else t.stride() for t in every]
            key = (T, B, N, counts is None, reverse, size, direction, count, *key)
        prepared = run.prepared.get((key, threads))
        if prepared is None:
            made = sizes.forward(self.form, rows, size, threads, saved is not None)
            places = self._given(every, direction, count)
            of_results = self._ends("output", "hn", every, len(tensors), direction, count)
            prepared = run.prepare((key, threads), every, [*places, *of_results], *made)
        table, owner = run.start(prepared, every, rows, threads, saved)
        run.code.call(table.buffer_info()[0])
        del owner  # until here the code used it

    def backward(
        self,
        rows: Rows,
        size: Sizes,
        tensors: Sequence[Tensor | None],
        gradients: Sequence[Tensor | None],
        goals: Sequence[Tensor | None],
        saved: Tensor,
        direction: int = 0,
        count: int = 1,
        key: Any = None,
        *,
        add: bool = False,
        segment: bool = False,
        add_weights: bool = False,
    ) -> None:
        """Runs the backward pass; writes those ``goals`` that are not None, in the order of the
        tensors, x's and the weights' contiguous.

        Args:
            gradients: those of the results.
            add: x's and the inputs' are added to what is there, for the second direction.
            segment: the call is one segment of a longer one.
            add_weights: so are the weights', to those of the segments that have been done.
        """
        run = self.back
        T, B, N, counts, _, reverse = rows
        threads = thread_count(self._work(4.0, N, size), B)
        every = [*tensors, *gradients, *goals]
        if key is None:
            key = [None if t is None else t.stride() for t in every]
            key = (T, B, N, counts is None, reverse, size, direction, count, segment, *key)
        prepared = run.prepared.get((key, threads))
        mine = self.first_weight(direction)
        if prepared is None:
            wanted = goals[mine : mine + len(self.plan.step.parameters)]
            asked = [goal is not None for goal in wanted]
            made = sizes.backward(self.form, rows, size, threads, asked)
            x = tensors[0]
            assert x is not None
            jobs = sizes.jobs(self.form, asked, x.stride(-1), size)
            segments = _segments(rows, segment) if counts is None else None
            places = [*self._given(every, direction, count, backwards=True)]
            places += self._ends("gout", "ghn", every, len(tensors), direction, count)
            places += self._goals(every, len(tensors) + len(gradients), direction, count)
            prepared = run.prepare((key, threads), every, places, *made, jobs, segments)
        table, owner = run.start(prepared, every, rows, threads, saved)
        at = run.at
        table[at["dx.add"]], table[at["sums.add"]] = add, add_weights
        assert prepared.jobs is not None
        jobs_now = prepared.jobs.of(goals, mine)
        table[at["jobs"]] = jobs_now.buffer_info()[0]
        segments = prepared.segments or _segments(rows, segment)
        table[at["segments"]], numbers = segments.buffer_info()
        table[at["segments.n"]] = numbers // 2
        run.code.call(table.buffer_info()[0])
        del owner, jobs_now, segments

    def _work(self, each: float, rows: int, size: Sizes) -> float:
        width, units, _ = size
        return each * rows * units * (self.columns * width + self.products * units)

    def first_weight(self, direction: int) -> int:
        """The number of a direction's first parameter."""
        step = self.plan.step
        return 1 + len(step.states) + len(step.inputs) + direction * len(step.parameters)

    def _given(
        self,
        every: Sequence[Tensor | None],
        direction: int,
        count: int,
        backwards: bool = False,
    ) -> Iterator[Place]:
        """The tensors of the layer; the backward pass does not read the initial states."""
        step = self.plan.step
        yield Place("x", 0)
        if not backwards:
            yield from self._states("h0", every, 1, direction, count)
        for number, name in enumerate(step.inputs, 1 + len(step.states)):
            yield Place(f"input.{name}", number)
        for number, name in enumerate(step.parameters, self.first_weight(direction)):
            yield Place(name, number, outside=False)

    def _states(
        self, slot: str, every: Sequence[Tensor | None], first: int, direction: int, count: int
    ) -> Iterator[Place]:
        """A direction's part of tensors ``(count, B, H)``, one for each state."""
        for number, name in enumerate(self.plan.step.states, first):
            tensor, offset = every[number], 0
            if tensor is not None and count > 1:
                offset = direction * tensor.stride(0) * tensor.itemsize
            yield Place(f"{slot}.{name}", number, offset)

    def _ends(
        self,
        output: str,
        state: str,
        every: Sequence[Tensor | None],
        first: int,
        direction: int,
        count: int,
    ) -> Iterator[Place]:
        """A direction's part of the units of the output, and of the final states after it."""
        tensor, offset = every[first], 0
        if tensor is not None:
            units = tensor.shape[-1] // count
            offset = direction * units * tensor.stride(-1) * tensor.itemsize
        yield Place(output, first, offset)
        yield from self._states(state, every, first + 1, direction, count)

    def _goals(
        self, every: Sequence[Tensor | None], first: int, direction: int, count: int
    ) -> Iterator[Place]:
        """The gradients but those of the weights, which are the jobs'."""
        if self.plan.z_x:
            yield Place("dx", first, strided=False)
        yield from self._states("gh0", every, first + 1, direction, count)
        states = len(self.plan.step.states)
        for number, name in enumerate(self.plan.step.inputs, first + 1 + states):
            yield Place(f"ginput.{name}", number)


def _segments(rows: Rows, one: bool) -> array[int]:
    """Where the rows of each segment begin and end, in the order of the backward pass."""
    spans = [(0, rows.T)] if one else reversed(rows.segments())
    return array("q", [rows.first_row(t) for span in spans for t in span])


_kernels: dict[tuple[Any, ...], Kernel] = {}
#: What callers remember of calls, by their signatures. It holds kernels, and goes when one goes.
CALLS: dict[tuple[Any, ...], Any] = {}


def forget() -> None:
    """No kernel is in memory any more."""
    _kernels.clear()
    CALLS.clear()


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
                CALLS.clear()
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
