"""One layer's forward and backward pass, for all its directions, by the kernel or the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from . import reference
from .batch import Rows, Weights
from .cell import Step
from .compiler.isa import ISA
from .compiler.kernel import Gradients, Kernel, kernel_for


class Spec(NamedTuple):
    """What the function needs besides tensors with a gradient."""

    step: Step
    rows: Rows
    states: int
    inputs: Sequence[Tensor]
    isa: ISA

    def kernel(self, x: Tensor, units: int) -> Kernel:
        return kernel_for(self.step, x.dtype, self.isa, units, self.rows.B == 1)


def check_shapes(
    step: Step,
    rows: Rows,
    x: Tensor,
    initial: Sequence[Tensor | None],
    weights: Sequence[Weights],
    inputs: Sequence[Tensor] = (),
) -> None:
    """Tensors of other shapes would be read beyond their end; anyone can put them there."""
    units, width = weights[0].w_hh.shape[-1], x.shape[-1]
    lead = (rows.T, rows.B) if rows.counts is None else (rows.N,)
    height = len(step.gates) * units
    for mine in weights:
        w_ih, w_hh, b_ih, b_hh = mine
        if not (
            w_ih.shape == (height, width)
            and w_hh.shape == (height, units)
            and (b_ih is None or b_ih.shape == (height,))
            and (b_hh is None or b_hh.shape == (height,))
        ):
            raise RuntimeError(
                f"expected weights of shapes {(height, width)}, {(height, units)}, {(height,)}, "
                f"{(height,)}, got {[None if t is None else tuple(t.shape) for t in mine]}: "
                "something has replaced them"
            )
    if x.shape != (*lead, width):
        raise RuntimeError(f"expected x of shape {(*lead, width)}, got {tuple(x.shape)}")
    for h in initial:
        if h is not None and h.shape != (len(weights), rows.B, units):
            raise RuntimeError(
                f"expected an initial state of shape {(len(weights), rows.B, units)}, got "
                f"{tuple(h.shape)}"
            )
    for given in inputs:
        if given.shape != (*lead, units):
            raise RuntimeError(
                f"expected a further input of shape {(*lead, units)}, got {tuple(given.shape)}"
            )


def split(flat: Sequence[Tensor | None]) -> list[Weights]:
    """The weights of each direction from all their tensors in one sequence."""
    return [Weights(*flat[i : i + 4]) for i in range(0, len(flat), 4)]  # type: ignore[arg-type]


_Maybe = TypeVar("_Maybe", Tensor, Tensor | None)


def _of(tensors: Sequence[_Maybe], direction: int, count: int) -> Sequence[_Maybe]:
    """One direction's part of tensors whose first dimension is the direction."""
    if count == 1:
        return tensors  # the kernel reads the last two dimensions
    return [None if t is None else t[direction] for t in tensors]


def _half(tensor: _Maybe, direction: int, count: int) -> _Maybe:
    """One direction's part of the units of an output."""
    if tensor is None or count == 1:
        return tensor
    units = tensor.shape[-1] // count
    return tensor.narrow(-1, direction * units, units)


def by_reference(
    step: Step,
    rows: Rows,
    x: Tensor,
    initial: Sequence[Tensor | None],
    weights: Sequence[Weights],
    inputs: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """What :func:`recur` computes, by PyTorch operations, in the weights' dtype."""
    if torch._C._is_any_autocast_enabled():
        with torch.autocast(x.device.type, enabled=False):
            return by_reference(step, rows, x, initial, weights, inputs)
    outputs, finals = [], []
    for d, mine in enumerate(weights):
        shape = (rows.B, mine.w_hh.shape[-1])
        h0 = [x.new_zeros(shape) if h is None else h[d] for h in initial]
        way = rows._replace(reverse=True) if d else rows
        output, final = reference.run(step, way, x, mine, h0, inputs)
        outputs.append(output)
        finals.append(final)
    states = [torch.stack(parts) for parts in zip(*finals, strict=True)]
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)), states


