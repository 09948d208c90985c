"""What a call of one layer consists of besides its input: which rows when, and the weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .spaces import HIDDEN, Sizes
from .step import Step

_PARTS = 16  # of a batch, at most: their number is a power of two
_FEW, _MANY = 4, 12  # rows from which on there are two parts; rows of a part if there are more
_OVER_TIME = 128  # rows of a part, over all steps: as many are worth sums of their own
_WIDE = 128  # units up to which a segment has twice as many rows as for more
_DEEP = 128  # rows of a segment of wider layers: panels of their weights' gradients are no deeper


class Order(NamedTuple):
    """The order in which the weights' gradients are summed up over rows and steps.

    The batch is cut into parts of so many rows, which have sums of their own that are added up in
    the end, so that a thread needs no other for its part. Within one, segment of time follows
    segment, the last one first; one has 128 rows or more, 256 in narrow layers, which is how deep
    a product may be.
    """

    parts: int
    rows: int  # of a part; the last one may have fewer
    segment: int  # steps


class Rows(NamedTuple):
    """The rows of a batch over time. ``counts`` and ``offsets`` are None if all have ``T`` steps;
    else ``counts[t]`` rows are active at step ``t`` and lie from row ``offsets[t]`` on.

    In a ``flat`` call, of one step of one layer in one direction, the input and the states are
    ``(B, F)``, without the dimensions of time and of layers.
    """

    T: int
    B: int
    N: int  # rows of all steps together
    counts: Tensor | None = None
    offsets: Tensor | None = None
    reverse: bool = False
    flat: bool = False

    @property
    def lead(self) -> tuple[int, ...]:
        """The dimensions of the input but the last."""
        return (self.T, self.B) if self.counts is None and not self.flat else (self.N,)

    def of_states(self, count: int) -> tuple[int, ...]:
        """The dimensions but the last of a state of so many layers and directions."""
        return (self.B,) if self.flat else (count, self.B)

    def ways(self, directions: int) -> list[Rows]:
        """The rows as each direction walks them; the second one runs in reverse."""
        return [self] if directions == 1 else [self, self._replace(reverse=True)]

    def order(self, units: int) -> Order:
        """How the weights' gradients of a layer of so many hidden units are summed up, which
        depends on nothing but these sizes."""
        enough = max(self.B // _MANY, 2 if self.B >= _FEW else 1)
        most = max(1, min(_PARTS, enough, self.N // _OVER_TIME))
        rows = max(1, -(-self.B // (1 << most.bit_length() - 1)))
        deep = 2 * _DEEP if units <= _WIDE else _DEEP
        return Order(-(-self.B // rows), rows, -(-deep // rows))

    def spans(self, units: int) -> list[tuple[int, int]]:
        """The steps in spans, first and last but one, in the order in which they run: between them
        states are kept where the steps of each run once more for the backward pass.

        A span is a few segments (:class:`Order`), so that the weights' gradients have the same bits
        whether all steps are kept or each span runs once more.
        """
        segment = self.order(units).segment
        length = segment * -(-math.isqrt(4 * self.T) // segment)
        cuts = [*range(0, self.T, length), self.T]
        pairs = list(itertools.pairwise(cuts))
        return [(self.T - b, self.T - a) for a, b in pairs] if self.reverse else pairs

    def first_row(self, t: int) -> int:
        """Where the rows of a step begin among all rows; those after the last one, how many."""
        if self.offsets is None:
            return t * self.B
        return self.N if t == self.T else int(self.offsets[t])

    def part(self, first: int, stop: int) -> Rows:
        """The rows of some of the steps."""
        start, N = self.first_row(first), self.first_row(stop) - self.first_row(first)
        if self.counts is None or self.offsets is None:
            return self._replace(T=stop - first, N=N)
        counts = self.counts[first:stop]
        offsets = self.offsets[first:stop] - start
        return Rows(stop - first, int(counts[0]), N, counts, offsets, self.reverse)


class Weights(NamedTuple):
    """The tensors of one layer and direction.

    ``w_ih`` is ``(X*H, I)``, X the gates with rows in it, ``w_hh`` ``(U*H, H)``; the biases are
    ``(X*H,)`` and ``(U*H,)``. Any of them may be None: biases, and matrices of no gate. ``more``
    holds the further matrices and vectors in the order in which the step names them.
    """

    w_ih: Tensor | None
    w_hh: Tensor | None
    b_ih: Tensor | None
    b_hh: Tensor | None
    more: tuple[Tensor, ...] = ()

    def flat(self) -> tuple[Tensor | None, ...]:
        return self[:4] + self.more

    @staticmethod
    def of(flat: Sequence[Any]) -> Weights:
        return Weights(flat[0], flat[1], flat[2], flat[3], tuple(flat[4:]))

    def sizes(self, step: Step) -> Sizes:
        """The sizes of the layer; of the input's features only if ``w_ih`` says how many."""
        return step.sizes([None if t is None else t.shape for t in self.flat()])


