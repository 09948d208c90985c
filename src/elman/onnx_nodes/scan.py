"""A layer of any formula as ONNX's Scan, whose body is the reference's step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from .. import reference
from ..batch import Weights
from ..expr import walk
from ..padded import Marks
from ..rows import Rows
from ..step import Step


def reads_raw(step: Step) -> bool:
    """Whether a step reads the input as it is."""
    return any(n.op == "raw" for n in walk([*step.new, *step.outputs.values()]))


def run(
    step: Step,
    rows: Rows,
    x: Tensor,
    weights: Weights,
    initial: Sequence[Tensor],
    inputs: Sequence[Tensor],
    marks: Marks | None = None,
    returns: Sequence[Tensor] = (),
) -> tuple[list[Tensor], list[Tensor]]:
    """What ``reference.run`` computes, as a Scan of one body."""
    from torch._higher_order_ops.scan import scan_op

    lengths, reset = marks or Marks()
    fixed = reference.constants(step, x, weights)
    names = [key for key, value in fixed.items() if isinstance(value, Tensor)]
    values = [fixed[name] for name in names]
    projected = [] if weights.w_ih is None else [linear(x, weights.w_ih, weights.b_ih)]
    times = [] if lengths is None else [torch.arange(x.shape[0], device=x.device)]
    anew = [] if reset is None else [reference.before_steps(reset, rows.reverse)]
    every = [*projected, *inputs, *anew, *times, x]
    if every[1:] and not reads_raw(step):
        del every[-1]  # else it is only counted
    if reset is not None:
        values = [*values, *returns]
    if lengths is not None:
        values = [*values, lengths]
    S, N, V = len(initial), len(every), len(names)
    after = len(inputs) + len(anew)  # where the time is, behind a projected input

    def body(*given: Tensor) -> list[Tensor]:
        states, now, held = list(given[:S]), list(given[S : S + N]), given[S + N :]
        mine = fixed | dict(zip(names, held, strict=False))
        first = now.pop(0) if projected else None
        if reset is not None:
            states = reference.begin_anew(states, held[V : V + S], now[len(inputs)])
        raw = now[-1] if reads_raw(step) else None
        outputs, new = reference.advance(step, mine, first, states, now[: len(inputs)], raw)
        if lengths is not None:
            outputs, new = reference.hold(outputs, new, states, held[-1] > now[after])
        return [v.clone() for v in (*new, *outputs)]  # no result may be an argument or another

    def apart(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        # Nor may arguments share memory; and a gradient would make another body, which fails.
        return tuple(t.detach().clone() for t in tensors)

    if rows.reverse:
        every = [v.flip(0) for v in every]
    results = scan_op(body, apart(initial), apart(every), apart(values))
    outputs = [v.flip(0) if rows.reverse else v for v in results[S:]]
    return outputs, results[:S]
