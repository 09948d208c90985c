"""The network of series: steps of numbers are read by recurrent layers, pooled and weighed up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .dropout import Dropout
from .layers import make_encoder
from .pooling import POOLINGS


class Encoder(nn.Module):
    """Recurrent layers over packed steps (N, `features`), and pooling over time.

    `size` is how many features it makes of a series; `layers` are arguments of `make_encoder`.
    """

    def __init__(self, features: int, *, pooling: str, noise: float, **layers: Any) -> None:
        super().__init__()
        self.rnn, self.forward_size, width = make_encoder(features, **layers)
        self.pooling, self.noise = pooling, noise
        self.size = POOLINGS[pooling].features * width

    def forward(self, series: PackedSequence) -> Tensor:
        """Features (B, `size`), in the order that the series had before packing."""
        steps = series.data
        if self.training and self.noise:
            steps = steps + self.noise * torch.randn_like(steps)
        read, _ = self.rnn(series._replace(data=steps))
        pool = POOLINGS[self.pooling].pool
        pooled = pool(read.data, series.batch_sizes, self.forward_size)
        return pooled if series.unsorted_indices is None else pooled[series.unsorted_indices]


class SeriesRNN(Encoder):
    """One linear layer on what the encoder makes of a series."""

    def __init__(self, features: int, outputs: int, *, dropout: float, **encoder: Any) -> None:
        super().__init__(features, dropout=dropout, **encoder)
        self.output = nn.Linear(self.size, outputs)
        self.dropout = Dropout(dropout)

    def forward(self, series: PackedSequence) -> Tensor:
        """Scores (B, outputs), in the order that the series had before packing."""
        return self.output(self.dropout(super().forward(series)))