class Given(NamedTuple):
    """The tensors of a layer's call, by kind; :meth:`flat` and :meth:`of` are inverse."""

    x: Tensor
    initial: Sequence[Tensor | None]  # for each state (D, B, H)
    inputs: Sequence[Tensor]  # for each further input (T, B, H) or (N, H)
    weights: Sequence[Weights]  # for each direction

    def flat(self) -> list[Tensor | None]:
        flat: list[Tensor | None] = [self.x, *self.initial, *self.inputs]
        for mine in self.weights:
            flat += mine.flat()
        return flat

    @staticmethod
    def of(step: Step, flat: Sequence[Any]) -> Given:
        states, first = 1 + len(step.states), 1 + len(step.states) + len(step.inputs)
        count = 4 + len(step.matrices) + len(step.vectors)
        weights = [Weights.of(flat[i : i + count]) for i in range(first, len(flat), count)]
        return Given(flat[0], flat[1:states], flat[states:first], weights)


def part_of(state: Any, layer: int, D: int) -> Any:
    """A layer's part of a state ``(layers * D, B, H)``, which may be None."""
    return None if state is None else state[layer * D : (layer + 1) * D]


def by_layer(step: Step, tensors: Sequence[Any], layers: int) -> list[list[Any]]:
    """The tensors of each layer of a stack in the order of ``Given``.

    Those of a stack are the lowest layer's input, for each state a ``(layers * D, B, H)`` tensor or
    None, and then of each layer its further inputs and its weights. The input of all but the lowest
    is what the one below puts out, which stands here as None.
    """
    if layers == 1:
        return [[*tensors]]
    first = 1 + len(step.states)
    own = (len(tensors) - first) // layers
    D = (own - len(step.inputs)) // len(step.parameters)
    return [
        [
            None if layer else tensors[0],
            *(part_of(t, layer, D) for t in tensors[1:first]),
            *tensors[first + layer * own : first + (layer + 1) * own],
        ]
        for layer in range(layers)
    ]


def check_shapes(step: Step, rows: Rows, tensors: Sequence[Tensor | None], layers: int = 1) -> None:
    """RuntimeError unless the tensors of layers (:func:`by_layer`) go together: kernels would read
    beyond their end otherwise, and anyone can put them there."""
    given = by_layer(step, tensors, layers)
    D = len(Given.of(step, given[0]).weights)
    output: Any = None
    for mine in given:
        shapes = [None if t is None else t.shape for t in mine]
        if output is not None:
            shapes[0] = torch.Size([*rows.lead, output])
        output = D * _check_layer(step, rows, shapes, D)


def _check_layer(step: Step, rows: Rows, shapes: Sequence[Any], D: int) -> int:
    """Units of the layer's output."""
    x: Any
    x, initial, inputs, weights = Given.of(step, shapes)
    first: Any = weights[0].flat()
    sizes = step.sizes(first).with_input(x[-1])
    for space in step.spaces:
        if sizes[space] > sizes.units:
            raise RuntimeError(
                f"expected at most {sizes.units} {space.units}, as many as there are "
                f"{HIDDEN.units}, got {sizes[space]}"
            )
    found = step.shapes(sizes)
    expected = [found.get(name) for name in step.parameters]
    for mine in weights:
        for i, (want, have) in enumerate(zip(expected, mine.flat(), strict=True)):
            if want != have and not (have is None and i in (2, 3)):
                got = None if have is None else tuple(have)
                raise RuntimeError(
                    f"expected {step.parameters[i]} of shape {want}, got {got}: something has "
                    "replaced it"
                )
    if x != (*rows.lead, x[-1]):
        raise RuntimeError(f"expected x of shape {(*rows.lead, x[-1])}, got {tuple(x)}")
    for name, h in zip(step.states, initial, strict=True):
        shape = (*rows.of_states(D), sizes[step.space(name)])
        if h is not None and h != shape:
            raise RuntimeError(f"expected an initial state of shape {shape}, got {tuple(h)}")
    for further in inputs:
        if further != (*rows.lead, sizes.units):
            raise RuntimeError(
                f"expected a further input of shape {(*rows.lead, sizes.units)}, got "
                f"{tuple(further)}"
            )
    return sizes[step.output_space]
