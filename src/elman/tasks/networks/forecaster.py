"""The network of forecasts: a window of steps is read, and later ones are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .dropout import Dropout
from .heads import DistributionName, make_head
from .series import Encoder

WIDTH = 32  # features of a step to be told


class ForecastRNN(Encoder):
    """An encoder whose last state, with what is known of each later step, tells that step.

    `head` says what its numbers mean.
    """

    def __init__(
        self,
        features: int,
        ahead: int,
        *,
        horizon: int,
        quantiles: Sequence[float],
        distribution: DistributionName | None,
        dropout: float,
        **encoder: Any,
    ) -> None:
        super().__init__(features, dropout=dropout, bidirectional=False, pooling="last", **encoder)
        self.horizon = int(horizon)
        self.context = nn.Linear(self.size, self.horizon * WIDTH)
        self.ahead = nn.Linear(ahead, WIDTH, bias=False)
        self.head = make_head(distribution, quantiles)
        self.output = nn.Linear(WIDTH, len(self.head.begin))
        with torch.no_grad():  # begin with the naive forecast, and some spread around it
            self.output.weight.mul_(0.1)
            # Not torch's numbers: on "meta" their difference loads torch._dynamo.
            self.output.bias.copy_(torch.from_numpy(np.asarray(self.head.begin, np.float32)))
        self.dropout = Dropout(dropout)

    def forward(self, series: PackedSequence, ahead: Tensor) -> Tensor:  # type: ignore[override]
        """Numbers (B, H, P) for the head, of B packed series with features `ahead` (B, H, F)."""
        read = self.dropout(super().forward(series))
        steps = self.context(read).unflatten(1, (self.horizon, WIDTH)) + self.ahead(ahead)
        return self.output(torch.tanh(steps))
