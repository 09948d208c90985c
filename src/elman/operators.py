"""The kernels as operators of PyTorch, which torch.compile and torch.export see as one call.

``elman::recur`` is the forward pass of a layer, ``elman::recur_backward`` its gradient. Both have
fake kernels, so the shapes of their results are known for any number of steps and rows. A
formula is named by a digest of itself, so that a program exported in one process runs in another
where such a cell has been traced. The tensors of a call are one list: ``present`` says which of
them (see ``batch.Given``) are there.
"""

# ruff: noqa: ARG001 - a fake kernel takes all the arguments of its operator
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import reference
from .batch import Given, Rows
from .cell import STEPS, Step
from .compiler.kernel import DTYPES, kernel_for
from .compiler.plan import plan_of
from .errors import PathError
from .execution import Bound, bind
from .paths import current_isa, obstacle


def suit(rows: Rows, given: Given) -> bool:
    """Whether the operators take such a call; if not, the reference is traced."""
    x = given.x
    return x.device.type == "cpu" and x.dtype in DTYPES and rows.counts is None


def recur(step: Step, given: Given, narrow: str) -> tuple[Tensor, list[Tensor]]:
    """One layer of padded rows as a single call of an operator; see ``function.recur``,
    and for what is ``narrow`` in it ``execution.bind``."""
    every = given.flat()
    tensors = [t for t in every if t is not None]
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    results = _forward(step.name, narrow, tensors, [t is not None for t in every], keep)
    return results[0], list(results[1 : 1 + len(step.states)])


class _Unpacked(NamedTuple):
    """The arguments of an operator as the rest of elman has them."""

    step: Step
    rows: Rows
    given: Given
    bound: Bound | None  # None for calls of no rows, which the reference answers


def _unpack(
    formula: str, narrow: str, tensors: Sequence[Tensor], present: Sequence[bool]
) -> _Unpacked:
    step = STEPS.get(formula)
    if step is None:
        raise RuntimeError(f"the cell of the formula {formula!r} is gone: keep it alive")
    given = _given(step, tensors, present)
    every = given.flat()
    rows = Rows(given.x.shape[0], given.x.shape[1], given.x.shape[0] * given.x.shape[1])
    bound = bind(step, rows, every, narrow=narrow)
    if bound is None and rows.N:
        why = obstacle(every)
        raise PathError(f"a compiled program runs the kernel, which is not possible here: {why}")
    return _Unpacked(step, rows, given, bound)


def _given(step: Step, tensors: Sequence[Tensor], present: Sequence[bool]) -> Given:
    """The tensors of a call, with None where ``present`` says so."""
    fixed = 1 + len(step.states) + len(step.inputs)
    directions, rest = divmod(len(present) - fixed, len(step.parameters))
    fits = tensors and present[0] and sum(present) == len(tensors) and tensors[0].dim() == 3
    if rest or directions not in (1, 2) or not fits:
        raise RuntimeError(
            f"elman::recur: expected x of shape (T, B, I), {fixed - 1} tensors and "
            f"{len(step.parameters)} parameters for one direction or two, got {len(present)} of "
            f"which are there {[tuple(t.shape) for t in tensors]}"
        )
    found = iter(tensors)
    return Given.of(step, [next(found) if here else None for here in present])


# With their schemas: torch 2.5 cannot tell them from annotations like `list[Tensor]`.
@torch.library.custom_op(
    "elman::recur",
    mutates_args=(),
    schema="(str formula, str narrow, Tensor[] tensors, bool[] present, bool keep) -> Tensor[]",
)
def _forward(
    formula: str, narrow: str, tensors: Sequence[Tensor], present: Sequence[bool], keep: bool
) -> list[Tensor]:
    """The output, the final states, and what is kept for the backward pass if ``keep``: of the
    output, if it is read then, a copy, as the results of an operator share no memory."""
    step, rows, given, bound = _unpack(formula, narrow, tensors, present)
    if bound is None:
        output, final = reference.layer(step, rows, given)
        results = [output, *final]
        kept: list[Tensor] = []
    else:
        results, kept = bound.run(rows, given.flat(), keep)
    if not keep:
        return results
    copied = [results[0].clone()] if plan_of(step).reads_output else []
    return [*results, *copied, *(kept or [given.x.new_empty(0) for _ in given.weights])]


