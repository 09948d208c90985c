"""The layers of a stack, for every module that has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..batch import Rows, part_of
from ..dispatch import layer as dispatch
from ..dispatch.autograd import run as run_kernels
from ..dispatch.executable import Executable
from ..step import Step

#: A state of all layers: a tensor ``(L*D, B, H)``, or where the layers' sizes differ a list of one
#: ``(D, B, H)`` for each. None stands for zeros.
State = Any


def run(
    step: Step,
    rows: Rows,
    x: Tensor,
    initial: Sequence[State],
    weights: Sequence[Sequence[Tensor | None]],
    executables: Sequence[Executable] = (),
    dropout: float = 0.0,
    inputs: Sequence[Sequence[Tensor]] | None = None,
    merge: Callable[[Tensor], Tensor] | None = None,
    residual: bool = False,
    recompute: bool = False,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Sequence[State], Sequence[Executable]]:
    """Every layer on the output of the one below.

    ``executables`` are what an earlier call with tensors of the same signature has returned: one
    for all layers as one, or one for each; none unless kernels run them all.

    ``inputs`` and ``weights`` hold for each layer what ``recur`` takes, the weights of both
    directions in one row. ``dropout`` is 0 in evaluation; ``recompute`` is that of ``recur``, and
    ``lengths`` those of captured calls, see ``dispatch.layer``.

    Returns the last output, the final states in the form of the initial ones, and the executables.
    """
    layers, of_each = len(weights), type(initial[0]) is list
    if not of_each and (layers == 1 or not (residual or merge is not None)):
        tensors = [x, *initial]
        for i, mine in enumerate(weights):
            tensors += [*inputs[i], *mine] if inputs else mine
        whole = executables[0] if executables else None
        if whole is None and layers > 1:
            whole = dispatch.stacked(step, rows, tensors, layers, recompute)
        results: Sequence[Tensor] | None = None
        if whole is not None:
            results = run_kernels(whole, rows, tensors, dropout)
        elif layers == 1:
            results, whole = dispatch.layer(step, rows, tensors, recompute, lengths)
        if results is not None:
            x, *final = results
            return x if merge is None else merge(x), final, [whole] if whole else []
    finals, each = [], list[Executable | None]()
    directions = len(weights[0]) // len(step.parameters)
    for layer, mine in enumerate(weights):
        below = x
        if layer and dropout:
            x = torch.dropout(x, dropout, True)
        begin = [s[layer] if of_each else part_of(s, layer, directions) for s in initial]
        tensors = [x, *begin, *(inputs[layer] if inputs else ()), *mine]
        one = executables[layer] if executables else None
        if one is not None and (not layer or one.takes(x)):
            x, *final = run_kernels(one, rows, tensors)
        else:
            (x, *final), one = dispatch.layer(step, rows, tensors, recompute, lengths)
        each.append(one)
        x = x if merge is None else merge(x)
        x = below + x if residual and layer else x
        finals.append(final)
    by_state = [[*parts] for parts in zip(*finals, strict=True)]
    made = [one for one in each if one is not None]
    executables = made if len(made) == layers else []
    if of_each:
        return x, by_state, executables
    if not torch._C._is_any_autocast_enabled():
        return x, [torch.cat(parts) for parts in by_state], executables
    with torch.autocast(x.device.type, enabled=False):  # which refuses the other narrow dtype
        return x, [torch.cat(parts) for parts in by_state], executables
