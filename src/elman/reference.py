"""The definition of what is correct: the step's graph evaluated with PyTorch operations.

Any device, any dtype, differentiable to any order; one step after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    units, projected = weights.sizes(step)
    size = {"H": units, "P": projected}
    fixed = _matrices(step, weights, units)
    fixed |= {("units", space): x.new_full((), count) for space, count in size.items()}
    x_rows = _blocks(step.x_gates, units)
    every = linear(x, weights.w_ih, weights.b_ih) if weights.w_ih is not None else None
    states = list(initial)
    outputs: dict[int, Tensor] = {}
    ragged = rows.counts is not None
    counts = rows.counts.tolist() if rows.counts is not None else [rows.B] * rows.T
    offsets = rows.offsets.tolist() if rows.offsets is not None else range(rows.T)

    for t in reversed(range(rows.T)) if rows.reverse else range(rows.T):
        n = counts[t]

        def at_step(tensor: Tensor, t: int = t, n: int = n) -> Tensor:
            return tensor[offsets[t] : offsets[t] + n] if ragged else tensor[t]

        now = None if every is None else at_step(every)
        given: dict[tuple[str, str], Any] = {
            **{("x", gate): now[:, block] for gate, block in x_rows.items() if now is not None},
            **{("state", s): v[:n] for s, v in zip(step.states, states, strict=True)},
            **{("input", s): at_step(v) for s, v in zip(step.inputs, inputs, strict=True)},
            **fixed,
        }

        def leaf(node: Node, operands: list[Any], given: Mapping[Any, Any] = given) -> Any:
            if node.op == "product":
                return linear(operands[0], given["product", node.attr])
            return given[node.op, node.attr]

        new = [
            v.expand(n, size[step.space(s)])  # a number for all units, a vector for all rows
            for s, v in zip(step.states, evaluate(step.new, leaf, x), strict=True)
        ]
        outputs[t] = new[0]
        states = [
            v if n == rows.B else torch.cat([v, old[n:]])
            for v, old in zip(new, states, strict=True)
        ]
    ordered = [outputs[t] for t in range(rows.T)]
    return (torch.cat(ordered) if ragged else torch.stack(ordered)), states


def _blocks(gates: Sequence[str], units: int) -> dict[str, slice]:
    """The rows of each gate."""
    return {gate: slice(i * units, (i + 1) * units) for i, gate in enumerate(gates)}


def _matrices(step: Step, weights: Weights, units: int) -> dict[tuple[str, str], Any]:
    """What does not change from step to step: matrices, biases, vectors, by leaf or product."""
    found: dict[tuple[str, str], Any] = {}
    if weights.w_hh is not None:
        for gate, block in _blocks(step.u_gates, units).items():
            found["product", gate] = weights.w_hh[block]
            found["bias", gate] = 0.0 if weights.b_hh is None else weights.b_hh[block]
    kinds = [*(("product", m) for m in step.matrices), *(("vector", v) for v in step.vectors)]
    return found | dict(zip(kinds, weights.more, strict=True))
