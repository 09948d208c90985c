"""What trains forecasts: quantiles of the steps after a window, compared by the pinball loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.batches import Batch, Batches
from ..data.windows import Ahead, Windows
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
        return batch, ((known - ahead.base) / ahead.spread[:, None]).float()


class ForecastNet(AveragingNet):
    """A net whose module says `quantiles`, in units of each window's spread."""

    batches = WindowBatches
    unit = "windows"
    warm_up = 0.1

    def __init__(self, *args: Any, quantiles: Sequence[float] = (0.5,), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quantiles = torch.tensor(list(quantiles))

    def infer(self, x: WindowBatch, **_: Any) -> Tensor:
        """Quantiles (B, H, Q) of this rank's windows."""
        found: Tensor = self.judged(torch.is_grad_enabled())(x.packed, x.ahead.features)
        return found

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Any:
        """What this rank's part adds to the mean over steps that are there."""
        there = ~y_true.isnan()
        return pinball(y_pred[there], y_true[there], self.quantiles).sum() / X.whole

    def shown(self, epoch: Mapping[str, Any]) -> str:
        """The loss, which is in units of a season's change."""
        return f"pinball loss {epoch['valid_loss']:.4f}"


def pinball(found: Tensor, truth: Tensor, quantiles: Tensor) -> Tensor:
    """The loss (...,) of quantiles (..., Q), on average over these.

    >>> found, quantiles = torch.tensor([[1.0, 3.0]]), torch.tensor([0.1, 0.9])
    >>> pinball(found, torch.tensor([2.0]), quantiles)  # (0.1 * 1 + 0.1 * 1) / 2
    tensor([0.1000])
    """
    off = truth[..., None] - found
    return torch.maximum(quantiles * off, (quantiles - 1) * off).mean(-1)
