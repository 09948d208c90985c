"""The definition of what is correct: the step's graph evaluated with PyTorch operations.

Any device, any dtype, differentiable to any order; one step after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from .batch import Rows, Weights
from .cell import Step
from .expr import Node, evaluate


def run(
    step: Step,
    rows: Rows,
    x: Tensor,
    weights: Weights,
    initial: Sequence[Tensor],
    inputs: Sequence[Tensor] = (),
) -> tuple[Tensor, list[Tensor]]:
    """One direction of one layer.

    ``x`` is ``(T, B, I)``, or ``(N, I)`` for ragged rows; ``initial`` holds a ``(B, H)`` tensor
    for each state. Returns the first state at every step, shaped as ``x``, and the final states.
    """
    units = weights.w_hh.shape[-1]
    blocks = {gate: slice(i * units, (i + 1) * units) for i, gate in enumerate(step.gates)}
    projected = linear(x, weights.w_ih, weights.b_ih)
    states = list(initial)
    outputs: dict[int, Tensor] = {}
    ragged = rows.counts is not None
    counts = rows.counts.tolist() if rows.counts is not None else [rows.B] * rows.T
    offsets = rows.offsets.tolist() if rows.offsets is not None else range(rows.T)

    for t in reversed(range(rows.T)) if rows.reverse else range(rows.T):
        n = counts[t]

        def at_step(tensor: Tensor, t: int = t, n: int = n) -> Tensor:
            return tensor[offsets[t] : offsets[t] + n] if ragged else tensor[t]

        given = {
            **{("x", gate): at_step(projected)[:, rows_] for gate, rows_ in blocks.items()},
            **{("state", s): v[:n] for s, v in zip(step.states, states, strict=True)},
            **{("input", s): at_step(v) for s, v in zip(step.inputs, inputs, strict=True)},
        }

        def leaf(node: Node, operands: list[Any], given: dict[Any, Any] = given) -> Any:
            if node.op == "product":
                return linear(operands[0], weights.w_hh[blocks[node.attr]])
            if node.op == "bias":
                return 0.0 if weights.b_hh is None else weights.b_hh[blocks[node.attr]]
            return given[node.op, node.attr]

        new = evaluate(step.new, leaf, x)
        outputs[t] = new[0]
        states = [
            v if n == rows.B else torch.cat([v, old[n:]])
            for v, old in zip(new, states, strict=True)
        ]
    ordered = [outputs[t] for t in range(rows.T)]
    return (torch.cat(ordered) if ragged else torch.stack(ordered)), states
