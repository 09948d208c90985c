"""What a text says of the same token elsewhere: an article names a person more than once.

After V. Krishnan and C. Manning, *An effective two-stage model for exploiting non-local
dependencies in named entity recognition* (2006), and A. Akbik, T. Bergmann and R. Vollgraf, *Pooled
contextualized embeddings for named entity recognition* (2019).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .crf import previous
from .pooling import owners


def first_rows(first: Tensor, batch_sizes: Tensor) -> Tensor:
    """The row of packed data (N,) where each row's value first stands in its text.

    `first` (N,) are those places, counted in the text.

    >>> first_rows(torch.tensor([0, 0, 1, 0, 0]), torch.tensor([2, 2, 1])).tolist()
    [0, 1, 2, 1, 0]
    """
    begin = batch_sizes.cumsum(0) - batch_sizes
    return begin[first] + owners(batch_sizes)


def elsewhere(scores: Tensor, rows: Tensor, batch_sizes: Tensor, step: int = 0) -> Tensor:
    """The mean of the scores (N, L) at all other places of the same value, or 0 if there are none.

    `rows` are what `first_rows` gives. With `step` 1 the value is that of the place before.

    >>> rows = torch.tensor([0, 1, 0, 0])  # of one text: a b a a
    >>> elsewhere(torch.tensor([[1.0], [5.0], [2.0], [3.0]]), rows, torch.ones(4).long()).T
    tensor([[2.5000, 0.0000, 2.0000, 1.5000]])
    """
    N = len(rows)
    if step:
        where = previous(batch_sizes, step)
        # A text's first place has no value: it is alone.
        rows = torch.cat([rows, rows.new_zeros(1)])[where]
        rows = torch.where(where == N, torch.arange(N, 2 * N), rows)
    places = 2 * N if step else N
    total = scores.new_zeros(places, scores.shape[1]).index_add(0, rows, scores)
    others = (torch.bincount(rows, minlength=places)[rows] - 1).clamp(min=1)
    return (total.index_select(0, rows) - scores) / others[:, None]
