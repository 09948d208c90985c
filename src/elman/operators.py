"""The kernels as operators of PyTorch, which torch.compile and torch.export see as one call.

``elman::recur`` is the forward pass of a layer, ``elman::recur_backward`` its gradient. Both have
fake kernels, so the shapes of their results are known for any number of steps and rows. A
formula is named by a string: those of elman's own layers have fixed names, so that a program
exported in one process runs in another; others last as long as their cell.
"""

# ruff: noqa: ARG001 - a fake kernel takes all the arguments of its operator
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .batch import Rows, Weights
from .cell import STEPS, Step
from .compiler.kernel import DTYPES, kernel_for
from .errors import PathError
from .execution import Spec, by_reference, check_shapes, gradients_of, run, split
from .paths import current_isa, kernel_isa, obstacle


def suit(rows: Rows, x: Tensor, initial: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> bool:
    """Whether the operators take such a call; if not, the reference is traced."""
    states = [h is None for h in initial]
    same = all(states) or not any(states)
    return (
        x.device.type == "cpu" and x.dtype in DTYPES and rows.counts is None and not inputs and same
    )


def recur(
    step: Step, x: Tensor, initial: Sequence[Tensor | None], weights: Sequence[Weights]
) -> tuple[Tensor, list[Tensor]]:
    """One layer of padded rows as a single call of an operator; see ``function.recur``."""
    flat = [t for mine in weights for t in mine if t is not None]
    given = [t for t in initial if t is not None]
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *given, *flat))
    results = _forward(step.name, x, given, flat, weights[0].b_ih is not None, keep)
    return results[0], list(results[1 : 1 + len(step.states)])


def _unpack(
    formula: str, x: Tensor, initial: Sequence[Tensor], weights: Sequence[Tensor], bias: bool
) -> tuple[Spec, list[Tensor | None], list[Tensor | None]]:
    """The arguments of an operator as the rest of elman has them: also all states and weights."""
    step = STEPS.get(formula)
    if step is None:
        raise RuntimeError(f"the cell of the formula {formula!r} is gone: keep it alive")
    if (
        x.dim() != 3
        or len(initial) not in (0, len(step.states))
        or len(weights) not in (*((4, 8) if bias else (2, 4)),)
    ):
        raise RuntimeError(
            f"elman::recur: expected x of shape (T, B, I), {len(step.states)} initial states or "
            f"none, and weights of one direction or two, got x of shape {tuple(x.shape)}, "
            f"{len(initial)} states and {len(weights)} weights"
        )
    rows = Rows(x.shape[0], x.shape[1], x.shape[0] * x.shape[1])
    states: list[Tensor | None] = list(initial) or [None] * len(step.states)
    flat: list[Tensor | None] = list(weights)
    if not bias:
        flat = [t for i in range(0, len(weights), 2) for t in (*weights[i : i + 2], None, None)]
    isa = kernel_isa([x, *states, *flat])
    if isa is None:
        why = obstacle([x, *states, *flat])
        raise PathError(f"a compiled program runs the kernel, which is not possible here: {why}")
    check_shapes(step, rows, x, states, split(flat))
    return Spec(step, rows, len(states), (), isa), states, flat


@torch.library.custom_op("elman::recur", mutates_args=())
def _forward(
    formula: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Tensor],
    bias: bool,
    keep: bool,
) -> list[Tensor]:
    """The output, the final states, and what is kept for the backward pass if ``keep``."""
    spec, states, flat = _unpack(formula, x, initial, weights, bias)
    if spec.rows.N == 0:
        output, final = by_reference(spec.step, spec.rows, x, states, split(flat), ())
        kept = [x.new_empty(0) for _ in split(flat)] if keep else []
    else:
        output, final, kept = run(spec, x, states, split(flat), keep)
    return [output, *final, *kept]


@_forward.register_fake
def _(
    formula: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Tensor],
    bias: bool,
    keep: bool,
) -> list[Tensor]:
    step, units, isa = STEPS[formula], int(weights[1].shape[1]), current_isa()
    directions = len(weights) // (4 if bias else 2)
    T, B, _ = x.shape
    results = [x.new_empty((T, B, directions * units))]
    results += [x.new_empty((directions, B, units)) for _ in step.states]
    if keep and isa is not None:
        kernel = kernel_for(step, x.dtype, isa, units, bool(B == 1))
        size = kernel.saved_size(Rows(T, B, T * B), units)
        results += [x.new_empty(size) for _ in range(directions)]
    return results


@torch.library.custom_op("elman::recur_backward", mutates_args=())
def _backward(
    formula: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Tensor],
    bias: bool,
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor]:
    """The gradients of those of x, the given initial states and the weights that are needed."""
    spec, states, flat = _unpack(formula, x, initial, weights, bias)
    given = [x, *initial, *weights]
    if spec.rows.N == 0:
        return [torch.zeros_like(t) for t, n in zip(given, needed, strict=True) if n]
    units, directions = weights[1].shape[1], len(split(flat))
    size = spec.kernel(x, units).saved_size(spec.rows, units)
    final = (directions, spec.rows.B, units)
    shapes = [(*x.shape[:2], directions * units), *[final] * spec.states]
    if [k.numel() for k in kept] != [size] * directions or [g.shape for g in gradients] != shapes:
        raise RuntimeError("elman::recur_backward: these tensors are not of the forward pass")
    asked = dict(zip(map(id, given), needed, strict=True))
    every = [x, *states, *flat]
    wanted = [t is not None and asked[id(t)] for t in every]
    return [g for g in gradients_of(spec, every, kept, gradients, wanted) if g is not None]


@_backward.register_fake
def _(
    formula: str,
    x: Tensor,
    initial: Sequence[Tensor],
    weights: Sequence[Tensor],
    bias: bool,
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor]:
    given = (x, *initial, *weights)
    return [t.new_empty(t.shape) for t, n in zip(given, needed, strict=True) if n]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    formula, x, initial, weights, bias, keep = inputs
    results = 1 + len(STEPS[formula].states)
    ctx.formula, ctx.bias, ctx.counts = formula, bias, (len(initial), len(weights))
    ctx.shapes, ctx.keep = [t.shape for t in output[:results]], keep
    ctx.needed = [t.requires_grad for t in (x, *initial, *weights)]
    ctx.save_for_backward(x, *initial, *weights, *output[results:])


def _autograd(ctx: Any, gradients: Sequence[Tensor | None]) -> Any:
    if not ctx.keep:
        raise RuntimeError(
            "this program was traced without gradients (under torch.no_grad, or with nothing that "
            "requires one) and has none: trace it again with gradients enabled"
        )
    many, count = ctx.counts
    x, *rest = ctx.saved_tensors
    initial, weights, kept = rest[:many], rest[many : many + count], rest[many + count :]
    given = [
        x.new_zeros(shape) if g is None else g
        for g, shape in zip(gradients, ctx.shapes, strict=False)  # and none for what is kept
    ]
    found = iter(_backward(ctx.formula, x, initial, weights, ctx.bias, kept, given, ctx.needed))
    dx, *others = [next(found) if n else None for n in ctx.needed]
    return None, dx, others[:many], others[many:], None, None


_forward.register_autograd(_autograd, setup_context=_setup)
