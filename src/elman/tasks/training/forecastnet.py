"""What trains forecasts: what a network says of the steps after a window, and what came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.batches import Batch, Batches
from ..data.windows import Ahead, Windows
from ..networks.ensemble import first_of
from .averaging import AveragingNet


class WindowBatch(Batch):
    """Packed windows, and what is known of the steps after them."""

    ahead: Ahead


class WindowBatches(Batches):
    """Cuts `Windows` into batches, as `Batches` does texts.

    An epoch has at most `most` windows, which differ from epoch to epoch.
    """

    dataset: Windows  # type: ignore[assignment]

    def __init__(self, *args: Any, most: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.most = min(most or len(self.dataset), len(self.dataset))

    def __len__(self) -> int:
        return (self.most + self.batch_size - 1) // self.batch_size

    def epoch(
        self, number: int = 0, start: int = 0, rank: int = 0, ranks: int = 1
    ) -> Iterator[tuple[Batch, Tensor]]:
        """An epoch's batches from the one numbered `start` on, and the steps after each window."""
        order = np.arange(len(self.dataset))
        if self.shuffle:
            order = np.random.default_rng([self.seed, number]).permutation(order)
        for at in range(start * self.batch_size, self.most, self.batch_size):
            yield self.batch(order[at : min(at + self.batch_size, self.most)], rank, ranks)

    def batch(self, rows: np.ndarray, rank: int, ranks: int) -> tuple[Batch, Tensor]:
        """A rank's share of the windows with these numbers, and its steps, of which some miss."""
        mine = rows[rank::ranks] if rank < len(rows) else rows[:1]
        packed, ahead = self.dataset.pack(mine)
        truth = torch.from_numpy(self.dataset.truth(rows))
        known = torch.from_numpy(self.dataset.truth(mine))
        if rank >= len(rows):
            known = torch.full_like(known, torch.nan)
        there = int((~truth.isnan()).sum())
        batch = WindowBatch(packed, truth, len(rows), max(1, there))
        batch.ahead = ahead
        return batch, known


class ForecastNet(AveragingNet):
    """A net whose module has a `head`, which compares what it says with what came."""

    batches = WindowBatches
    unit = "windows"
    warm_up = 0.1

    def infer(self, x: WindowBatch, **_: Any) -> Tensor:
        """Numbers (B, H, P) of this rank's windows."""
        found: Tensor = self.judged(torch.is_grad_enabled())(x.packed, x.ahead.features)
        return found

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Any:
        """What this rank's part adds to the mean over steps that are there."""
        there, (_, base, spread) = ~y_true.isnan(), X.ahead
        given = (base[there], spread[:, None].expand_as(base)[there])
        head = first_of(self.module_).head
        return head.loss(y_pred[there], y_true[there], *given).sum() / X.whole

    def shown(self, epoch: Mapping[str, Any]) -> str:
        """The loss, as the head calls it."""
        return f"{first_of(self.module_).head.measure} {epoch['valid_loss']:.4f}"
