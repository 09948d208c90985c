"""New tensors, and the guard of repeated calls, for a fraction of what operators cost.

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


class TensorSpec(NamedTuple):
    """What a new tensor is made from."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype


def spec_of(shape: Sequence[int], dtype: torch.dtype) -> TensorSpec:
    """The spec of a contiguous tensor."""
    strides = torch.empty(shape, device="meta").stride()
    return TensorSpec(tuple(shape), strides, dtype)


def new(spec: TensorSpec) -> Tensor:
    """A tensor on the CPU, all of which a kernel is about to write."""
    made: Tensor = _new(*spec)
    if memory.poisoned():
        _poison([made])
    return made


def _poison(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        tensor.data.fill_(torch.nan)  # which counts as no change of the tensor


class TensorSpecs:
    """Specs of tensors that are made together; None stands for None."""

    def __init__(self, specs: Sequence[TensorSpec | None]) -> None:
        self._specs = specs
        self._each = [*zip(*(spec for spec in specs if spec is not None), strict=True)]
        numbers = itertools.count()
        order = [-1 if spec is None else next(numbers) for spec in specs]  # None comes last
        self._arrange = itemgetter(*order) if len(order) > 1 else list
        self._all = None not in specs

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
        return [s and torch.empty_strided(*s[:2], dtype=s[2], device="meta") for s in self._specs]


class TensorGuard:
    """Tells whether tensors are like those that it was made of.

    It compares all that kernels and checks depend on: types, dtypes, devices, shapes, strides,
    wanted gradients, and what else makes PyTorch choose an implementation. None and repeated
    tensors must occur at the same places. At least one tensor is not None.
    """

    def __init__(self, tensors: Sequence[Tensor | None]) -> None:
        places: dict[int, list[int]] = {}
        for i, t in enumerate(tensors):
            if t is not None:
                places.setdefault(id(t), []).append(i)
        #: The places of None, and of repeated tensors with their first place: PyTorch's check
        #: takes each tensor once.
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

    def matches(self, tensors: Sequence[Any]) -> bool:
        """The answer for the same number of tensors."""
        for i, first in self._others:
            if tensors[i] is not (None if first is None else tensors[first]):
                return False
        once = self._once(tensors) if self._others else tensors
        try:
            for tensor in once:
                if tensor.is_nested:  # has no strides: PyTorch's check would end the process
                    return False
        except AttributeError:  # no tensor
            return False
        same: bool = self._check(*once)
        return same
