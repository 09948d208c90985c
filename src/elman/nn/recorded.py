"""What every layer gives out at every step: the third result of a call with ``return_states``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from ..step import Step
from .states import hx_of, join


def recorded(step: Step, layers: Sequence[Sequence[Any]], directions: int, alike: bool) -> Any:
    """The states, and what the formula names besides, each by layer and direction.

    ``layers`` has the outputs of each layer in the order of ``step.outputs``, in the form of the
    input, those of both directions side by side. Unless layers are ``alike``, the result has a list
    of one part for each. The last layer's first output is the caller's already: it is copied.
    """
    *below, last = layers
    copied = len(layers) == 1 or not alike or isinstance(last[0], PackedSequence)
    found: list[Any] = []
    for i in step.returned:
        each: list[Any] = [_by_direction(mine[i], directions) for mine in below]
        each.append(_by_direction(last[i], directions, copied and not i))
        if not alike:
            found.append(each)
        elif isinstance(each[0], list):
            found.append([way for layer in each for way in layer])
        else:
            found.append(join(each) if below else each[0])
    return hx_of(found)


def _by_direction(output: Any, directions: int, copied: bool = False) -> Any:
    """One output of a layer, or a copy: directions come first, as a list where it is packed."""
    if isinstance(output, PackedSequence):
        data, *rest = output
        data = data.clone() if copied else data
        return [PackedSequence(way, *rest) for way in data.chunk(directions, -1)]
    if directions == 1:  # this copy is one operator, where a clone and its view would be two
        return join([output], torch.stack) if copied else output.unsqueeze(0)
    output = output.clone() if copied else output
    return output.unflatten(-1, (directions, -1)).movedim(-2, 0)
