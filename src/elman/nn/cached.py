"""Calls of modules that are like one before, which has passed the checks.

All that is checked of a call, and how it runs, depends on the module's formula and options, and on
the types, shapes and strides of all tensors. One guard compares the tensors with those of an
earlier call. Where it matches, the call goes past the checks, to the same executables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..dispatch.autograd import run
from ..dispatch.executable import Executable
from ..dispatch.select import PLAIN, any_autocast, products, ready_isa
from ..launch.kernel_cache import HALF_DTYPES, HOLDERS
from ..launch.stack import Tensors
from ..rows import Rows
from ..runtime.bounded import BoundedCache
from ..runtime.tensors import TensorGuard
from ..step import Step
from .arguments import is_list, rows_of

_ALIKE = 4  # calls that differ in no more than strides, dtypes, or which gradients are wanted

# Names of their own: in every call, each lookup counts.
_is_compiling = torch.compiler.is_compiling
_is_grad_enabled = torch.is_grad_enabled


class CachedCall(NamedTuple):
    """What is known of calls with tensors like those of one call."""

    guard: TensorGuard
    call: Any  # the normal form
    rows: Rows
    executables: Executable | Sequence[Executable]  # of all layers as one, or of each
    plain: Executable | None  # the former, if it takes the tensors of a call as they are
    infer: Callable[[Tensors], Sequence[Tensor]] | None  # its results where gradients are off
    trained: bool  # whether a tensor requires a gradient

    def repeat(self, tensors: Tensors, dropout: float) -> Any:
        """The output and the final states of a call of these tensors; None if no executable takes
        them as they are."""
        if self.plain is None or self.infer is None:
            return None
        wanted = self.trained and _is_grad_enabled()
        if wanted or dropout:
            output, *final = run(self.plain, self.rows, tensors, dropout, wanted)
        else:
            output, *final = self.infer(tensors)
        return output, tuple(final) if len(final) > 1 else final[0]

    def of(self, input: PackedSequence, rows: Rows) -> CachedCall:
        """The same for a packed input with these rows, which the guard does not see."""
        return self._replace(call=self.call._replace(rows=rows, packed=input), rows=rows)


class _WithoutGradients(TensorGuard):
    """One of a call that wanted no gradients: another that does runs in another way."""

    def matches(self, tensors: Sequence[Any]) -> bool:
        if torch.is_grad_enabled() and any(getattr(t, "requires_grad", False) for t in tensors):
            return False
        return super().matches(tensors)


Key = tuple[tuple[Any, ...], Sequence[Any]]  # with the tensors that are guarded
#: What is known of a call; a key by which :func:`keep` may store it, if nothing is; and the tensors
#: of the call, None for states that it has not.
Found = tuple[CachedCall | None, Key | None, list[Any]]
UNKNOWN: Found = None, None, []

#: The last calls, by all that the guard does not see.
CALLS: BoundedCache[tuple[Any, ...], list[CachedCall]] = BoundedCache(1024)
HOLDERS.append(CALLS)


def find(module: Any, step: Step, input: Any, hx: Any, weights: Sequence[Any]) -> Found:
    """Looks for an earlier call that is like this one; ``weights`` are the module's."""
    kind = type(hx)
    if hx is None:
        states: Any = [None] * len(step.states)
    else:
        states = [hx] if kind is Tensor or not isinstance(hx, (tuple, list)) else hx
    x: Any = input
    tables: Any = None
    if type(input) is not Tensor and isinstance(input, PackedSequence):
        x, *tables = input
    tensors = [x, *states, *weights]
    isa = None if _is_compiling() else ready_isa()
    if isa is None:
        return None, None, tensors
    try:
        rows, guarded, batch = None, tensors, None
        if tables is not None:
            rows = rows_of(tables[0], x.shape[0]) if is_list(tables[0]) else None
            if rows is None:
                return None, None, tensors
            guarded, batch = [*tensors, *tables], rows.B
        # Under autocast the dtype, which the guard compares, says what is narrow.
        narrow = products(x.dtype) if any_autocast() else ""
        options = module._options(module)
        key = (step, options, batch, isa, narrow, kind, len(guarded), x.shape)
        known = CALLS.get(key)
        if known is not None:
            for cached in known:
                if cached.guard.matches(guarded):
                    if cached is not known[0]:
                        known[:] = [cached, *(other for other in known if other is not cached)]
                    return cached if rows is None else cached.of(input, rows), None, tensors
        plain = type(x) in PLAIN and x.is_cpu
        if not plain or not all(t is None or isinstance(t, Tensor) for t in guarded):
            return None, None, tensors
        for given in (x, *(states if hx is not None else ())):
            if given.requires_grad and given.is_inference():
                return None, None, tensors
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        # No tensors, or such as have no strides, or no size yet.
        return None, None, tensors
    return None, (key, guarded), tensors


def keep(
    key: Key | None,
    call: Any,
    rows: Rows,
    executables: Executable | Sequence[Executable] | None,
    plain: bool,
) -> None:
    """Stores a call that has passed the checks, if kernels run all its layers on the tensors
    themselves: under autocast some are converted first.

    ``plain`` says whether an executable takes them as they are."""
    if key is None or not executables:
        return
    parts, guarded = key
    dtypes = {t.dtype for t in guarded if t is not None and t.is_floating_point()}
    if len(dtypes) == 1:  # of all but the tables of a packed sequence
        whole = executables if plain and isinstance(executables, Executable) else None
        infer = None if whole is None else whole.inference(rows)
        trained = any(t is not None and t.requires_grad for t in guarded)
        guard = _WithoutGradients if dtypes & HALF_DTYPES.keys() else TensorGuard
        entry = CachedCall(guard(guarded), call, rows, executables, whole, infer, trained)
        known = CALLS.get(parts) or CALLS.keep(parts, [])
        known[:] = [entry, *known[: _ALIKE - 1]]
