"""One layer's forward and backward pass, for all its directions, by the kernel or the reference."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from . import recompute, reference
from .batch import Rows, Weights
from .cell import Step
from .compiler.isa import ISA
from .compiler.kernel import Gradients, Kernel, kernel_for


class Spec(NamedTuple):
    """What the function needs besides tensors with a gradient."""

    step: Step
    rows: Rows
    isa: ISA
    recompute: bool = False

    @property
    def in_segments(self) -> bool:
        """Whether only states between segments are kept for the backward pass."""
        return self.recompute and len(self.rows.segments()) > 1

    def kernel(self, x: Tensor, units: int) -> Kernel:
        return kernel_for(self.step, x.dtype, self.isa, units, self.rows.B == 1)


class Given(NamedTuple):
    """The tensors of a call, each kind by itself; :meth:`flat` and :meth:`of` are inverse."""

    x: Tensor
    initial: Sequence[Tensor | None]  # for each state (D, B, H)
    inputs: Sequence[Tensor]  # for each further input (T, B, H) or (N, H)
    weights: Sequence[Weights]  # for each direction

    def flat(self) -> list[Tensor | None]:
        return [self.x, *self.initial, *self.inputs, *(t for w in self.weights for t in w.flat())]

    @staticmethod
    def of(step: Step, flat: Sequence[Any]) -> Given:
        states, first = 1 + len(step.states), 1 + len(step.states) + len(step.inputs)
        count = 4 + len(step.matrices) + len(step.vectors)
        weights = [
            Weights(flat[i], flat[i + 1], flat[i + 2], flat[i + 3], tuple(flat[i + 4 : i + count]))
            for i in range(first, len(flat), count)
        ]
        return Given(flat[0], flat[1:states], flat[states:first], weights)


def check_shapes(step: Step, rows: Rows, given: Given) -> None:
    """Tensors of other shapes would be read beyond their end; anyone can put them there."""
    lead = (rows.T, rows.B) if rows.counts is None else (rows.N,)
    shapes = tuple([None if t is None else t.shape for t in given.flat()])
    _check(step, lead, rows.B, shapes)


@functools.lru_cache(maxsize=1024)  # of shapes that were found right
def _check(
    step: Step, lead: tuple[int, ...], B: int, shapes: tuple[torch.Size | None, ...]
) -> None:
    x: Any
    x, initial, inputs, weights = Given.of(step, shapes)
    first: Any = weights[0]
    of, count = (first.w_hh, step.u_gates) if step.u_gates else (first.w_ih, step.x_gates)
    units = projected = of[0] // len(count)
    if step.projection:
        projected = first.more[list(step.matrices).index(step.projection)][0]
    if projected > units:
        raise RuntimeError(
            f"expected a projected state of at most {units} units, as many as the hidden state "
            f"has, got {projected}"
        )
    found = step.shapes(x[-1], units, projected)
    expected = [found.get(name) for name in step.parameters]
    for mine in weights:
        for i, (want, have) in enumerate(zip(expected, mine.flat(), strict=True)):
            if want != have and not (have is None and i in (2, 3)):
                got = None if have is None else tuple(have)
                raise RuntimeError(
                    f"expected {step.parameters[i]} of shape {want}, got {got}: something has "
                    "replaced it"
                )
    if x != (*lead, x[-1]):
        raise RuntimeError(f"expected x of shape {(*lead, x[-1])}, got {tuple(x)}")
    size = projected
    for h in initial:
        if h is not None and h != (len(weights), B, size):
            raise RuntimeError(
                f"expected an initial state of shape {(len(weights), B, size)}, got {tuple(h)}"
            )
        size = units  # of all states but the first
    for further in inputs:
        if further != (*lead, units):
            raise RuntimeError(
                f"expected a further input of shape {(*lead, units)}, got {tuple(further)}"
            )


def _check_alike(given: Given) -> None:
    """PyTorch operations would convert some mixtures of dtypes and devices, and refuse others."""
    x = given.x
    for t in given.flat():
        if t is not None and (t.dtype != x.dtype or t.device != x.device):
            raise RuntimeError(
                f"expected all tensors of the input's dtype and device, {x.dtype} on {x.device}, "
                f"got {t.dtype} on {t.device} in shape {tuple(t.shape)}: something has replaced a "
                f"weight; convert the module with module.to({x.dtype})"
            )


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


def by_reference(step: Step, rows: Rows, given: Given) -> tuple[Tensor, list[Tensor]]:
    """What :func:`recur` computes, by PyTorch operations, in the weights' dtype."""
    if torch._C._is_any_autocast_enabled():
        with torch.autocast(given.x.device.type, enabled=False):
            return by_reference(step, rows, given)
    _check_alike(given)
    outputs, finals = [], []
    for d, mine in enumerate(given.weights):
        units, projected = mine.sizes(step)
        h0 = [
            h[d]
            if h is not None
            else given.x.new_zeros(rows.B, projected if name == step.states[0] else units)
            for name, h in zip(step.states, given.initial, strict=True)
        ]
        way = rows._replace(reverse=True) if d else rows
        output, final = reference.run(step, way, given.x, mine, h0, given.inputs)
        outputs.append(output)
        finals.append(final)
    states = [torch.stack(parts) for parts in zip(*finals, strict=True)]
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)), states


