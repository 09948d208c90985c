"""The network of series: steps of numbers are read by recurrent layers, pooled and weighed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .dropout import Dropout
from .layers import Backend, CellLike, make_layers
from .pooling import POOLINGS


class Encoder(nn.Module):
    """Recurrent layers over packed steps (N, `features`), and pooling over time.

    `size` is how many features it makes of a series.
    """

    def __init__(
        self,
        features: int,
        *,
        cell: CellLike,
        hidden_size: int | Sequence[int],
        num_layers: int,
        bidirectional: bool,
        recurrent: Mapping[str, Any] | None,
        pooling: str,
        noise: float,
        dropout: float,
        backend: Backend,
    ) -> None:
        super().__init__()
        options = dict(recurrent or {})
        sizes = np.atleast_1d(hidden_size).tolist()  # NumPy's whole numbers as Python's
        self.rnn = make_layers(
            *(cell, backend, int(features)),
            sizes if isinstance(hidden_size, Sequence) else sizes[0],
            int(num_layers),
            dropout=float(dropout) if max(num_layers, len(sizes)) > 1 else 0.0,
            bidirectional=bool(bidirectional),
            **options,
        )
        #: Features of the forward direction; those of a reverse one, if concatenated, follow.
        self.forward_size = options.get("proj_size") or sizes[-1]
        both = bidirectional and options.get("merge", "concat") == "concat"
        self.pooling, self.noise = pooling, noise
        self.size = POOLINGS[pooling].features * self.forward_size * (2 if both else 1)

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
