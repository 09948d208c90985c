"""Pooling over time on packed data: rows that exist, and no others, take part."""

from typing import Any

import torch
from torch import Tensor


def owners(batch_sizes: Tensor) -> Tensor:
    """Which text each row of packed data belongs to, counted from the longest text.

    `batch_sizes` is (T,), the result (N,) with N their sum.

    >>> owners(torch.tensor([3, 2, 2])).tolist()
    [0, 1, 2, 0, 1, 0, 1]
    """
    begin = batch_sizes.cumsum(0) - batch_sizes
    return torch.arange(int(batch_sizes.sum())) - begin.repeat_interleave(batch_sizes)


def max_and_mean(rows: Tensor, batch_sizes: Tensor) -> Tensor:
    """The largest and the mean value of each feature over each text's rows.

    `rows` is the data of a PackedSequence, (N, D), the result (B, 2 * D), longest text first.
    Of several rows with the largest value the first gets the gradient.

    >>> rows = torch.tensor([[1.0], [3.0], [5.0]])  # a text of two steps, a text of one
    >>> max_and_mean(rows, torch.tensor([2, 1])).tolist()
    [[5.0, 3.0], [3.0, 3.0]]
    """
    return _MaxAndMean.apply(rows, batch_sizes)


class _MaxAndMean(torch.autograd.Function):
    """Both at once: what PyTorch has for the gradients of the two writes (N, D) six times over.

    Allocating that much costs more than the recurrent layer itself takes; here it is done once.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, batch_sizes: Tensor) -> Tensor:
        owner, texts = owners(batch_sizes), int(batch_sizes[0])
        lengths = torch.bincount(owner)[:, None]
        largest = rows[:texts].clone()
        # Which step was largest, as floating-point numbers: PyTorch has vector code for those,
        # and none for comparisons that give booleans.
        step, newer = torch.zeros_like(largest), torch.empty_like(largest)
        begin = texts
        for t, size in enumerate(batch_sizes.tolist()[1:], 1):
            now, best = rows[begin : begin + size], largest[:size]
            torch.gt(now, best, out=newer[:size])
            step[:size].lerp_(step.new_tensor(t), newer[:size])
            torch.maximum(now, best, out=best)
            begin += size
        offsets = batch_sizes.cumsum(0) - batch_sizes
        where = offsets[step.long()] + torch.arange(texts)[:, None]
        mean = rows.new_zeros(texts, rows.shape[1]).index_add_(0, owner, rows) / lengths
        ctx.save_for_backward(owner, lengths, where)
        return torch.cat([largest, mean], 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        owner, lengths, where = ctx.saved_tensors
        to_largest, to_mean = grads[0].chunk(2, 1)
        return (to_mean / lengths).index_select(0, owner).scatter_add_(0, where, to_largest), None
