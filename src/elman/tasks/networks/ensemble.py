"""Several networks that learn side by side and answer as one.

B. Lakshminarayanan, A. Pritzel and C. Blundell, *Simple and scalable predictive uncertainty
estimation using deep ensembles* (2017)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Networks `kind(**options)` alike, which begin with different weights.

    In training it gives a list, what each of them says; each has a loss and dropout of its own.
    Else it gives the mean.

    >>> ensemble = Ensemble(nn.Linear, 2, in_features=3, out_features=1)
    >>> x = torch.rand(4, 3)
    >>> [said.shape for said in ensemble(x)]
    [torch.Size([4, 1]), torch.Size([4, 1])]
    >>> ensemble.eval()(x).shape
    torch.Size([4, 1])
    """

    def __init__(self, kind: type[nn.Module], size: int, **options: Any) -> None:
        super().__init__()
        self.members = nn.ModuleList(kind(**options) for _ in range(size))

    def forward(self, *given: Any) -> Any:
        """What the members say, or the mean of that."""
        said = [member(*given) for member in self.members]
        return said if self.training else mean(said)


def first_of(network: Any) -> Any:
    """A network itself, or the first of an ensemble: what all of them are made of."""
    return network.members[0] if isinstance(network, Ensemble) else network


def mean(said: Sequence[Any]) -> Any:
    """The mean of tensors, or of named tuples of tensors; of whole numbers, which are alike, one.

    >>> mean([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])])
    tensor([2., 2.])
    """
    first = said[0]
    if len(said) == 1:
        return first
    if not isinstance(first, Tensor):
        return type(first)(*map(mean, zip(*said, strict=True)))
    return torch.stack(list(said)).mean(0) if first.is_floating_point() else first