def run(spec: Spec, given: Given, keep: bool) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The kernel for every direction; also what it keeps for the backward pass."""
    step, rows = spec.step, spec.rows
    x, count = given.x, len(given.weights)
    units, projected = given.weights[0].sizes(step)
    shape = (rows.T, rows.B) if rows.counts is None else (rows.N,)
    output = x.new_empty((*shape, count * projected))
    final = [x.new_empty((count, rows.B, projected))]
    final += [x.new_empty((count, rows.B, units)) for _ in step.states[1:]]
    kernel = spec.kernel(x, units)
    kept: list[Tensor] = []
    if count == 1 and not keep:  # the shortest way, for the smallest calls
        kernel.forward(rows, x, given.weights[0], given.initial, output, final, None, given.inputs)
        return output, final, kept
    for d, mine in enumerate(given.weights):
        way = rows._replace(reverse=True) if d else rows
        initial, results = _of(given.initial, d, count), _of(final, d, count)
        half = _half(output, d, count)
        if keep and spec.in_segments:
            kept += recompute.forward(kernel, way, x, mine, initial, half, results, given.inputs)
            continue
        saved = x.new_empty(kernel.saved_size(rows, units)) if keep else None
        kernel.forward(way, x, mine, initial, half, results, saved, given.inputs)
        if saved is not None:
            kept.append(saved)
    return output, final, kept


def gradients_of(
    spec: Spec,
    given: Given,
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of the call's tensors, flat, by the kernel; None for those not needed.

    ``gradients`` are those of the output and the final states.
    """
    rows, count = spec.rows, len(given.weights)
    units, _ = given.weights[0].sizes(spec.step)
    kernel = spec.kernel(given.x, units)
    gout, *gfinal = gradients
    found = [_like(t, n) for t, n in zip(given.flat(), needed, strict=True)]
    goals = Given.of(spec.step, found)
    if not kernel.plan.complete:  # the formula reads something that has no gradient
        for t in found:
            if t is not None:
                t.zero_()
    for d, mine in enumerate(given.weights):
        way = rows._replace(reverse=True) if d else rows
        wanted = Gradients(
            goals.x if kernel.plan.z_x else None,
            d > 0,
            _of(goals.initial, d, count),
            goals.inputs,
            goals.weights[d],
        )
        arrived = _half(gout, d, count), _of(gfinal, d, count)
        if spec.in_segments:
            states = len(spec.step.states)
            before = kept[d * states : (d + 1) * states]
            recompute.backward(kernel, way, given.x, mine, before, *arrived, wanted, given.inputs)
        else:
            kernel.backward(way, given.x, mine, kept[d], *arrived, wanted, given.inputs)
    return found


def _like(tensor: Tensor | None, needed: bool) -> Tensor | None:
    """Room for a gradient, contiguous whatever the tensor is."""
    if tensor is None or not needed:
        return None
    # The first takes half the time of the second.
    return torch.empty_like(tensor) if tensor.is_contiguous() else tensor.new_empty(tensor.shape)


def through_reference(
    step: Step,
    rows: Rows,
    given: Given,
    gradients: Sequence[Tensor | None],
    needed: Sequence[bool],
    create_graph: bool,
) -> list[Tensor | None]:
    """The same gradients by PyTorch operations, differentiable if ``create_graph``.

    They are taken of fresh views: the tensors themselves may depend on one another, and then
    their gradients here would count what the caller's graph counts again.
    """
    leaves = [None if t is None else t.view_as(t) for t in given.flat()]
    output, final = by_reference(step, rows, Given.of(step, leaves))
    results = [(o, g) for o, g in zip((output, *final), gradients, strict=True) if g is not None]
    wanted = [t for t, n in zip(leaves, needed, strict=True) if n and t is not None]
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
        next(found) if n and t is not None else None for t, n in zip(leaves, needed, strict=True)
    ]
