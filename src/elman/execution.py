"""A layer's forward and backward pass by the kernels, for all its directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import recompute
from .batch import Given, Rows
from .cell import Step
from .compiler.isa import ISA
from .compiler.kernel import CALLS, kernel_for
from .compiler.sizes import Sizes
from .paths import kernel_isa, ready_isa

_LIMIT = 1024  # signatures that are remembered

Signature = tuple[Any, ...]


def bind(
    step: Step, rows: Rows, tensors: Sequence[Tensor | None], recompute: bool = False
) -> Bound | None:
    """The passes for these tensors, in the order of ``Given``; None where the reference runs.

    Raises RuntimeError for shapes that do not go together: tensors would be read beyond their end,
    and anyone can put them there.
    """
    isa = ready_isa()
    signature: Signature = ()
    if isa is not None:
        signature = (step, isa, recompute, *_signature(rows, tensors))
        found: Bound | None = CALLS.get(signature)
        if found is not None:
            return found
    _check_shapes(step, rows, tensors)
    if kernel_isa(tensors) is None or isa is None or rows.N == 0:
        return None
    return _remember(signature, rows, tensors)


def _remember(signature: Signature, rows: Rows, tensors: Sequence[Tensor | None]) -> Bound:
    step, isa, recompute, *_ = signature
    _check_shapes(step, rows, tensors)
    made = Bound(step, rows, isa, recompute, tensors)
    if len(CALLS) >= _LIMIT:
        CALLS.clear()
    CALLS[signature] = made
    return made


def _signature(rows: Rows, tensors: Sequence[Tensor | None]) -> list[Any]:
    """All that shapes, strides, and what a kernel can read depend on."""
    T, B, N, counts, _, reverse = rows
    return [
        *(T, B, N, counts is None, reverse),
        *[
            None if t is None else (type(t), t.dtype, t.is_cpu, t.is_neg(), t.shape, t.stride())
            for t in tensors
        ],
    ]


class Bound:
    """The kernels' passes for tensors of one signature."""

    def __init__(
        self,
        step: Step,
        rows: Rows,
        isa: ISA,
        in_segments: bool,
        tensors: Sequence[Tensor | None],
    ) -> None:
        x, _, _, weights = Given.of(step, tensors)
        units, projected = weights[0].sizes(step)
        self.step, self.isa, self.recompute, self.count = step, isa, in_segments, len(weights)
        self.in_segments = in_segments and len(rows.segments()) > 1
        self.size = Sizes(x.shape[-1], units, projected)
        self.kernel = kernel_for(step, x.dtype, isa, units, rows.B == 1)
        lead = (rows.T, rows.B) if rows.counts is None else (rows.N,)
        sizes = [projected, *(units for _ in step.states[1:])]
        #: Of the output and the final states.
        self.shapes = [(*lead, self.count * projected)]
        self.shapes += [(self.count, rows.B, size) for size in sizes]
        self.saved_size = self.kernel.saved_size(rows, units)

    def again(self, rows: Rows, tensors: Sequence[Tensor | None]) -> Bound:
        """The passes for the tensors that were saved, whose memory somebody may have replaced."""
        signature = (self.step, self.isa, self.recompute, *_signature(rows, tensors))
        return CALLS.get(signature) or _remember(signature, rows, tensors)

    def run(
        self, rows: Rows, tensors: Sequence[Tensor | None], keep: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The output and the final states; also what is kept for the backward pass."""
        x: Any = tensors[0]
        results = [x.new_empty(shape) for shape in self.shapes]
        kept: list[Tensor] = []
        for d in range(self.count):
            way = rows._replace(reverse=True) if d else rows
            if keep and self.in_segments:
                kept += recompute.forward(self.kernel, way, self.size, tensors, results, d)
                continue
            saved = x.new_empty(self.saved_size) if keep else None
            self.kernel.forward(way, self.size, tensors, results, saved, d, self.count, (self, d))
            if saved is not None:
                kept.append(saved)
        return results, kept

    def gradients(
        self,
        rows: Rows,
        tensors: Sequence[Tensor | None],
        kept: Sequence[Tensor],
        arrived: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> list[Tensor | None]:
        """The gradients of the tensors; None for those not needed. ``arrived`` are those of the
        results."""
        goals = [_like(t) if n else None for t, n in zip(tensors, needed, strict=True)]
        if not self.kernel.plan.complete:  # the formula reads something that has no gradient
            for goal in goals:
                if goal is not None:
                    goal.zero_()
        strides = [None if g is None else g.stride() for g in arrived]
        for d in range(self.count):
            way = rows._replace(reverse=True) if d else rows
            if self.in_segments:
                states = len(self.step.states)
                before = kept[d * states : (d + 1) * states]
                recompute.backward(self.kernel, way, self.size, tensors, before, arrived, goals, d)
                continue
            key = (self, d, *needed, *strides)
            self.kernel.backward(
                way, self.size, tensors, arrived, goals, kept[d], d, self.count, key, add=d > 0
            )
        return goals


def _like(tensor: Tensor | None) -> Tensor | None:
    """Room for a gradient, contiguous whatever the tensor is."""
    if tensor is None:
        return None
    # The first takes half the time of the second.
    return torch.empty_like(tensor) if tensor.is_contiguous() else tensor.new_empty(tensor.shape)


def _check_shapes(step: Step, rows: Rows, tensors: Sequence[Tensor | None]) -> None:
    lead = (rows.T, rows.B) if rows.counts is None else (rows.N,)
    x: Any
    shapes = [None if t is None else t.shape for t in tensors]
    x, initial, inputs, weights = Given.of(step, shapes)
    first: Any = weights[0]
    of, count = (first.w_hh, step.u_gates) if step.u_gates else (first.w_ih, step.x_gates)
    units = projected = of[0] // len(count)
    if step.projection:
        projected = first.more[list(step.matrices).index(step.projection)][0]
    if projected > units:
        raise RuntimeError(
            f"expected a projected state of at most {units} units, as many as the hidden state "
            f"has, got {projected}"
        )
    found = step.shapes(x[-1], units, projected)
    expected = [found.get(name) for name in step.parameters]
    for mine in weights:
        for i, (want, have) in enumerate(zip(expected, mine.flat(), strict=True)):
            if want != have and not (have is None and i in (2, 3)):
                got = None if have is None else tuple(have)
                raise RuntimeError(
                    f"expected {step.parameters[i]} of shape {want}, got {got}: something has "
                    "replaced it"
                )
    if x != (*lead, x[-1]):
        raise RuntimeError(f"expected x of shape {(*lead, x[-1])}, got {tuple(x)}")
    size = projected
    for h in initial:
        if h is not None and h != (len(weights), rows.B, size):
            raise RuntimeError(
                f"expected an initial state of shape {(len(weights), rows.B, size)}, got {tuple(h)}"
            )
        size = units  # of all states but the first
    for further in inputs:
        if further != (*lead, units):
            raise RuntimeError(
                f"expected a further input of shape {(*lead, units)}, got {tuple(further)}"
            )
