"""A layer as one node of ONNX's RNN, LSTM or GRU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..batch import LayerArgs
from ..step import Step
from . import older
from .cells import Activation, Operator
from .match import Found

#: The rows of ONNX's matrices, which a cell may have fewer of.
GATES = {"RNN": "h", "LSTM": "iofc", "GRU": "zrh"}


def layer(
    found: Found, step: Step, given: LayerArgs, lengths: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """The output ``(T, B, D*H)`` and the final states ``(D, B, H)``."""
    x, weights = given.x, given.weights
    kind, D = type(found.cell).__name__, len(weights)
    units = int(weights[0].sizes(step).units)  # the older exporter's sizes are tensors

    def rows(name: str, gates: Sequence[str], of: Mapping[str, str]) -> Tensor | None:
        """A matrix or a bias of all directions, ``(D, gates*H, ...)``, in ONNX's order."""
        every = [getattr(mine, name) for mine in weights]
        if every[0] is None:
            return None
        ways = []
        for value in every:
            parts = {g: value[i * units : (i + 1) * units] for i, g in enumerate(gates)}
            none = torch.zeros_like(value[:units])
            ways.append(torch.cat([parts[of[g]] if g in of else none for g in GATES[kind]]))
        return torch.stack(ways)

    names = ("b_ih", step.x_gates, found.inputs), ("b_hh", step.u_gates, found.products)
    biases = [b for b in (rows(*mine) for mine in names) if b is not None]
    tensors = [
        x,
        rows("w_ih", step.x_gates, found.inputs),
        rows("w_hh", step.u_gates, found.products),
        torch.cat(biases, 1) if biases else None,
        None if lengths is None else lengths.to(torch.int32),
        *given.initial,
    ]
    if found.vectors:
        tensors.append(torch.stack([_peepholes(found, step, mine.more) for mine in weights]))
    T, B, _ = x.shape
    shapes = [(T, D, B, units), *[(D, B, units)] * len(step.states)]
    told = {"hidden_size": units, **attributes(found.cell, D)}
    if older.recording():
        results = older.node(kind, tensors, told, shapes)
    else:
        dtypes = [x.dtype] * len(shapes)
        results = torch.onnx.ops.symbolic_multi_out(
            kind, tensors, told, dtypes=dtypes, shapes=shapes
        )
    output, *final = results
    if lengths is not None:  # rows without any step keep their state, of which ONNX says nothing
        some = (lengths > 0)[:, None]
        pairs = zip(final, given.initial, strict=True)
        final = [v if s is None else torch.where(some, v, s) for v, s in pairs]
    return output.transpose(1, 2).flatten(2), final


def _peepholes(found: Found, step: Step, more: Sequence[Tensor]) -> Tensor:
    """The vectors of one direction, ``(3*H,)``, for the input, the output and the forget gate."""
    held = dict(zip(step.vectors, more[len(step.matrices) :], strict=True))
    mine = {name: held[theirs] for name, theirs in found.vectors.items()}
    none = torch.zeros_like(mine["pi"])
    return torch.cat([mine.get(name, none) for name in ("pi", "po", "pf")])


def attributes(cell: Operator, directions: int) -> dict[str, Any]:
    """What an operator is told of a cell; what is usual is left out."""
    found: dict[str, Any] = {"direction": "bidirectional"} if directions == 2 else {}
    usual = type(cell)().activations
    if cell.activations != usual:
        every: list[Activation] = [*cell.activations] * directions
        found["activations"] = [name for name, _, _ in every]
        for place, key in ((1, "activation_alpha"), (2, "activation_beta")):
            numbers = [row[place] for row in every if row[place] is not None]
            if numbers:
                found[key] = numbers
    if cell.clip is not None:
        found["clip"] = cell.clip
    for option in ("input_forget", "linear_before_reset"):
        if getattr(cell, option, False):
            found[option] = 1
    return found
