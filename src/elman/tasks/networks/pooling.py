"""Pooling over time on packed data: rows that exist, and no others, take part."""

from collections.abc import Callable
from typing import Any, NamedTuple

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
        sizes = batch_sizes.tolist()
        owner, texts = owners(batch_sizes), sizes[0]
        lengths = torch.bincount(owner)[:, None]
        largest = rows[:texts].clone()
        # Which step was largest, as floating-point numbers: PyTorch has vector code for those,
        # and none for comparisons that give booleans.
        step, newer = torch.zeros_like(largest), torch.empty_like(largest)
        times = torch.arange(len(sizes), dtype=rows.dtype).unbind()
        for t, now in zip(times[1:], rows.split(sizes)[1:], strict=True):
            best, newest = largest[: len(now)], newer[: len(now)]
            torch.gt(now, best, out=newest)
            step[: len(now)].lerp_(t, newest)
            torch.maximum(now, best, out=best)
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


def last(rows: Tensor, batch_sizes: Tensor, forward: int) -> Tensor:
    """What each direction put out when it had read the whole text.

    For the first `forward` features that is the text's last step, for those that come from a
    reverse direction its first.

    >>> rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])  # two steps, one step
    >>> last(rows, torch.tensor([2, 1]), forward=1).tolist()
    [[5.0, 2.0], [3.0, 4.0]]
    """
    lengths = torch.bincount(owners(batch_sizes))
    begin = batch_sizes.cumsum(0) - batch_sizes
    ends = begin[lengths - 1] + torch.arange(len(lengths))
    return torch.cat([rows[ends, :forward], rows[: len(lengths), forward:]], 1)


class Pooling(NamedTuple):
    """`pool(rows, batch_sizes, forward)`, and how many features it makes of one."""

    pool: Callable[[Tensor, Tensor, int], Tensor]
    features: int = 1


#: By the name that `SequenceClassifier(pooling=...)` has for it.
POOLINGS = {
    "max_mean": Pooling(lambda rows, sizes, _: max_and_mean(rows, sizes), 2),
    "max": Pooling(lambda rows, sizes, _: max_and_mean(rows, sizes).chunk(2, 1)[0]),
    "mean": Pooling(lambda rows, sizes, _: max_and_mean(rows, sizes).chunk(2, 1)[1]),
    "last": Pooling(last),
}
