"""The last layer of a language model and its loss, for large vocabularies.

Scores of all tokens at all places are the largest tensor of a training by far. They are made for
some places at a time, and turned into their gradient while they are still in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

AT_ONCE = 256  # places whose scores are held
LEAST = 1e-37  # of a probability, so that its logarithm is finite


class _CrossEntropy(torch.autograd.Function):
    """The gradients are computed with the loss, which is their only use."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, dtype: torch.dtype
    ) -> Tensor:
        to_x, to_weight = torch.empty_like(x, dtype=torch.float32), torch.zeros_like(weight)
        to_bias, loss = torch.zeros_like(bias), torch.zeros(())
        narrow_x, narrow_weight, narrow_bias = (t.to(dtype) for t in (x, weight, bias))
        for at in range(0, len(x), AT_ONCE):
            part, target = narrow_x[at : at + AT_ONCE], targets[at : at + AT_ONCE, None]
            there = target >= 0
            target = target.clamp(min=0)
            chances = F.linear(part, narrow_weight, narrow_bias).float().softmax(1)
            loss -= (chances.gather(1, target).clamp_(min=LEAST).log_() * there).sum()
            chances.scatter_add_(1, target, chances.new_full((len(part), 1), -1.0))
            chances.mul_(there)
            to_bias += chances.sum(0)
            chances = chances.to(dtype)
            to_x[at : at + AT_ONCE] = chances @ narrow_weight
            if dtype is torch.float32:
                to_weight.addmm_(chances.t(), part)
            else:
                to_weight += chances.t() @ part
        ctx.save_for_backward(to_x.to(x.dtype), to_weight, to_bias)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return (*(grads[0] * gradient for gradient in ctx.saved_tensors), None, None)


def cross_entropy(
    x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The sum of the cross entropies of `softmax(x @ weight.T + bias)`, as a scalar.

    Args:
        x: features of N places, (N, E).
        weight: of V tokens, (V, E).
        bias: (V,).
        targets: the right token of each place, (N,); what is negative doesn't count.
        dtype: of the products; all else is float32.

    >>> x, weight, targets = torch.rand(3, 2), torch.rand(5, 2), torch.tensor([4, 0, -1])
    >>> loss = cross_entropy(x, weight, torch.zeros(5), targets)
    >>> expected = F.cross_entropy(x @ weight.T, targets, ignore_index=-1, reduction="sum")
    >>> torch.allclose(loss, expected)
    True
    """
    if not torch.is_grad_enabled():
        return F.cross_entropy(
            F.linear(x.to(dtype), weight.to(dtype), bias.to(dtype)).float(),
            targets.clamp(min=-1),
            ignore_index=-1,
            reduction="sum",
        )
    found: Tensor = _CrossEntropy.apply(x, weight, bias, targets, dtype)
    return found
