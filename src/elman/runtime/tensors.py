"""New tensors, and whether tensors are like others, for a fraction of what operators cost.

Both are what the programs that ``torch.compile`` makes call: one C++ function each, past the
dispatcher, which has nothing to decide where kernels run on plain tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import memory

_new = torch._C._dynamo.guards._empty_strided_cpu  # type: ignore[attr-defined]
_Guards = torch._C._dynamo.guards.TensorGuards


class Form(NamedTuple):
    """Of a contiguous tensor."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype


def form_of(shape: Sequence[int], dtype: torch.dtype) -> Form:
    """That of a new tensor."""
    strides = torch.empty(shape, device="meta").stride()
    return Form(tuple(shape), strides, dtype)


def new(form: Form) -> Tensor:
    """A tensor on the CPU, all of which a kernel is about to write."""
    made: Tensor = _new(*form)
    if memory.poisoned():
        _poison([made])
    return made


def _poison(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        tensor.data.fill_(torch.nan)  # which counts as no change of the tensor


class Forms:
    """Those of tensors that are made together; None stands for None."""

    def __init__(self, forms: Sequence[Form | None]) -> None:
        self._forms = forms
        self._each = [*zip(*(form for form in forms if form is not None), strict=True)]
        numbers = itertools.count()
        order = [-1 if form is None else next(numbers) for form in forms]  # None comes last
        self._arrange = itemgetter(*order) if len(order) > 1 else list
        self._all = None not in forms

    def new(self) -> list[Any]:
        """Tensors on the CPU, all of which a kernel is about to write."""
        made = list(map(_new, *self._each)) if self._each else []
        if memory.poisoned():
            _poison(made)
        if self._all:
            return made
        made.append(None)
        return [*self._arrange(made)]

    def meta(self) -> list[Any]:
        """Tensors without memory, for what depends on sizes and strides alone."""
        return [f and torch.empty_strided(*f[:2], dtype=f[2], device="meta") for f in self._forms]


class Alike:
    """Tells of tensors whether they are like those that this was made of, for all that kernels and
    checks of arguments depend on.

    They have the same types, dtypes, devices, shapes and strides, and all else by which PyTorch
    chooses an implementation is the same: whether they are dense, negated, batched or of inference
    mode, and which modes and transforms are at work. Where one is None, it is None, and if one has
    two places, it has both. One at least is there.
    """

    def __init__(self, tensors: Sequence[Tensor | None]) -> None:
        places: dict[int, list[int]] = {}
        for i, t in enumerate(tensors):
            if t is not None:
                places.setdefault(id(t), []).append(i)
        #: Where None is, and where a tensor is again, with its first place: PyTorch's check takes
        #: each tensor once.
        self._others: list[tuple[int, int | None]] = [
            *((i, None) for i, t in enumerate(tensors) if t is None),
            *((i, mine[0]) for mine in places.values() for i in mine[1:]),
        ]
        first = [mine[0] for mine in places.values()]
        self._once = (
            itemgetter(*first) if len(first) > 1 else itemgetter(slice(first[0], first[0] + 1))
        )
        none = {"dynamic_dims_sizes": None, "dynamic_dims_strides": None}
        self._check = _Guards(*self._once(tensors), **none).check

    def to(self, tensors: Sequence[Any]) -> bool:
        """The answer for as many tensors as those that this was made of."""
        for i, first in self._others:
            if tensors[i] is not (None if first is None else tensors[first]):
                return False
        once = self._once(tensors)
        try:
            for tensor in once:
                if tensor.is_nested:  # has no strides: PyTorch's check would end the process
                    return False
        except AttributeError:  # no tensor
            return False
        alike: bool = self._check(*once)
        return alike
