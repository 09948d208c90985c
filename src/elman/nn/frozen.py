"""Modules whose weights stay packed between calls, for inference.

What freezes a module is one object in its ``__dict__``, in the place of a method that every call
asks (:meth:`.RecurrentModule._repeat`). Calls of other modules have nothing to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter, is_
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..dispatch.executable import Executable
from ..dispatch.layer import Held
from ..dispatch.select import any_autocast, current_isa, ready_isa
from ..dispatch.weight_dtypes import WEIGHT_DTYPES
from ..launch.kernel_cache import has_kernels
from ..launch.packed import PackedWeights
from ..launch.stack import Tensors
from ..rows import Rows
from ..runtime.bounded import BoundedCache
from ..runtime.tensors import TensorGuard
from ..step import Step
from . import cached
from .base import RecurrentModule, flat

_RECENT = 4  # calls of different form that take the shortest way
_KNOWN = 64  # executables of one module

# Names of their own: in every call, each lookup counts.
_is_grad_enabled = torch.is_grad_enabled
_is_compiling = torch.compiler.is_compiling
_version, _address = attrgetter("_version"), Tensor.data_ptr


class _Recent(NamedTuple):
    """A call without gradients, all of whose tensors an executable takes as they are."""

    asked: tuple[Any, ...]  # all that it depends on besides
    guard: TensorGuard  # of the input and the states
    infer: Callable[[Tensors], Sequence[Tensor]]


class _Held:
    """What is packed of weights as they were, and the calls that read it."""

    def __init__(
        self, module: Any, weights: Sequence[Tensor | None], weight_dtype: torch.dtype | None
    ) -> None:
        self.weights = weights  # of a call
        self._names, self._parameters = [*module._parameters], [*module._parameters.values()]
        self._weights = [t for t in weights if t is not None]
        self._versions = [*map(_version, self._weights)]
        #: They keep the memory, so that no other has its address.
        self._memory = [t.detach() for t in self._weights]
        self._addresses = [*map(_address, self._weights)]
        narrow = weight_dtype and WEIGHT_DTYPES[weight_dtype]
        self._narrow = narrow.narrow if narrow else ""
        owner = type(module).__name__
        self.packed = PackedWeights(partial(_rounded, owner, weight_dtype) if narrow else None)
        self.recent: list[_Recent] = []
        self._made = BoundedCache[tuple[int, int], tuple[Executable, Executable]](_KNOWN)

    def holds(self, module: Any) -> bool:
        """Whether a module has the same weights, and nobody has written to them."""
        now = module._parameters
        return (
            [*now] == self._names
            and all(map(is_, now.values(), self._parameters))
            and [*map(_version, self._weights)] == self._versions
            and [*map(_address, self._weights)] == self._addresses
        )

    def put_first(self, recent: _Recent) -> None:
        """The last calls come first."""
        others = [other for other in self.recent if other is not recent]
        self.recent = [recent, *others[: _RECENT - 1]]

    def of(self, executable: Executable, rows: Rows, layer: int = 0) -> Executable:
        """An executable that reads what is packed. Layers of one size have one in common, but not
        their weights."""
        key = id(executable), layer
        _, made = self._made.get(key) or (None, None)
        if made is None:
            made = executable.holding(self.packed, rows, self._narrow)
            self._made.keep(key, (executable, made))
        return made


class Frozen:
    """What calls of a frozen module ask first.

    It knows no module: copies of one may share it. A copy of its own, or one that is loaded, begins
    with nothing packed.
    """

    def __init__(self, weight_dtype: torch.dtype | None) -> None:
        self.weight_dtype = weight_dtype
        self.held: _Held | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"weight_dtype": self.weight_dtype, "held": None}

    def __call__(
        self, module: Any, step: Step, input: Any, hx: Any, dropout: float = 0.0
    ) -> tuple[Any, cached.Found]:
        """What :meth:`.RecurrentModule._repeat` gives."""
        held = None if _is_compiling() else self._holding(module, step)
        if held is None:
            return RecurrentModule._repeat(module, step, input, hx, dropout)
        kind, short = type(hx), not _is_grad_enabled()
        if kind is tuple or kind is list:
            given = [input, *hx]
        else:
            given = [input, *([None] * len(step.states) if hx is None else [hx])]
        asked = step, kind, len(given), ready_isa(), module._options(module)
        for recent in held.recent if short else ():
            if recent.asked == asked and recent.guard.matches(given):
                if recent is not held.recent[0]:
                    held.put_first(recent)
                given += held.weights
                output, *final = recent.infer(given)
                return (output, tuple(final) if len(final) > 1 else final[0]), cached.UNKNOWN
        found = known, _, tensors = cached.find(module, step, input, hx, held.weights)
        if known is not None and self._takes(tensors):
            known = _reading(known, held)
            found = known, None, tensors
            if known.infer is not None and short and not any_autocast():
                held.put_first(_Recent(asked, TensorGuard(given), known.infer))
        return None if known is None else known.repeat(tensors, dropout), found

    def held_for(self, module: Any, step: Step, tensors: Any) -> Held | None:
        """What :meth:`.RecurrentModule._held` gives."""
        held = None if _is_compiling() else self._holding(module, step)
        return held.of if held is not None and self._takes(flat(tensors)) else None

    def _holding(self, module: Any, step: Step) -> _Held | None:
        """What is packed of a module's weights as they are; None if nothing may be."""
        held = self.held
        if held is None or module.training or not held.holds(module):
            held = None
            if not module.training:
                weights = module._weights(step)
                if not why_unfit(weights, self.weight_dtype):
                    held = _Held(module, weights, self.weight_dtype)
            self.held = held
        return held

    def _takes(self, tensors: Sequence[Any]) -> bool:
        """Whether a call of these tensors reads packed weights."""
        if self.weight_dtype is not None and any_autocast():
            return False
        return not (_is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors))


def _reading(known: cached.CachedCall, held: _Held) -> cached.CachedCall:
    """A known call that reads what is packed."""
    if isinstance(known.executables, Executable):
        one = held.of(known.executables, known.rows)
        infer = known.infer and one.inference(known.rows)
        return known._replace(executables=one, plain=known.plain and one, infer=infer)
    every = [held.of(one, known.rows, i) for i, one in enumerate(known.executables)]
    return known._replace(executables=every)


def _rounded(owner: str, weight_dtype: Any, matrix: Tensor) -> Tensor:
    try:
        return WEIGHT_DTYPES[weight_dtype].rounded(matrix)
    except ValueError as error:
        raise ValueError(f"{owner}: weight_dtype={weight_dtype}: {error}") from None


def why_unfit(weights: Sequence[Any], weight_dtype: torch.dtype | None) -> str:
    """Why weights do not stay packed, in words; empty if they do."""
    isa = current_isa()
    for t in weights:
        if t is None:
            continue
        if type(t) is not torch.nn.Parameter:
            return "its weights are computed anew at each call (parametrized, or pruned)"
        if t.is_inference():
            return "its weights were made under inference_mode, where changes are not counted"
        if not t.is_cpu:
            return f"its weights are on {t.device}"
        if weight_dtype is not None and t.dtype is not torch.float32:
            return f"its weights are of {t.dtype}, not of torch.float32"
        if not has_kernels(t.dtype, isa):
            return f"there are no kernels for {t.dtype}"
    return ""


def frozen_of(module: Any) -> Frozen | None:
    """What freezes a module of elman; None if it is not frozen."""
    found: Frozen | None = module.__dict__.get("_repeat")
    return found
