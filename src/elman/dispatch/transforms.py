"""What gradients and functorch's transforms make of the operators.

The operators stay operators. A gradient of ``elman::recur`` is one call of
``elman::recur_backward``: in eager mode, in a captured program, and at each level of functorch's
transforms. A further derivative, and forward mode, are those of the reference.

A mapped dimension of the data is folded into the rows, and the kernels give the weights' gradients
of each row. Where weights are mapped too, each member has a call of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad

from .. import onnx_nodes, reference
from ..runtime.untraced import untraced
from ..step import read
from .select import peek_functorch, tracing_state
from .torch_ops import LIBRARY, Recur, RecurBackward, given_of, marks_of, rows_of

_recur = torch.ops.elman.recur.default
_recur_backward = torch.ops.elman.recur_backward.default
_below = torch._C._AutoDispatchBelowAutograd
_unwrap_batched = torch._C._functorch._unwrap_batched
_add_batch_dim = torch._C._functorch._add_batch_dim
_BATCHED = torch._C.DispatchKeySet(torch._C.DispatchKey.FuncTorchBatched)

_Call = TypeVar("_Call", Recur, RecurBackward)
_Dims = Sequence[int | None]
_Found = tuple[list[Tensor], list[int | None]]  # and their mapped dimensions


def captured() -> bool:
    """Whether somebody records this call, or transforms it, to whom it may be an operator."""
    if torch.compiler.is_compiling():
        return True
    return peek_functorch() is not None or tracing_state() is not None


def forward_mode() -> bool:
    """Whether a forward-mode derivative is taken, of which the operators know nothing."""
    every = torch._C._functorch.get_interpreter_stack() or ()
    kinds = [interpreter.key() for interpreter in every]
    return torch._C._functorch.TransformType.Jvp in kinds or forward_ad._current_level >= 0


# While Dynamo traces a transform it enters it, so its answer is that of the call (as which
# `torch.compiler.assume_constant_result` would mark it, and import all of Dynamo).
forward_mode._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _layer(
    call: Recur | RecurBackward,
    by: Callable[..., tuple[Tensor, Sequence[Tensor]]] = reference.layer,
) -> list[Tensor]:
    """The results by other operations: PyTorch's, or nodes of ONNX."""
    step = read(call.formula)
    given = given_of(step, call)
    output, final = by(step, rows_of(given), given, marks_of(call))
    return [output, *final]


def _has_tangent(tensors: Sequence[Tensor]) -> bool:
    return forward_ad._current_level >= 0 and any(
        forward_ad.unpack_dual(t).tangent is not None for t in tensors
    )


def _tracked(tensors: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


class _Forward(torch.autograd.Function):
    """Of a call without its tensors, which autograd wants by themselves."""

    @staticmethod
    def forward(ctx: Any, call: Recur, *given: Any) -> Any:
        lengths, reset, *tensors = given
        whole = call._replace(tensors=tensors, lengths=lengths, keep=True, reset=reset)
        with torch.enable_grad(), _below():  # for the levels below, which an outer `grad` may be
            found = _recur(*whole)
        count = read(call.formula).results
        results, kept = found[:count], found[count:]
        ctx.set_materialize_grads(False)
        ctx.call, ctx.count, ctx.shapes = call, len(tensors), [r.shape for r in results]
        ctx.save_for_backward(*tensors, lengths, reset, *kept)
        if call.keep:
            ctx.mark_non_differentiable(*kept)
        return (*results, *(kept if call.keep else ()))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        formula, narrow, _, present, *_ = ctx.call
        tensors, (lengths, reset, *kept) = (
            ctx.saved_tensors[: ctx.count],
            ctx.saved_tensors[ctx.count :],
        )
        arrived = [
            tensors[0].new_zeros(shape) if g is None else g
            for g, shape in zip(gradients, ctx.shapes, strict=False)  # and none for what is kept
        ]
        needed = list(ctx.needs_input_grad[3:])
        found = _recur_backward(
            formula, narrow, tensors, present, lengths, kept, arrived, needed, False, reset
        )
        each = iter(found)
        return None, None, None, *(next(each) if n else None for n in needed)


class _Backward(torch.autograd.Function):
    """The same of a gradient, given the tensors and the gradients of the results."""

    @staticmethod
    def forward(
        ctx: Any,
        call: RecurBackward,
        lengths: Tensor | None,
        reset: Tensor | None,
        kept: Sequence[Tensor],
        *given: Tensor,
    ) -> Any:
        tensors, arrived = _halves(call, given)
        call = call._replace(lengths=lengths, reset=reset)
        every = call._replace(tensors=tensors, kept=kept, gradients=arrived)
        with torch.enable_grad(), _below():
            found = _recur_backward(*every)
        ctx.call = call._replace(lengths=None, reset=None)
        ctx.save_for_backward(lengths, reset, *given)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *arrived: Tensor) -> Any:
        lengths, reset, *given = ctx.saved_tensors
        call = ctx.call._replace(lengths=lengths, reset=reset)
        by = _gradients_of_rows if call.apart else _gradients

        def gradients(*given: Tensor) -> tuple[Tensor, ...]:
            return by(call, given)

        pull: Any = torch.func.vjp(gradients, *given)[1]
        return None, None, None, None, *pull(arrived)


