"""The value itself, whose gradient is kept between bounds: what the primitive is in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _ClipGradient(torch.autograd.Function):
    """The value itself, whose gradient is kept between bounds."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, bound: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Any) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (bound,) = ctx.saved_tensors
        return torch.minimum(torch.maximum(gradients[0], -bound), bound), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: Any) -> Tensor:
        return tangent.view_as(tangent)


def clip_gradient(value: Tensor, bound: Tensor) -> Tensor:
    """The value, as a tensor of PyTorch's graph."""
    clipped: Tensor = _ClipGradient.apply(value, bound)
    return clipped
