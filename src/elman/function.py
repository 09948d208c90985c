"""One layer of a recurrence as a function of tensors: which path runs, and its gradient.

In eager mode the kernels are entered through one ``autograd.Function`` for all directions of a
layer, under ``torch.compile`` and ``torch.export`` through registered operators. What they cannot
do is done by the reference: other devices and dtypes, derivatives of the gradient, functorch
transforms. ``paths`` decides and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import operators
from .batch import Rows, Weights
from .cell import Step
from .execution import (
    Given,
    Spec,
    by_reference,
    check_shapes,
    gradients_of,
    run,
    through_reference,
)
from .paths import arithmetic, kernel_isa, readable


def recur(
    step: Step,
    rows: Rows,
    x: Tensor,
    initial: Sequence[Tensor | None],
    weights: Sequence[Weights],
    inputs: Sequence[Tensor] = (),
    recompute: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """One layer, in one direction or two.

    Args:
        step: the traced formula.
        rows: which rows are active when.
        x: ``(T, B, I)``, or ``(N, I)`` for ragged rows.
        initial: for each state a ``(D, B, H)`` tensor, or None for zeros.
        weights: for each direction its tensors; the second runs in reverse.
        inputs: for each of the cell's further inputs a tensor shaped ``(T, B, H)`` or ``(N, H)``.
        recompute: whether the kernels keep the states between segments of time only, and run each
            segment once more for its gradient. Under ``torch.compile`` it is left to its planner.

    Returns:
        The first state at every step, ``(T, B, D*H)`` or ``(N, D*H)``, and for each state its
        final value, ``(D, B, H)``.

    What is bfloat16 or float16 is converted to float32 here, and the results once, at the end,
    to its dtype. The states between steps are float32; autograd's conversions carry gradients.
    """
    given = Given(x, initial, inputs, weights)
    tensors = given.flat()
    wider = arithmetic(tensors)
    if wider is not None:
        wide = Given.of(step, [None if t is None else t.to(wider) for t in tensors])
        output, final = recur(
            step, rows, wide.x, wide.initial, wide.weights, wide.inputs, recompute
        )
        return output.to(x.dtype), [h.to(x.dtype) for h in final]
    if torch.compiler.is_compiling():
        if operators.suit(rows, given):
            return operators.recur(step, given)
        return by_reference(step, rows, given)
    check_shapes(step, rows, given)
    isa = kernel_isa(tensors)
    if isa is None or rows.N == 0:
        return by_reference(step, rows, given)
    spec = Spec(step, rows, isa, recompute)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        output, *final = _Recurrence.apply(spec, *tensors)
    else:
        output, final, _ = run(spec, given, keep=False)
    return output, final


class _Recurrence(torch.autograd.Function):
    """The kernels' forward and backward pass.

    The gradient is the reference's where it is differentiated itself, and where the gradient
    that arrives is nothing that a kernel can read (a batch of them, under a transform).
    """

    @staticmethod
    def forward(ctx: Any, spec: Spec, *tensors: Tensor | None) -> Any:
        ctx.set_materialize_grads(False)
        output, final, kept = run(spec, Given.of(spec.step, tensors), keep=True)
        ctx.spec, ctx.count = spec, len(tensors)
        ctx.save_for_backward(*tensors, *kept)
        return output, *final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        saved, spec = ctx.saved_tensors, ctx.spec
        given, kept = Given.of(spec.step, saved[: ctx.count]), saved[ctx.count :]
        needed, graph = ctx.needs_input_grad[1:], torch.is_grad_enabled()
        arrived = [None if g is None else g.resolve_neg() for g in gradients]
        if any(g is not None for g in arrived) and (graph or not readable(arrived)):
            with torch.enable_grad():
                found = through_reference(
                    spec.step, spec.rows, given, arrived, needed, create_graph=graph
                )
        else:
            found = gradients_of(spec, given, kept, arrived, needed)
        return None, *found
