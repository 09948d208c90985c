"""One layer of a recurrence as a function of tensors: which path runs, and its gradient.

In eager mode the kernels are entered through one ``autograd.Function`` for all directions of a
layer, under ``torch.compile`` and ``torch.export`` through registered operators. What they cannot
do is done by the reference: other devices and dtypes, derivatives of the gradient, functorch
transforms. ``paths`` decides and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from . import operators
from .batch import Rows, Weights
from .cell import Step
from .execution import (
    Spec,
    by_reference,
    check_shapes,
    gradients_of,
    run,
    split,
    through_reference,
)
from .paths import arithmetic, kernel_isa, readable

_Maybe = TypeVar("_Maybe", Tensor, Tensor | None)


def recur(
    step: Step,
    rows: Rows,
    x: Tensor,
    initial: Sequence[Tensor | None],
    weights: Sequence[Weights],
    inputs: Sequence[Tensor] = (),
) -> tuple[Tensor, list[Tensor]]:
    """One layer, in one direction or two.

    Args:
        step: the traced formula.
        rows: which rows are active when.
        x: ``(T, B, I)``, or ``(N, I)`` for ragged rows.
        initial: for each state a ``(D, B, H)`` tensor, or None for zeros.
        weights: for each direction its tensors; the second runs in reverse.
        inputs: for each of the cell's further inputs a tensor shaped ``(T, B, H)`` or ``(N, H)``.

    Returns:
        The first state at every step, ``(T, B, D*H)`` or ``(N, D*H)``, and for each state its
        final value, ``(D, B, H)``.

    What is bfloat16 or float16 is converted to float32 here, and the results once, at the end,
    to its dtype. The states between steps are float32; autograd's conversions carry gradients.
    """
    tensors = [x, *initial, *inputs]
    for mine in weights:
        tensors += mine
    wider = arithmetic(tensors)
    if wider is not None:

        def widen(tensor: _Maybe) -> _Maybe:
            return tensor if tensor is None else tensor.to(wider)

        output, final = recur(
            step,
            rows,
            widen(x),
            [widen(h) for h in initial],
            split([widen(t) for mine in weights for t in mine]),
            [widen(given) for given in inputs],
        )
        return output.to(x.dtype), [h.to(x.dtype) for h in final]
    if torch.compiler.is_compiling():
        if operators.suit(rows, x, initial, inputs):
            return operators.recur(step, x, initial, weights)
        return by_reference(step, rows, x, initial, weights, inputs)
    check_shapes(step, rows, x, initial, weights, inputs)
    graph, lack = torch.is_grad_enabled(), ""
    if inputs and graph and any(i.requires_grad for i in inputs):
        lack = "kernels have no gradient of further inputs"
    isa = kernel_isa(tensors, lack)
    if isa is None or rows.N == 0:
        return by_reference(step, rows, x, initial, weights, inputs)
    spec = Spec(step, rows, len(step.states), inputs, isa)
    if graph and any(t is not None and t.requires_grad for t in tensors):
        flat = [t for mine in weights for t in mine]
        output, *final = _Recurrence.apply(spec, x, *initial, *flat, *inputs)
    else:
        output, final, _ = run(spec, x, initial, weights, keep=False)
    return output, final


class _Recurrence(torch.autograd.Function):
    """The kernels' forward and backward pass.

    The gradient is the reference's where it is differentiated itself, and where the gradient
    that arrives is nothing that a kernel can read (a batch of them, under a transform).
    """

    @staticmethod
    def forward(ctx: Any, spec: Spec, x: Tensor, *tensors: Tensor | None) -> Any:
        ctx.set_materialize_grads(False)
        initial, rest = tensors[: spec.states], tensors[spec.states :]
        flat = rest[: len(rest) - len(spec.inputs)]
        output, final, kept = run(spec, x, initial, split(flat), keep=True)
        ctx.spec = spec._replace(inputs=())  # they are among the saved tensors
        ctx.counts = 1 + spec.states + len(flat), len(spec.inputs)
        ctx.save_for_backward(x, *tensors, *kept)
        return output, *final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        count, inputs_count = ctx.counts
        saved = ctx.saved_tensors
        given, inputs, kept = saved[:count], saved[count:][:inputs_count], saved[count:]
        spec, needed = ctx.spec._replace(inputs=inputs), ctx.needs_input_grad[1 : 1 + count]
        graph = torch.is_grad_enabled()
        arrived = [None if g is None else g.resolve_neg() for g in gradients]
        if any(g is not None for g in arrived) and (graph or not readable(arrived)):
            with torch.enable_grad():
                found = through_reference(
                    spec.step, spec.rows, inputs, given, arrived, needed, create_graph=graph
                )
        else:
            found = gradients_of(spec, given, kept[inputs_count:], arrived, needed)
        return None, *found, *[None] * inputs_count
