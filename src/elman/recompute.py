"""Less memory for long sequences: only the states between segments of time are kept.

The forward pass runs segment after segment; the backward pass runs each once more, now keeping
what it needs, and then back. The bits are those of a call that keeps everything: states are handed
over as they are, and the weights' gradients are summed up in these segments anyway
(``Rows.segments``). The idea is T. Chen, B. Xu, C. Zhang and C. Guestrin, "Training Deep Nets with
Sublinear Memory Cost" (2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from .batch import Rows, Weights
from .compiler.kernel import Gradients, Kernel

_Maybe = TypeVar("_Maybe", Tensor, Tensor | None)


def forward(
    kernel: Kernel,
    rows: Rows,
    x: Tensor,
    weights: Weights,
    initial: Sequence[Tensor | None],
    output: Tensor,
    final: Sequence[Tensor],
    inputs: Sequence[Tensor],
) -> list[Tensor]:
    """Writes ``output`` and ``final``; returns for each state its values before each segment,
    ``(segments, B, H)``."""
    now = [f[None] if f.dim() == 2 else f for f in final]
    for given, state in zip(initial, now, strict=True):
        state.zero_() if given is None else state.copy_(given)
    before: list[list[Tensor]] = []
    for a, b in rows.segments():
        part = rows.part(a, b)
        before.append([state.clone() for state in now])
        states = [state[:, : part.B] for state in now]  # read at a row's start, written at its end
        kernel.forward(
            part,
            _steps(x, rows, a, b),
            weights,
            states,
            _steps(output, rows, a, b),
            states,
            None,
            [_steps(i, rows, a, b) for i in inputs],
        )
    return [torch.cat(values) for values in zip(*before, strict=True)]


def backward(
    kernel: Kernel,
    rows: Rows,
    x: Tensor,
    weights: Weights,
    before: Sequence[Tensor],
    gout: Tensor | None,
    gfinal: Sequence[Tensor | None],
    wanted: Gradients,
    inputs: Sequence[Tensor],
) -> None:
    """Writes the tensors of ``wanted`` that are not None."""
    units = weights.sizes(kernel.plan.step)[0]
    now = [torch.zeros_like(b[:1]) for b in before]
    for state, given in zip(now, gfinal, strict=True):
        if given is not None:
            state.copy_(given)
    segments = rows.segments()
    for index, (a, b) in reversed(list(enumerate(segments))):
        part = rows.part(a, b)
        mine, further = _steps(x, rows, a, b), [_steps(i, rows, a, b) for i in inputs]
        saved = x.new_empty(kernel.saved_size(part, units))
        start = [s[index : index + 1, : part.B] for s in before]
        end = [torch.empty_like(s) for s in start]
        output = x.new_empty((*mine.shape[:-1], before[0].shape[-1]))
        kernel.forward(part, mine, weights, start, output, end, saved, further)
        states = [state[:, : part.B] for state in now]
        goals = Gradients(
            _steps(wanted.x, rows, a, b),
            wanted.add,
            states,
            [_steps(i, rows, a, b) for i in wanted.inputs],
            wanted.weights,
            segment=True,
            add_weights=index + 1 < len(segments),
        )
        kernel.backward(
            part, mine, weights, saved, _steps(gout, rows, a, b), states, goals, further
        )
    for state, goal in zip(now, wanted.initial, strict=True):
        if goal is not None:
            goal.copy_(state.view(goal.shape))


def _steps(tensor: _Maybe, rows: Rows, first: int, stop: int) -> _Maybe:
    """Some steps of a tensor ``(T, B, ...)``, or ``(N, ...)`` for ragged rows."""
    if tensor is None:
        return tensor
    if rows.counts is None:
        return tensor[first:stop]
    return tensor[rows.first_row(first) : rows.first_row(stop)]
