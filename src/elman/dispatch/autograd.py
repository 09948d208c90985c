"""Executables as nodes of autograd's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import reference
from ..rows import Rows
from ..runtime.memory import SMALL
from .executable import Executable

_is_grad_enabled = torch.is_grad_enabled  # in every call, each lookup counts


def run(
    executable: Executable,
    rows: Rows,
    tensors: Sequence[Tensor | None],
    dropout: float = 0.0,
    wanted: bool | None = None,
) -> Sequence[Tensor]:
    """The output, the final states and further outputs, with dropout between layers. ``wanted``
    says whether a gradient is, if that is known."""
    masks = executable.dropout(dropout, rows) if dropout else ()
    if wanted is None:
        wanted = _is_grad_enabled() and _requires_grad(tensors)
    if not wanted:
        return executable.run(rows, tensors, False, masks)[0]
    results: Sequence[Tensor]
    try:
        results = _apply(executable, rows, masks, *tensors)
    except RuntimeError:  # a tensor without memory; if it once was functorch's, this unwraps it
        results = _Recurrence.apply(executable, rows, masks, *tensors)
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
        ctx: Any,
        executable: Executable,
        rows: Rows,
        masks: Sequence[Tensor],
        *tensors: Tensor | None,
    ) -> Any:
        ctx.set_materialize_grads(False)
        results, kept = executable.run(rows, tensors, True, masks)
        output, large = None, False
        if executable.reads_output:
            output = results[0].detach()
            large = output.nbytes > SMALL
            if large:  # autograd frees what it saved, the context lives as long as the graph
                kept, output.data = [results[0].data, *kept], _NOTHING
        ctx.call = executable, rows, len(tensors), len(masks), output, large
        ctx.save_for_backward(*tensors, *kept)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        saved, (executable, rows, count, mask_count, output, large) = ctx.saved_tensors, ctx.call
        tensors, kept = saved[:count], saved[count:]
        changed = output is not None and output._version
        if large:
            output, kept = kept[0], kept[1:]
        if changed:
            output = None
        needed, graph, found = ctx.needs_input_grad[3:], torch.is_grad_enabled(), None
        if not graph or all(g is None for g in gradients):
            found = executable.gradients(rows, tensors, output, kept, gradients, needed, mask_count)
        if found is None:
            with torch.enable_grad():
                found = reference.gradients(
                    *(executable.step, rows, tensors, executable.layers, gradients, needed, graph),
                    kept[:mask_count],
                )
        return None, None, None, *found


_NOTHING = torch.empty(0, device="cpu")


#: What `Function.apply` calls once it has looked for functorch, as `bind` does too.
_apply = super(torch.autograd.Function, _Recurrence).apply
#: And what autograd calls, which would look for the other ways of defining a gradient first.
_Recurrence._backward_cls.apply = _Recurrence.backward  # type: ignore[attr-defined]
