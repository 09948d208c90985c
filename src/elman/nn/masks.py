"""The random values of one call, drawn by torch's generator.

They are drawn before anything runs, in one order: the masks of weights, then layer by layer those
of its input, its formula and its output. So a seed gives the same numbers on every path, with any
number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..randoms import KEEP, Draw
from ..rows import Rows
from ..spaces import Sizes
from ..step import Step
from .regularise import Drawn, Regularisation


class LayerMasks(NamedTuple):
    """The random values of one layer: factors of its input and output, or None; what its formula
    reads, in the order of the step's inputs. The directions lie side by side."""

    input: Tensor | None = None
    inner: Sequence[Tensor] = ()
    output: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> LayerMasks:
        """The same with another form of each."""
        first, last = (None if t is None else change(t) for t in (self.input, self.output))
        return LayerMasks(first, [change(t) for t in self.inner], last)


class Recipe:
    """What is drawn for one layer. Values that are drawn alike are drawn as one tensor."""

    def __init__(
        self, drawn: Drawn, options: Regularisation, sizes: Sizes, width: int, directions: int
    ) -> None:
        inner = [(what, directions * sizes[space]) for what, space in drawn.draws]
        ends = options.input_dropout, options.output_dropout
        first, last = (Draw(KEEP, p, "sequence") if p else None for p in ends)
        output = directions * sizes[drawn.step.output_space]
        every = [(first, width), *inner, (last, output)]
        #: By what is drawn, which of ``every`` and the units of each.
        self._alike: dict[Draw, tuple[list[int], list[int]]] = {}
        for i, (what, units) in enumerate(every):
            if what is not None:
                places, widths = self._alike.setdefault(what, ([], []))
                places.append(i)
                widths.append(units)
        self._count = len(every)

    def draw(self, rows: Rows, like: Tensor) -> LayerMasks:
        """The random values, for rows of the dtype and device of a tensor."""
        found: list[Any] = [None] * self._count
        for what, (places, widths) in self._alike.items():
            drawn = _numbers(what, rows, sum(widths), like)
            parts = drawn.split(widths, -1) if len(widths) > 1 else [drawn]
            for i, part in zip(places, parts, strict=True):
                found[i] = part
        return LayerMasks(found[0], found[1:-1], found[-1])


def _numbers(what: Draw, rows: Rows, units: int, like: Tensor) -> Tensor:
    """Random values in the form of an input of every step."""
    if what.per == "step":
        return what.numbers((*rows.lead, units), like)
    once = what.numbers((rows.B, units), like)
    if rows.flat:
        return once
    if rows.counts is None:
        return once.expand(rows.T, rows.B, units)
    return once.index_select(0, _row_of_each(rows).to(like.device))


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """A tensor times a mask, if there is one."""
    return x if mask is None else x * mask


def beside(masks: Sequence[LayerMasks], weights: Sequence[Any]) -> list[Any]:
    """The tensors of all layers: what each one's formula reads, then its weights."""
    own = len(weights) // len(masks)
    each = enumerate(masks)
    return [t for i, m in each for t in (*m.inner, *weights[i * own : (i + 1) * own])]


def _row_of_each(rows: Rows) -> Tensor:
    """The row that each of the packed steps belongs to."""
    counts, offsets = rows.counts, rows.offsets
    assert counts is not None
    assert offsets is not None
    return torch.arange(rows.N, device=counts.device) - offsets.repeat_interleave(counts)


def drop_weights(step: Step, weights: Sequence[Tensor | None], p: float) -> list[Tensor | None]:
    """The weights of layers and directions with recurrent ones set to zero: ``weight_hh`` and
    further matrices, but not the projection."""
    recurrent = {"weight_hh", *(f"weight_{m}" for m in step.matrices if m != step.projection)}
    every, what = step.parameters, Draw(KEEP, p)
    return [
        t * what.numbers(t.shape, t) if t is not None and every[i % len(every)] in recurrent else t
        for i, t in enumerate(weights)
    ]
