"""A plain number of a formula as a tensor."""

from __future__ import annotations

import math
from typing import Any

import torch


def as_tensor(value: Any, like: torch.Tensor | None) -> torch.Tensor:
    """A number as a tensor of the dtype and device of the tensors beside it."""
    if isinstance(value, torch.Tensor) or like is None:
        return torch.as_tensor(value)
    return torch.full((), _rounded(value, like.dtype), dtype=like.dtype, device=like.device)


def _rounded(value: float, dtype: torch.dtype) -> float:
    """The number, or infinity where the nearest one that a dtype holds is: what arithmetic makes of
    it, and the kernels. ``torch.full`` refuses it."""
    most = torch.finfo(dtype).max
    if abs(value) <= most or math.isinf(value) or math.isnan(value):
        return value
    half = most / (2 - torch.finfo(dtype).eps) * torch.finfo(dtype).eps / 2  # a step beyond it
    return math.copysign(math.inf if abs(value) - most >= half else most, value)
