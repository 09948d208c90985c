"""New tensors, and whether tensors are like others, for a fraction of what operators cost.

Both are what the programs that ``torch.compile`` makes call: one C++ function each, past the
dispatcher, which has nothing to decide where kernels run on plain tensors.
"""

from __future__ import annotations

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


def new_tensors(forms: Sequence[Form | None]) -> list[Any]:
    """Tensors on the CPU, all of which a kernel is about to write; None for None."""
    made = [None if form is None else _new(*form) for form in forms]
    if memory.poisoned():
        for tensor in made:
            if tensor is not None:
                tensor.fill_(torch.nan)
    return made


class Alike:
    """Tells of tensors whether they are like those that this was made of, for all that kernels and
    checks of arguments depend on.

    They have the same types, dtypes, devices, shapes and strides, and all else by which PyTorch
    chooses an implementation is the same: whether they are dense, negated, batched or of inference
    mode, and which modes and transforms are at work. Where one is None, it is None; two are there
    at least. If one tensor has two places, the answer is no.
    """

    def __init__(self, tensors: Sequence[Tensor | None]) -> None:
        self._absent = [i for i, t in enumerate(tensors) if t is None]
        self._there = itemgetter(*(i for i, t in enumerate(tensors) if t is not None))
        given = self._there(tensors)
        none = {"dynamic_dims_sizes": None, "dynamic_dims_strides": None}
        self._check = _Guards(*given, **none).check

    def to(self, tensors: Sequence[Any]) -> bool:
        """The answer for as many tensors as those that this was made of."""
        for i in self._absent:
            if tensors[i] is not None:
                return False
        there = self._there(tensors)
        try:
            for tensor in there:
                if tensor.is_nested:  # has no strides: PyTorch's check would end the process
                    return False
        except AttributeError:  # no tensor
            return False
        alike: bool = self._check(*there)
        return alike
