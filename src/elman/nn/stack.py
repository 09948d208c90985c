"""The loop over the layers of a stack, for every module that has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .. import function
from ..batch import Rows
from ..cell import Step
from ..execution import Bound
from ..stacked import Stacked, stacked_of


class Bounds:
    """What runs the layers of a stack: each by itself, or all as one. The first call leaves it here
    for others with tensors of the same signature."""

    def __init__(self, layers: int) -> None:
        self.each: list[Bound | None] = [None] * layers
        self.stacked: Stacked | None = None

    def complete(self) -> bool:
        """Whether all layers run on kernels."""
        if not all(self.each):
            return False
        self.stacked = self.stacked or stacked_of(self.each)
        return True


def run(
    step: Step,
    rows: Rows,
    x: Tensor,
    initial: Sequence[Sequence[Tensor | None]],
    weights: Sequence[Sequence[Tensor | None]],
    bounds: Bounds,
    dropout: float = 0.0,
    inputs: Sequence[Sequence[Tensor]] | None = None,
    merge: Callable[[Tensor], Tensor] | None = None,
    residual: bool = False,
    recompute: bool = False,
) -> tuple[Tensor, Sequence[Sequence[Tensor]]]:
    """Every layer on the output of the one below.

    ``initial``, ``inputs`` and ``weights`` hold for each layer what ``recur`` takes, the weights of
    both directions in one row. ``dropout`` is 0 in evaluation; ``recompute`` is that of ``recur``.

    Returns the last output, and for each layer its final states.
    """
    layers = len(weights)
    together = layers == 1 or (not dropout and not residual and merge is None)
    if together and (bounds.stacked is not None or bounds.each[0] is None):
        every: list[Tensor | None] = [x]
        for i, mine in enumerate(weights):
            every += [*initial[i], *(inputs[i] if inputs else ()), *mine]
        if bounds.stacked is None:
            bounds.stacked = function.stacked(step, rows, every, layers, recompute)
            if bounds.stacked is not None:
                bounds.each = [*bounds.stacked.bounds]
        if bounds.stacked is not None:
            x, *states = function.run(bounds.stacked, rows, every)
            x = x if merge is None else merge(x)
            count = len(step.states)
            return x, [states[i : i + count] for i in range(0, len(states), count)]
    finals = []
    for layer, mine in enumerate(weights):
        below = x
        if layer and dropout:
            x = torch.dropout(x, dropout, True)
        tensors = [x, *initial[layer], *(inputs[layer] if inputs else ()), *mine]
        bound = bounds.each[layer]
        if bound is not None and (not layer or bound.takes(x)):
            x, *final = function.run(bound, rows, tensors)
        else:
            (x, *final), bounds.each[layer] = function.layer(step, rows, tensors, recompute)
        x = x if merge is None else merge(x)
        x = below + x if residual and layer else x
        finals.append(final)
    return x, finals


def split(
    states: Sequence[Tensor | None], layers: int, directions: int
) -> Sequence[Sequence[Tensor | None]]:
    """States ``(L*D, B, H)`` by layer."""
    if layers == 1:
        return [states]
    parts = [slice(i * directions, (i + 1) * directions) for i in range(layers)]
    return [[None if s is None else s[part] for s in states] for part in parts]


def join(finals: Sequence[Sequence[Tensor]]) -> Sequence[Tensor]:
    """States by layer as one tensor ``(L*D, B, H)`` each."""
    if len(finals) == 1:
        return finals[0]
    return [torch.cat(parts) for parts in zip(*finals, strict=True)]
