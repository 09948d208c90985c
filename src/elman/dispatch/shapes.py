"""The last check before native code: the shapes of a call's tensors go together.

Tensors would be read beyond their end otherwise, and anyone can put them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..batch import Given, Rows, by_layer
from ..spaces import HIDDEN
from ..step import Step


def check_shapes(step: Step, rows: Rows, tensors: Sequence[Tensor | None], layers: int = 1) -> None:
    """RuntimeError unless the tensors of layers on one another (``batch.by_layer``) fit."""
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
