"""What every layer gives out at every step: the third result of a call with ``return_states``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.nn.utils.rnn import PackedSequence

from ..step import Step
from .states import hx_of, join


def recorded(step: Step, layers: Sequence[Sequence[Any]], directions: int, alike: bool) -> Any:
    """The states, and what the formula names besides, each by layer and direction.

    ``layers`` has the outputs of each layer in the order of ``step.outputs``, in the form of the
    input, those of both directions side by side. Unless layers are ``alike``, the result has a list
    of one part for each. The last layer's first output is the caller's already: it is copied.
    """
    *below, (first, *others) = layers
    if len(layers) == 1 or not alike or isinstance(first, PackedSequence):
        layers = [*below, [_copy(first), *others]]
    each = [[mine[i] for mine in layers] for i in step.returned]
    return hx_of([_of_layers(outputs, directions, alike) for outputs in each])


def _of_layers(outputs: Sequence[Any], directions: int, alike: bool) -> Any:
    """One output of all layers."""
    each = [_by_direction(output, directions) for output in outputs]
    if not alike:
        return each
    if isinstance(each[0], list):
        return [way for layer in each for way in layer]
    return join(each) if len(each) > 1 else each[0]


def _by_direction(output: Any, directions: int) -> Any:
    """One output of a layer: directions come first, as a list where it is packed."""
    if isinstance(output, PackedSequence):
        data, *rest = output
        return [PackedSequence(way, *rest) for way in data.chunk(directions, -1)]
    if directions == 1:
        return output.unsqueeze(0)
    return output.unflatten(-1, (directions, -1)).movedim(-2, 0)


def _copy(output: Any) -> Any:
    if isinstance(output, PackedSequence):
        data, *rest = output
        return PackedSequence(data.clone(), *rest)
    return output.clone()
