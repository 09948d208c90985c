"""The layers of a stack, for every module that has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import function
from ..batch import Rows, part_of
from ..execution import Bound
from ..step import Step

#: A state of all layers: a tensor ``(L*D, B, H)``, or where the layers' sizes differ a list of one
#: ``(D, B, H)`` for each. None stands for zeros.
State = Any


class Bounds:
    """What runs the layers of a stack: all as one, or each by itself. The first call leaves it here
    for others with tensors of the same signature."""

    def __init__(self, layers: int) -> None:
        self.whole: Bound | None = None
        self.each: list[Bound | None] = [None] * layers

    def complete(self) -> bool:
        """Whether all layers run on kernels."""
        return self.whole is not None or all(self.each)


def run(
    step: Step,
    rows: Rows,
    x: Tensor,
    initial: Sequence[State],
    weights: Sequence[Sequence[Tensor | None]],
    bounds: Bounds,
    dropout: float = 0.0,
    inputs: Sequence[Sequence[Tensor]] | None = None,
    merge: Callable[[Tensor], Tensor] | None = None,
    residual: bool = False,
    recompute: bool = False,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Sequence[State]]:
    """Every layer on the output of the one below.

    ``inputs`` and ``weights`` hold for each layer what ``recur`` takes, the weights of both
    directions in one row. ``dropout`` is 0 in evaluation; ``recompute`` is that of ``recur``, and
    ``lengths`` those of captured calls, see ``function.layer``.

    Returns the last output, and the final states in the form of the initial ones.
    """
    layers, of_each = len(weights), type(initial[0]) is list
    if not of_each and (layers == 1 or not (residual or merge is not None)):
        tensors = [x, *initial]
        for i, mine in enumerate(weights):
            tensors += [*inputs[i], *mine] if inputs else mine
        if bounds.whole is None and layers > 1:
            bounds.whole = function.stacked(step, rows, tensors, layers, recompute)
        results: Sequence[Tensor] | None = None
        if bounds.whole is not None:
            results = function.run(bounds.whole, rows, tensors, dropout)
        elif layers == 1:
            results, bounds.whole = function.layer(step, rows, tensors, recompute, lengths)
        if results is not None:
            x, *final = results
            return x if merge is None else merge(x), final
    finals, directions = [], len(weights[0]) // len(step.parameters)
    for layer, mine in enumerate(weights):
        below = x
        if layer and dropout:
            x = torch.dropout(x, dropout, True)
        begin = [s[layer] if of_each else part_of(s, layer, directions) for s in initial]
        tensors = [x, *begin, *(inputs[layer] if inputs else ()), *mine]
        bound = bounds.each[layer]
        if bound is not None and (not layer or bound.takes(x)):
            x, *final = function.run(bound, rows, tensors)
        else:
            made = function.layer(step, rows, tensors, recompute, lengths)
            (x, *final), bounds.each[layer] = made
        x = x if merge is None else merge(x)
        x = below + x if residual and layer else x
        finals.append(final)
    by_state = [[*parts] for parts in zip(*finals, strict=True)]
    if of_each:
        return x, by_state
    if not torch._C._is_any_autocast_enabled():
        return x, [torch.cat(parts) for parts in by_state]
    with torch.autocast(x.device.type, enabled=False):  # which refuses the other narrow dtype
        return x, [torch.cat(parts) for parts in by_state]
