"""Layers of a recurrence as a function of tensors: which path runs, and its gradient.

In eager mode the kernels are entered through one ``autograd.Function`` for all directions of a
layer, and for all layers with nothing between them; where somebody records or transforms a call
through registered operators. What they cannot do is done by the reference: other devices and
dtypes, derivatives of the gradient, forward mode. ``paths`` decides and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import onnx_nodes, operators, reference
from .batch import Given, Rows, Weights
from .execution import Bound, bind
from .paths import arithmetic, current_isa, current_path, products, unfit
from .runtime.memory import SMALL
from .step import Step
from .transforms import captured, forward_mode


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
    Kernels round what they multiply to bfloat16 for layers of it, and under an autocast to it,
    where the processor multiplies such, see ``execution.bind``.
    """
    (output, *final), _ = layer(step, rows, Given(x, initial, inputs, weights).flat(), recompute)
    return output, final


def layer(
    step: Step,
    rows: Rows,
    tensors: Sequence[Tensor | None],
    recompute: bool = False,
    lengths: Tensor | None = None,
) -> tuple[Sequence[Tensor], Bound | None]:
    """:func:`recur` on its tensors in the order of ``Given``: the output and the final states;
    also what runs other tensors of the same signature, see :func:`run`, if the kernels do.

    Where a call is ``captured``, ``lengths`` says how many steps of each row count.
    """
    x, wider = tensors[0], arithmetic(tensors)
    assert x is not None
    narrow = products(x.dtype)
    if wider is not None:
        wide = [None if t is None else t.to(wider) for t in tensors]
        found = _layer(step, rows, wide, recompute, narrow, lengths)[0]
        return [t.to(x.dtype) for t in found], None
    return _layer(step, rows, tensors, recompute, narrow, lengths)


def _layer(
    step: Step,
    rows: Rows,
    tensors: Sequence[Tensor | None],
    recompute: bool,
    narrow: str,
    lengths: Tensor | None,
) -> tuple[Sequence[Tensor], Bound | None]:
    """:func:`layer` in the arithmetic of the tensors, but for what is ``narrow`` in products."""
    if captured():
        given = Given.of(step, tensors)
        if torch.onnx.is_in_onnx_export():
            output, final = onnx_nodes.layer(step, rows, given, lengths)
            return [output, *final], None
        if operators.suit(rows, given) and not forward_mode() and _allowed(tensors):
            if not torch.compiler.is_compiling() and onnx_nodes.older.recording():
                onnx_nodes.older.refuse_programs()
            output, final = operators.recur(step, given, narrow, lengths)
            return [output, *final], None
    bound = None
    if not torch.compiler.is_compiling():
        bound = bind(step, rows, tensors, recompute, narrow)
    if bound is None:
        output, final = reference.layer(step, rows, Given.of(step, tensors), lengths)
        return [output, *final], None
    return run(bound, rows, tensors), bound


def _allowed(tensors: Sequence[Tensor | None]) -> bool:
    """Whether a captured call may be an operator, which runs kernels. A compiled program says so
    when it runs: it may be run elsewhere."""
    if torch.compiler.is_compiling():
        return True
    allowed = current_path() in ("auto", "kernel")
    return allowed and current_isa() is not None and not unfit(tensors)


def stacked(
    step: Step,
    rows: Rows,
    tensors: Sequence[Tensor | None],
    layers: int,
    recompute: bool = False,
) -> Bound | None:
    """What runs so many layers on one another, whose tensors are in the order of
    ``batch.by_layer``, if the kernels do."""
    if captured() or arithmetic(tensors) is not None:
        return None
    x = tensors[0]
    assert x is not None
    return bind(step, rows, tensors, recompute, products(x.dtype), layers)


def run(
    bound: Bound, rows: Rows, tensors: Sequence[Tensor | None], dropout: float = 0.0
) -> Sequence[Tensor]:
    """The output and the final states, by kernels that are bound to such tensors, with dropout
    between layers."""
    factors = bound.dropout(dropout) if dropout else ()
    if not (torch.is_grad_enabled() and _requires_grad(tensors)):
        return bound.run(rows, tensors, False, factors)[0]
    results: Sequence[Tensor]
    try:
        results = _apply(bound, rows, factors, *tensors)
    except RuntimeError:  # a tensor without memory; if it once was functorch's, this unwraps it
        results = _Recurrence.apply(bound, rows, factors, *tensors)
    return results


def _requires_grad(tensors: Sequence[Tensor | None]) -> bool:
    for t in tensors:  # noqa: SIM110 - a generator takes twice as long
        if t is not None and t.requires_grad:
            return True
    return False


class _Recurrence(torch.autograd.Function):
    """The kernels' forward and backward passes, of a layer, or of several on one another.

    The backward pass reads the states from the output, which callers may change in place, as they
    may torch.nn's: what was changed is computed once more then. Autograd, which would refuse it, is
    not asked: the output is kept detached, and carries the version that the caller's changes count;
    a large one is saved under a version of its own, and what carries the caller's has no memory.

    The gradient is the reference's where it is differentiated itself, and where the gradient
    that arrives is nothing that a kernel can read (a batch of them, under a transform).
    """

    @staticmethod
    def forward(
        ctx: Any, bound: Bound, rows: Rows, factors: Sequence[Tensor], *tensors: Tensor | None
    ) -> Any:
        ctx.set_materialize_grads(False)
        results, kept = bound.run(rows, tensors, True, factors)
        output, large = None, False
        if bound.reads_output:
            output = results[0].detach()
            large = output.nbytes > SMALL
            if large:  # autograd frees what it saved, the context lives as long as the graph
                kept, output.data = [results[0].data, *kept], _NOTHING
        ctx.call = bound, rows, len(tensors), len(factors), output, large
        ctx.save_for_backward(*tensors, *kept)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        saved, (bound, rows, count, links, output, large) = ctx.saved_tensors, ctx.call
        tensors, kept = saved[:count], saved[count:]
        changed = output is not None and output._version
        if large:
            output, kept = kept[0], kept[1:]
        if changed:
            output = None
        needed, graph, found = ctx.needs_input_grad[3:], torch.is_grad_enabled(), None
        if not graph or all(g is None for g in gradients):
            found = bound.gradients(rows, tensors, output, kept, gradients, needed, links)
        if found is None:
            with torch.enable_grad():
                found = reference.gradients(
                    *(bound.step, rows, tensors, bound.layers, gradients, needed, graph),
                    kept[:links],
                )
        return None, None, None, *found


_NOTHING = torch.empty(0, device="cpu")


#: What `Function.apply` calls once it has looked for functorch, as `bind` does too.
_apply = super(torch.autograd.Function, _Recurrence).apply
#: And what autograd calls, which would look for the other ways of defining a gradient first.
_Recurrence._backward_cls.apply = _Recurrence.backward  # type: ignore[attr-defined]
