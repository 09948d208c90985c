"""A cell's further inputs, which a call gives by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..spaces import Sizes
from ..step import Step
from .arguments import Call
from .checks import tensor


def read_of_layers(owner: str, step: Step, given: Any, call: Call, weight: Tensor) -> list[Tensor]:
    """The further inputs of a call of layers, in the form of its input."""

    def arrange(value: Tensor) -> Tensor:
        if call.packed is not None:
            return value
        if not call.batched:
            return value.unsqueeze(1)
        return value.transpose(0, 1) if call.batch_first else value

    lead: tuple[int, ...] = call.rows[:2] if call.packed is None else (call.rows.N,)
    dims = len(lead) + (1 if call.batched else 0)
    return read(owner, step, given, weight, lead, dims, arrange, call.packed)


def read(
    owner: str,
    step: Step,
    inputs: Any,
    weight: Tensor,
    lead: tuple[int, ...],
    dims: int,
    arrange: Callable[[Tensor], Tensor],
    packed: PackedSequence | None = None,
) -> list[Tensor]:
    """The tensors in the order of the step, as ``(*lead, F)``.

    ``dims`` is how many dimensions the caller's tensors have, ``arrange`` puts them in order.
    """
    if inputs is None and not step.given_inputs:
        return []
    given = {} if inputs is None else inputs
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{owner}: expected inputs to be a dict of tensors by name, got {type(given).__name__}"
        )
    if set(given) != set(step.given_inputs):
        raise ValueError(
            f"{owner}: expected inputs of the names {list(step.given_inputs)}, which the cell "
            f"reads, got {list(given)}"
        )
    found = []
    for name in step.given_inputs:
        label, value = f"inputs[{name!r}]", given[name]
        if packed is not None:
            value = _data(owner, label, value, packed)
        if isinstance(value, Tensor) and value.dtype == torch.bool:
            value = value.to(weight.dtype)
        value = tensor(owner, label, value, weight)
        shown = tuple(value.shape)
        fits = value.dim() == dims
        if fits:
            value = arrange(value)
            pairs = zip(value.shape[:-1], lead, strict=True)
            fits = all(have == 1 or have == want for have, want in pairs)
        if not fits:
            raise RuntimeError(
                f"{owner}: expected {label} to have the {dims} dimensions of input, and its sizes "
                f"or 1 in all but the last, got shape {shown}"
            )
        found.append(value.expand(*lead, value.shape[-1]))
    return found


def spread(
    owner: str, step: Step, found: Sequence[Tensor], sizes: Sequence[Sizes]
) -> list[list[Tensor]]:
    """What :func:`read` found for every layer, with one number for each of its units."""
    if not found:
        return [[]] * len(sizes)
    spaces = [step.input_space(name).stored for name in step.given_inputs]
    for name, space, value in zip(step.given_inputs, spaces, found, strict=True):
        for size in sizes:
            units = size[space]
            if value.shape[-1] != 1 and value.shape[-1] != units:
                expected = f"{space.option}={units}" if space.option else units
                raise RuntimeError(
                    f"{owner}: expected the last dimension of inputs[{name!r}] to be 1 or "
                    f"{expected}, got {value.shape[-1]}"
                )
    pairs = [*zip(spaces, found, strict=True)]
    return [[v.expand(*v.shape[:-1], size[space]) for space, v in pairs] for size in sizes]


def _data(owner: str, label: str, value: Any, packed: PackedSequence) -> Tensor:
    """The data of a further input that is packed as the input is."""
    if not isinstance(value, PackedSequence):
        raise TypeError(
            f"{owner}: expected {label} to be a PackedSequence as input is, got "
            f"{type(value).__name__}"
        )
    mine, theirs = value.sorted_indices, packed.sorted_indices
    same = mine is theirs or (mine is not None and theirs is not None and torch.equal(mine, theirs))
    if not same or not torch.equal(value.batch_sizes, packed.batch_sizes):
        raise RuntimeError(
            f"{owner}: expected {label} to be packed as input is, with the same lengths in the "
            "same order; pack both with the same lengths"
        )
    return value.data
