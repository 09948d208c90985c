"""What gradients and functorch's transforms make of the operators.

The operators stay operators: a gradient of ``elman::recur`` is one call of
``elman::recur_backward``, in eager mode, in a captured program, and under functorch's transforms,
which meet both rules below at each of their levels. A further derivative, and forward mode, are
those of the reference.

A mapped dimension of the data is folded into the rows. Where weights are mapped too, each member
has a call of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad

from . import onnx_nodes, reference
from .compiler.plan import plan_of
from .operators import LIBRARY, given_of, rows_of
from .runtime.untraced import untraced
from .step import read
from .taps import Samples, Tapped, tapped, weights

_recur = torch.ops.elman.recur.default
_recur_backward = torch.ops.elman.recur_backward.default
_peek_functorch = torch._C._functorch.peek_interpreter_stack
_below = torch._C._AutoDispatchBelowAutograd
_tracing_state = torch._C._get_tracing_state

_Dims = Sequence[int | None]
_Found = tuple[list[Tensor], list[int | None]]  # and their mapped dimensions


def captured() -> bool:
    """Whether somebody records this call, or transforms it, to whom it may be an operator."""
    if torch.compiler.is_compiling():
        return True
    return _peek_functorch() is not None or _tracing_state() is not None


def forward_mode() -> bool:
    """Whether a forward-mode derivative is taken, of which the operators know nothing."""
    every = torch._C._functorch.get_interpreter_stack() or ()
    kinds = [interpreter.key() for interpreter in every]
    return torch._C._functorch.TransformType.Jvp in kinds or forward_ad._current_level >= 0


# While Dynamo traces a transform it enters it, so its answer is that of the call (as which
# `torch.compiler.assume_constant_result` would mark it, and import all of Dynamo).
forward_mode._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _layer(
    formula: str,
    tensors: Sequence[Tensor],
    present: str,
    lengths: Tensor | None,
    by: Callable[..., tuple[Tensor, Sequence[Tensor]]] = reference.layer,
) -> list[Tensor]:
    """The results by other operations: PyTorch's, or nodes of ONNX."""
    step = read(formula)
    given = given_of(step, tensors, present)
    output, final = by(step, rows_of(given), given, lengths)
    return [output, *final]


def _has_tangent(tensors: Sequence[Tensor]) -> bool:
    return forward_ad._current_level >= 0 and any(
        forward_ad.unpack_dual(t).tangent is not None for t in tensors
    )


def _tracked(tensors: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: Any, lengths: Tensor | None, *tensors: Tensor) -> Any:
        formula, narrow, present, keep = call
        with torch.enable_grad(), _below():  # for the levels below, which an outer `grad` may be
            found = _recur(formula, narrow, tensors, present, lengths, True)
        count = 1 + len(read(formula).states)
        results, kept = found[:count], found[count:]
        ctx.set_materialize_grads(False)
        ctx.call, ctx.count, ctx.shapes = call, len(tensors), [r.shape for r in results]
        ctx.save_for_backward(*tensors, lengths, *kept)
        if keep:
            ctx.mark_non_differentiable(*kept)
        return (*results, *(kept if keep else ()))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        formula, narrow, present, _ = ctx.call
        tensors, (lengths, *kept) = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        arrived = [
            tensors[0].new_zeros(shape) if g is None else g
            for g, shape in zip(gradients, ctx.shapes, strict=False)  # and none for what is kept
        ]
        needed = list(ctx.needs_input_grad[2:])
        found = _recur_backward(formula, narrow, tensors, present, lengths, kept, arrived, needed)
        return None, None, *_spread(found, needed)


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, call: Any, lengths: Tensor | None, kept: Sequence[Tensor], *given: Tensor
    ) -> Any:
        formula, narrow, present, count, needed = call
        tensors, gradients = given[:count], given[count:]
        with torch.enable_grad(), _below():
            found = _recur_backward(
                formula, narrow, tensors, present, lengths, kept, gradients, needed
            )
        ctx.call = call
        ctx.save_for_backward(lengths, *given)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *arrived: Tensor) -> Any:
        formula, _, present, count, needed = ctx.call
        lengths, *given = ctx.saved_tensors

        def gradients(*given: Tensor) -> tuple[Tensor, ...]:
            def results(*some: Tensor) -> list[Tensor]:
                asked = iter(some)
                every = [
                    next(asked) if n else t for t, n in zip(given[:count], needed, strict=True)
                ]
                return _layer(formula, every, present, lengths)

            wanted = [t for t, n in zip(given[:count], needed, strict=True) if n]
            pull: Any = torch.func.vjp(results, *wanted)[1]
            found: tuple[Tensor, ...] = pull(list(given[count:]))
            return found

        pull: Any = torch.func.vjp(gradients, *given)[1]
        return None, None, None, *pull(arrived)


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> list[Tensor]:
    """A function at functorch's level of this moment, or at none. Its own ``apply`` would begin
    with the levels anew."""
    with enable_single_level_autograd_function():
        plain: Any = super(torch.autograd.Function, function)
        return list(plain.apply(*arguments))