def run(
    spec: Spec,
    x: Tensor,
    initial: Sequence[Tensor | None],
    weights: Sequence[Weights],
    keep: bool,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The kernel for every direction; also what it keeps for the backward pass."""
    rows, count = spec.rows, len(weights)
    units = weights[0].w_hh.shape[-1]
    shape = (rows.T, rows.B) if rows.counts is None else (rows.N,)
    output = x.new_empty((*shape, count * units))
    final = [x.new_empty((count, rows.B, units)) for _ in range(spec.states)]
    kernel = spec.kernel(x, units)
    kept: list[Tensor] = []
    if count == 1 and not keep:  # the shortest way, for the smallest calls
        kernel.forward(rows, x, weights[0], initial, output, final, None, spec.inputs)
        return output, final, kept
    for d, mine in enumerate(weights):
        saved = x.new_empty(kernel.saved_size(rows, units)) if keep else None
        kernel.forward(
            rows._replace(reverse=True) if d else rows,
            x,
            mine,
            _of(initial, d, count),
            _half(output, d, count),
            _of(final, d, count),
            saved,
            spec.inputs,
        )
        if saved is not None:
            kept.append(saved)
    return output, final, kept


def gradients_of(
    spec: Spec,
    given: Sequence[Tensor | None],
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of x, the initial states and the weights, by the kernel.

    ``given`` are these tensors, ``gradients`` those of the output and the final states.
    """
    x, *rest = given
    assert x is not None
    initial, flat = rest[: spec.states], rest[spec.states :]
    need_x, *need = needed
    need_initial, need_flat = need[: spec.states], need[spec.states :]
    weights, rows = split(flat), spec.rows
    units = weights[0].w_hh.shape[-1]
    kernel = spec.kernel(x, units)
    gout, *gfinal = gradients
    dx = x.new_empty(x.shape) if need_x else None
    dh = [_like(h, n) for n, h in zip(need_initial, initial, strict=True)]
    dw = [_like(t, n) for n, t in zip(need_flat, flat, strict=True)]
    if len(kernel.plan.z_x) + len(kernel.plan.z_bias) < 2 * len(spec.step.gates):
        for t in (dx, *dw):  # the formula does not use every row of the weights
            if t is not None:
                t.zero_()
    for d, mine in enumerate(weights):
        kernel.backward(
            rows._replace(reverse=True) if d else rows,
            x,
            mine,
            kept[d],
            _half(gout, d, len(weights)),
            _of(gfinal, d, len(weights)),
            Gradients(
                dx if kernel.plan.z_x else None,
                d > 0,
                _of(dh, d, len(weights)),
                dw[4 * d : 4 * d + 4],
            ),
            spec.inputs,
        )
    return [dx, *dh, *dw]


def _like(tensor: Tensor | None, needed: bool) -> Tensor | None:
    """Room for a gradient, contiguous whatever the tensor is."""
    return tensor.new_empty(tensor.shape) if needed and tensor is not None else None


def through_reference(
    step: Step,
    rows: Rows,
    inputs: Sequence[Tensor],
    given: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
    needed: Sequence[bool],
    create_graph: bool,
) -> list[Tensor | None]:
    """The same gradients by PyTorch operations, differentiable if ``create_graph``.

    They are taken of fresh views: the tensors themselves may depend on one another, and then
    their gradients here would count what the caller's graph counts again.
    """
    given = [None if t is None else t.view_as(t) for t in given]
    x, *rest = given
    assert x is not None
    initial, flat = rest[: len(step.states)], rest[len(step.states) :]
    output, final = by_reference(step, rows, x, initial, split(flat), inputs)
    results = [(o, g) for o, g in zip((output, *final), gradients, strict=True) if g is not None]
    wanted = [t for t, n in zip(given, needed, strict=True) if n and t is not None]
    found = iter(
        torch.autograd.grad(
            [o for o, _ in results],
            wanted,
            [g for _, g in results],
            create_graph=create_graph,
            allow_unused=True,
        )
    )
    return [
        next(found) if n and t is not None else None for t, n in zip(given, needed, strict=True)
    ]
