"""What a call of one layer consists of besides its rows: the input, the states and the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from .rows import Rows
from .spaces import HIDDEN, INPUT, Sizes, mask_grid
from .step import Step, unmasked

_Input = TypeVar("_Input", Tensor, Tensor | None)


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


class LayerArgs(NamedTuple):
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
    def of(step: Step, flat: Sequence[Any]) -> LayerArgs:
        states, first = step.first_input, step.first_weight
        count = 4 + len(step.matrices) + len(step.vectors)
        weights = [Weights.of(flat[i : i + count]) for i in range(first, len(flat), count)]
        return LayerArgs(flat[0], flat[1:states], flat[states:first], weights)


def zeroed(step: Step, name: str, tensor: Tensor) -> Tensor:
    """A parameter, with zeros for all that its mask leaves out."""
    mask = step.masks.get(name)
    if mask is None:
        return tensor
    count = next(block.blocks for block in step.blocks.values() if block.parameter == name)
    kept = torch.tensor(mask_grid(mask).tolist(), device=tensor.device)
    blocks = tensor.unflatten(0, (count, -1))
    for dim, parts in enumerate(kept.shape):
        kept = kept.repeat_interleave(blocks.shape[1 + dim] // parts, dim)
    return torch.where(kept, blocks, 0.0).flatten(0, 1)


def without_masks(step: Step, given: LayerArgs) -> tuple[Step, LayerArgs]:
    """The same layer without masks: its matrices have zeros instead."""
    if not step.masks:
        return step, given
    weights = [
        Weights.of(
            [
                None if tensor is None else zeroed(step, name, tensor)
                for name, tensor in zip(step.parameters, mine.flat(), strict=True)
            ]
        )
        for mine in given.weights
    ]
    return unmasked(step), given._replace(weights=weights)


def inputs_of(step: Step, inputs: Sequence[_Input], direction: int, count: int) -> list[_Input]:
    """The further inputs of one direction of so many: of random values its own, all of others."""
    if count == 1 or not step.randoms:
        return list(inputs)
    return [
        t.chunk(count, -1)[direction] if t is not None and name in step.randoms else t
        for name, t in zip(step.inputs, inputs, strict=True)
    ]


def part_of(state: Any, layer: int, D: int) -> Any:
    """A layer's part of a state ``(layers * D, B, H)``, which may be None."""
    return None if state is None else state[layer * D : (layer + 1) * D]


def by_layer(step: Step, tensors: Sequence[Any], layers: int) -> list[list[Any]]:
    """The tensors of each layer of a stack in the order of ``LayerArgs``.

    A stack's tensors are the lowest layer's input, then a ``(layers * D, B, H)`` tensor or None for
    each state, then each layer's further inputs and weights. The input of a higher layer is the
    output of the one below: None here.
    """
    if layers == 1:
        return [[*tensors]]
    first = step.first_input
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
    D = len(LayerArgs.of(step, given[0]).weights)
    output: Any = None
    for mine in given:
        shapes = [None if t is None else t.shape for t in mine]
        if output is not None:
            shapes[0] = torch.Size([*rows.lead, output])
        output = D * _check_layer(step, rows, shapes, D)


def _check_layer(step: Step, rows: Rows, shapes: Sequence[Any], D: int) -> int:
    """Units of the layer's output."""
    x: Any
    x, initial, inputs, weights = LayerArgs.of(step, shapes)
    first: Any = weights[0].flat()
    sizes = step.sizes(first).with_input(x[-1])
    if step.alike and sizes.width != sizes.units:
        raise RuntimeError(
            f"expected {sizes.units} features of the input, as many as hidden units, got "
            f"{sizes.width}"
        )
    for space in step.spaces:
        if space is not INPUT and sizes[space] > sizes.units:
            raise RuntimeError(
                f"expected at most {sizes.units} {space.units}, as many as there are "
                f"{HIDDEN.units}, got {sizes[space]}"
            )
    for space, heads, least in step.cuts:
        if sizes[space] % heads or sizes[space] // heads < least:
            raise RuntimeError(
                f"expected a multiple of {heads} {space.units}, into which the formula cuts them, "
                f"and at least {heads * least}, got {sizes[space]}"
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
    for name, further in zip(step.inputs, inputs, strict=True):
        units = sizes[step.input_space(name).stored]
        shape = (*rows.lead, D * units if name in step.randoms else units)
        if further != shape:
            raise RuntimeError(f"expected a further input of shape {shape}, got {tuple(further)}")
    return sizes[step.output_space]