def _spread(found: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    each = iter(found)
    return [next(each) if n else None for n in needed]


@torch.library.impl(LIBRARY, "recur", "Autograd")
@untraced
def _(
    formula: str,
    narrow: str,
    tensors: Sequence[Tensor],
    present: str,
    lengths: Tensor | None,
    keep: bool,
) -> list[Tensor]:
    if not keep and torch.onnx.is_in_onnx_export():  # a program captured before is traced anew
        return _layer(formula, tensors, present, lengths, onnx_nodes.layer)
    if _has_tangent(tensors):
        return _layer(formula, tensors, present, lengths)
    if _tracked(tensors):
        return _apply(_Forward, (formula, narrow, present, keep), lengths, *tensors)
    with _below():
        found: list[Tensor] = _recur(formula, narrow, tensors, present, lengths, keep)
    return found


@torch.library.impl(LIBRARY, "recur_backward", "Autograd")
@untraced
def _(
    formula: str,
    narrow: str,
    tensors: Sequence[Tensor],
    present: str,
    lengths: Tensor | None,
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor]:
    given = [*tensors, *gradients]
    if _has_tangent(given):
        raise NotImplementedError(
            "forward mode of a gradient of a captured elman layer: take both of the module itself, "
            "or both within what is captured"
        )
    if _tracked(given):
        call = formula, narrow, present, len(tensors), list(needed)
        return _apply(_Backward, call, lengths, kept, *given)
    with _below():
        found: list[Tensor] = _recur_backward(
            formula, narrow, tensors, present, lengths, kept, gradients, needed
        )
    return found


class _Mapped:
    """Tensors of a call with their mapped dimensions.

    All but weights and what is kept have their rows in dimension 1 (lengths: 0).
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def fold(self, t: Tensor, dim: int | None, rows: int = 1) -> Tensor:
        """The mapped dimension in front of the rows, and one with them."""
        if dim is None:
            t = t.unsqueeze(rows).expand(*t.shape[:rows], self.size, *t.shape[rows:])
        else:
            t = t.movedim(dim, rows)
        return t.flatten(rows, rows + 1)

    def fold_data(
        self, tensors: Sequence[Tensor], dims: _Dims, weight: Sequence[bool]
    ) -> list[Tensor]:
        """The tensors of a call whose weights are not mapped."""
        each = zip(tensors, dims, weight, strict=True)
        return [t if w else self.fold(t, d) for t, d, w in each]

    def unfold(self, t: Tensor) -> Tensor:
        return t.unflatten(1, (self.size, t.shape[1] // self.size))

    def member(self, tensors: Sequence[Tensor], dims: _Dims, i: int) -> list[Tensor]:
        pairs = zip(tensors, dims, strict=True)
        return [t if dim is None else t.select(dim, i) for t, dim in pairs]

    def each(self, call: Callable[[int], Sequence[Tensor]]) -> _Found:
        """The results of a call for each member, mapped in dimension 0."""
        found = [call(i) for i in range(self.size)]
        stacked = [torch.stack(parts) for parts in zip(*found, strict=True)]
        return stacked, [*[0] * len(stacked)]


def _with_taps(
    formula: str, of: Tapped, tensors: Sequence[Tensor], present: str
) -> tuple[list[Tensor], str]:
    """The tensors of a call with taps, which are zero."""
    step = read(formula)
    first = 1 + len(step.states) + len(step.inputs)
    place, (T, B, _) = present[:first].count("1"), tensors[0].shape
    units = given_of(step, tensors, present).weights[0].sizes(step)[0]
    zeros = [tensors[0].new_zeros(()).expand(T, B, units)] * of.taps
    given = [*tensors[:place], *zeros, *tensors[place:]]
    return given, present[:first] + "1" * of.taps + present[first:]


def _is_weight(formula: str, present: str) -> list[bool]:
    """Of each tensor of a call that is there."""
    step = read(formula)
    first = 1 + len(step.states) + len(step.inputs)
    return [i >= first for i, here in enumerate(present) if here == "1"]


@torch.library.register_vmap("elman::recur")
@untraced
def _(
    info: Any,
    in_dims: Any,
    formula: str,
    narrow: str,
    tensors: Sequence[Tensor],
    present: str,
    lengths: Tensor | None,
    keep: bool,
) -> _Found:
    mapped, dims, of_lengths = _Mapped(info.batch_size), in_dims[2], in_dims[4]
    weight = _is_weight(formula, present)
    if any(w and d is not None for w, d in zip(weight, dims, strict=True)):

        def call(i: int) -> list[Tensor]:
            mine = mapped.member(tensors, dims, i)
            of = lengths if of_lengths is None or lengths is None else lengths.select(of_lengths, i)
            found: list[Tensor] = _recur(formula, narrow, mine, present, of, keep)
            return found

        return mapped.each(call)
    folded = mapped.fold_data(tensors, dims, weight)
    if lengths is not None:
        lengths = mapped.fold(lengths, of_lengths, 0)
    count, with_taps = 1 + len(read(formula).states), tapped(read(formula))
    if keep and with_taps is not None:  # the gradients of weights may be wanted for each member
        folded, present = _with_taps(formula, with_taps, folded, present)
        formula = with_taps.step.text
    found = _recur(formula, narrow, folded, present, lengths, keep)
    results = [mapped.unfold(r) for r in found[:count]]
    return [*results, *found[count:]], [*[1] * count, *[None] * (len(found) - count)]


@torch.library.register_vmap("elman::recur_backward")
@untraced
def _(
    info: Any,
    in_dims: Any,
    formula: str,
    narrow: str,
    tensors: Sequence[Tensor],
    present: str,
    lengths: Tensor | None,
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> _Found:
    mapped, weight = _Mapped(info.batch_size), _is_weight(formula, present)
    dims, of_lengths, of_kept, of_gradients = in_dims[2], in_dims[4], in_dims[5], in_dims[6]

    def lengths_of(i: int) -> Tensor | None:
        if lengths is None or of_lengths is None:
            return lengths
        return lengths.select(of_lengths, i)

    folds = of_lengths is not None or any(d is not None for d in dims)
    folds = folds and not any(w and d is not None for w, d in zip(weight, dims, strict=True))
    if not folds:  # each member has a call of its own in the forward pass, or all have one

        def call(i: int) -> list[Tensor]:
            mine, back = mapped.member(tensors, dims, i), mapped.member(gradients, of_gradients, i)
            saved = mapped.member(kept, of_kept, i)
            found: list[Tensor] = _recur_backward(
                formula, narrow, mine, present, lengths_of(i), saved, back, needed
            )
            return found

        return mapped.each(call)
    folded = mapped.fold_data(tensors, dims, weight)
    back = [mapped.fold(g, d) for g, d in zip(gradients, of_gradients, strict=True)]
    all_lengths = None if lengths is None else mapped.fold(lengths, of_lengths, 0)
    with_taps = tapped(read(formula))
    every = formula, narrow, folded, present, all_lengths
    if with_taps is not None:
        return _by_taps(with_taps, mapped.size, every, kept, back, needed)
    if not any(w and n for w, n in zip(weight, needed, strict=True)):
        found = _recur_backward(*every, kept, back, needed)
        return [mapped.unfold(g) for g in found], [*[1] * len(found)]
    count = 1 + len(read(formula).states)

    def again(i: int) -> list[Tensor]:
        mine, back = mapped.member(tensors, dims, i), mapped.member(gradients, of_gradients, i)
        forward = _recur(formula, narrow, mine, present, lengths_of(i), True)
        found: list[Tensor] = _recur_backward(
            formula, narrow, mine, present, lengths_of(i), forward[count:], back, needed
        )
        return found

    return mapped.each(again)


def _by_taps(
    of: Tapped,
    samples: int,
    call: tuple[str, str, list[Tensor], str, Tensor | None],
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor],
    needed: Sequence[bool],
) -> _Found:
    """The gradients of a folded call whose forward pass had taps."""
    formula, narrow, tensors, present, lengths = call
    step, mapped = read(formula), _Mapped(samples)
    given = given_of(step, tensors, present)
    fixed = present[: 1 + len(step.states) + len(step.inputs)].count("1")
    data, of_weights = needed[:fixed], needed[fixed:]
    directions = len(given.weights)
    P = gradients[0].shape[-1] // directions
    # Both directions share the taps, so each has a backward pass of its own.
    apart = directions if any(of_weights) else 1
    every, with_taps = _with_taps(formula, of, tensors, present)
    wanted = [*data, *[any(of_weights)] * of.taps, *[False] * len(of_weights)]
    sums: list[Tensor] = []
    taps: list[list[Tensor]] = []
    for d in range(apart):
        back = list(gradients)
        if apart > 1:
            back = [torch.zeros_like(g) for g in gradients]
            back[0][..., d * P : (d + 1) * P] = gradients[0][..., d * P : (d + 1) * P]
            for mine, g in zip(back[1:], gradients[1:], strict=True):
                mine[d] = g[d]
        found = _recur_backward(of.step.text, narrow, every, with_taps, lengths, kept, back, wanted)
        parts = found[: sum(data)]
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
        taps.append(found[sum(data) :])
    results = [mapped.unfold(g) for g in sums]
    dims: list[int | None] = [*[1] * len(results)]
    if any(of_weights):
        if lengths is None and plan_of(of.step).reads_output:
            output = kept[0]  # as it was, in the rows of padded tensors
        else:
            output = _recur(formula, narrow, tensors, present, lengths, False)[0]
        batch = Samples(given, samples, lengths)
        ways = weights(step, of, batch, output.chunk(directions, -1), taps)
        flat = [g for way in ways for g in way if g is not None]
        results += [g for g, n in zip(flat, of_weights, strict=True) if n]
        dims = [*dims, *[0] * sum(of_weights)]
    return results, dims