def _halves(
    call: RecurBackward, given: Sequence[Tensor]
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The tensors of a call, and the gradients of its results."""
    count = len(call.needed)
    return given[:count], given[count:]


def _gradients(call: RecurBackward, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradients of those tensors of a call that are needed, by PyTorch's operations; the
    gradients of its results are the last that is ``given``."""
    tensors, arrived = _halves(call, given)

    def results(*some: Tensor) -> list[Tensor]:
        asked = iter(some)
        every = [next(asked) if n else t for t, n in zip(tensors, call.needed, strict=True)]
        return _layer(call._replace(tensors=every))

    wanted = [t for t, n in zip(tensors, call.needed, strict=True) if n]
    pull: Any = torch.func.vjp(results, *wanted)[1]
    found: tuple[Tensor, ...] = pull(list(arrived))
    return found


def _gradients_of_rows(call: RecurBackward, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The same with the weights' gradients of each row."""
    weight, B = _is_weight(call.formula, call.present), given[0].shape[1]
    asked = [w for w, n in zip(weight, call.needed, strict=True) if n]
    dims = [*(None if w else 1 for w in weight), *[1] * (len(given) - len(weight))]

    def of_row(lengths: Tensor | None, reset: Tensor | None, *row: Tensor) -> tuple[Tensor, ...]:
        return _gradients(call._replace(lengths=lengths, reset=reset), row)

    def split(t: Tensor | None, dim: int | None) -> Any:
        return t if t is None or dim is None else t.unflatten(dim, (B, t.shape[dim] // B))

    marks = [(call.lengths, 0), (call.reset, 1)]
    pairs = [*marks, *zip(given, dims, strict=True)]
    mapped = tuple([None if t is None else d for t, d in pairs])
    places = tuple([0 if w else 1 for w in asked])
    found: Any = torch.func.vmap(of_row, mapped, places)(*(split(*pair) for pair in pairs))
    return tuple([g if w else g.flatten(1, 2) for g, w in zip(found, asked, strict=True)])


def _apply(function: type[torch.autograd.Function], *arguments: Any) -> list[Tensor]:
    """A function at functorch's level of this moment, or at none. Its own ``apply`` would begin
    with the levels anew."""
    with enable_single_level_autograd_function():
        plain: Any = super(torch.autograd.Function, function)
        return list(plain.apply(*arguments))


@torch.library.impl(LIBRARY, "recur", "Autograd")
@untraced
def _(*arguments: Any) -> list[Tensor]:
    call = Recur(*arguments)
    if not call.keep and torch.onnx.is_in_onnx_export():  # a program captured before: traced anew
        return _layer(call, onnx_nodes.layer)
    if _has_tangent(call.tensors):
        return _layer(call)
    if _tracked(call.tensors):
        bare = call._replace(tensors=(), lengths=None, reset=None)
        return _apply(_Forward, bare, call.lengths, call.reset, *call.tensors)
    with _below():
        found: list[Tensor] = _recur(*call)
    return found


@torch.library.impl(LIBRARY, "recur_backward", "Autograd")
@untraced
def _(*arguments: Any) -> list[Tensor]:
    call = RecurBackward(*arguments)
    given = [*call.tensors, *call.gradients]
    if _has_tangent(given):
        raise NotImplementedError(
            "forward mode of a gradient of a captured elman layer: take both of the module itself, "
            "or both within what is captured"
        )
    if _tracked(given):
        bare = call._replace(tensors=(), lengths=None, kept=(), gradients=(), reset=None)
        return _apply(_Backward, bare, call.lengths, call.reset, call.kept, *given)
    with _below():
        found: list[Tensor] = _recur_backward(*call)
    return found


class _Mapped:
    """Tensors of a call with their mapped dimensions.

    All but weights and what is kept have their rows in dimension 1 (lengths: 0). Initial states may
    have two rows for each of the others.
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

    def fold_call(self, call: _Call, dims: Any) -> _Call:
        """The call, whose weights are not mapped, for the rows of all members."""
        weight = _is_weight(call.formula, call.present)
        lengths, reset = call.lengths, call.reset
        each = zip(call.tensors, _dims_of(dims.tensors, call.tensors), weight, strict=True)
        tensors = [t if w else self.fold(t, d) for t, d, w in each]
        if lengths is not None:
            lengths = self.fold(lengths, dims.lengths, 0)
        if reset is not None:
            reset = self.fold(reset, dims.reset)
        return call._replace(tensors=tensors, lengths=lengths, reset=reset)

    def unfold(self, t: Tensor, rows: int = 1) -> Tensor:
        return t.unflatten(rows, (self.size, t.shape[rows] // self.size))

    def sums(self, t: Tensor) -> Tensor:
        """Of gradients of each row those of each member."""
        if t.shape[0] == self.size:
            return t
        return self.unfold(t, 0).sum(1)

    def each(self, operator: Any, call: Sequence[Any], dims: Sequence[Any]) -> _Found:
        """The results of an operator for each member, mapped in dimension 0."""
        found = [operator(*_member(i, call, dims)) for i in range(self.size)]
        stacked = [torch.stack(parts) for parts in zip(*found, strict=True)]
        return stacked, [*[0] * len(stacked)]


def _member(i: int, arguments: Sequence[Any], dims: Sequence[Any]) -> list[Any]:
    """A member's part of arguments; those that are lists have a mapped dimension for each."""
    return [
        a if d is None else _member(i, a, d) if isinstance(d, tuple) else a.select(d, i)
        for a, d in zip(arguments, dims, strict=True)
    ]


@lru_cache(maxsize=64)
def _is_weight(formula: str, present: str) -> tuple[bool, ...]:
    """Of each tensor of a call that is there."""
    first = read(formula).first_weight
    return tuple([i >= first for i, here in enumerate(present) if here == "1"])


def _vmap(name: str, kind: Callable[..., Any]) -> Callable[[Callable[..., _Found]], None]:
    """Registers what ``vmap`` makes of an operator: ``rule(size, dims, call)``; ``dims`` are the
    mapped dimensions of each argument, for a list a tuple of them.

    ``torch.library.register_vmap`` does the same for trees of any depth, which takes 0.13 ms more
    for a forward and a backward pass.
    """
    operator = getattr(torch.ops.elman, name).default

    def register(rule: Callable[..., _Found]) -> None:
        @untraced
        def call(_: Any, *arguments: Any) -> list[Tensor]:
            interpreter: Any = retrieve_current_functorch_interpreter()
            level = interpreter.level()

            def unwrap(argument: Any) -> tuple[Any, Any]:
                if isinstance(argument, Tensor):
                    return _unwrap_batched(argument, level)
                if argument and isinstance(argument, (list, tuple)):
                    if not isinstance(argument[0], Tensor):
                        return argument, None
                    values, dims = zip(*map(unwrap, argument), strict=True)
                    return [*values], dims if any(d is not None for d in dims) else None
                return argument, None

            values, dims = zip(*map(unwrap, kind(*arguments)), strict=True)
            with torch._C._ExcludeDispatchKeyGuard(_BATCHED):
                if all(d is None for d in dims):
                    found: list[Tensor] = operator(*arguments)
                    return found
                results, mapped = rule(interpreter.batch_size(), kind(*dims), kind(*values))
            return [
                r if d is None else _add_batch_dim(r, d, level)
                for r, d in zip(results, mapped, strict=True)
            ]

        LIBRARY.impl(name, call, "FuncTorchBatched", with_keyset=True)

    return register


def _dims_of(dims: Any, tensors: Sequence[Tensor]) -> _Dims:
    """The mapped dimension of each tensor of a list."""
    return dims or [None] * len(tensors)


def _maps_weights(call: Recur | RecurBackward, dims: Any) -> bool:
    weight = _is_weight(call.formula, call.present)
    pairs = zip(weight, _dims_of(dims.tensors, call.tensors), strict=True)
    return any(w and d is not None for w, d in pairs)


@_vmap("recur", Recur)
@untraced
def _(size: int, dims: Any, call: Recur) -> _Found:
    mapped = _Mapped(size)
    if _maps_weights(call, dims):
        return mapped.each(_recur, call, dims)
    count = read(call.formula).results
    found = _recur(*mapped.fold_call(call, dims))
    results = [mapped.unfold(r) for r in found[:count]]
    return [*results, *found[count:]], [*[1] * count, *[None] * (len(found) - count)]


@_vmap("recur_backward", RecurBackward)
@untraced
def _(size: int, dims: Any, call: RecurBackward) -> _Found:
    mapped, weight = _Mapped(size), _is_weight(call.formula, call.present)
    folds = any(d is not None for d in (dims.lengths, dims.reset, dims.tensors))
    if not folds or _maps_weights(call, dims):
        # Each member has a call of its own in the forward pass, or all have one.
        return mapped.each(_recur_backward, call, dims)
    of_gradients = _dims_of(dims.gradients, call.gradients)
    back = [mapped.fold(g, d) for g, d in zip(call.gradients, of_gradients, strict=True)]
    asked = [w for w, n in zip(weight, call.needed, strict=True) if n]
    folded = mapped.fold_call(call, dims)
    found = _recur_backward(*folded._replace(gradients=back, apart=call.apart or any(asked)))
    unfolded = [
        mapped.unfold(g, 0 if w else 1) if call.apart or not w else mapped.sums(g)
        for g, w in zip(found, asked, strict=True)
    ]
    return unfolded, [0 if w else 1 for w in asked]