@_forward.register_fake
def _(
    formula: str, narrow: str, tensors: Sequence[Tensor], present: Sequence[bool], keep: bool
) -> list[Tensor]:
    step, isa = STEPS[formula], current_isa()
    x, _, _, weights = _given(step, tensors, present)
    units, projected = weights[0].sizes(step)
    T, B, _ = x.shape
    results = [x.new_empty((T, B, len(weights) * projected))]
    sizes = [projected if name == step.states[0] else units for name in step.states]
    results += [x.new_empty((len(weights), B, size)) for size in sizes]
    if keep and isa is not None:
        kernel = kernel_for(step, x.dtype, isa, int(units), bool(B == 1))
        size = kernel.saved_size(Rows(T, B, T * B), int(units))
        if kernel.plan.reads_output:
            results.append(torch.empty_like(results[0]))
        results += [x.new_empty(size) for _ in weights]
    return results


@torch.library.custom_op(
    "elman::recur_backward",
    mutates_args=(),
    schema="(str formula, str narrow, Tensor[] tensors, bool[] present, Tensor[] kept, "
    "Tensor[] gradients, bool[] needed) -> Tensor[]",
)
def _backward(
    formula: str,
    narrow: str,
    tensors: Sequence[Tensor],
    present: Sequence[bool],
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor]:
    """The gradients of those tensors that are needed."""
    _, rows, given, bound = _unpack(formula, narrow, tensors, present)
    if bound is None:
        return [torch.zeros_like(t) for t, n in zip(tensors, needed, strict=True) if n]
    sizes = [math.prod(form.shape) for form in bound.kept] or [0] * bound.count
    if bound.reads_output:
        sizes.insert(0, math.prod(bound.results[0].shape))
    given_sizes, shapes = [k.numel() for k in kept], [tuple(g.shape) for g in gradients]
    if given_sizes != sizes or shapes != [form.shape for form in bound.results]:
        raise RuntimeError("elman::recur_backward: these tensors are not of the forward pass")
    output, saved = (kept[0], kept[1:]) if bound.reads_output else (None, kept)
    asked = iter(needed)
    wanted = tuple([here and next(asked) for here in present])
    kept = saved if bound.kept else ()
    found = bound.gradients(rows, given.flat(), output, kept, gradients, wanted)
    if found is None:
        raise RuntimeError("elman::recur_backward: no kernel can read these gradients")
    return [g for g in found if g is not None]


@_backward.register_fake
def _(
    formula: str,
    narrow: str,
    tensors: Sequence[Tensor],
    present: Sequence[bool],
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor]:
    return [t.new_empty(t.shape) for t, n in zip(tensors, needed, strict=True) if n]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    formula, narrow, tensors, present, keep = inputs
    results = 1 + len(STEPS[formula].states)
    ctx.formula, ctx.narrow, ctx.present = formula, narrow, present
    ctx.count, ctx.keep = len(tensors), keep
    ctx.shapes = [t.shape for t in output[:results]]
    ctx.needed = [t.requires_grad for t in tensors]
    ctx.save_for_backward(*tensors, *output[results:])


def _autograd(ctx: Any, gradients: Sequence[Tensor | None]) -> Any:
    if not ctx.keep:
        raise RuntimeError(
            "this program was traced without gradients (under torch.no_grad, or with nothing that "
            "requires one) and has none: trace it again with gradients enabled"
        )
    tensors, kept = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    arrived = [
        tensors[0].new_zeros(shape) if g is None else g
        for g, shape in zip(gradients, ctx.shapes, strict=False)  # and none for what is kept
    ]
    given = ctx.formula, ctx.narrow, tensors, ctx.present, kept, arrived, ctx.needed
    found = iter(_backward(*given))
    return None, None, [next(found) if n else None for n in ctx.needed], None, None


_forward.register_autograd(_autograd, setup_context=_setup)
