"""What trains on numbers: one of each row, or a share for each of several labels."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.batches import Batch, Batches
from .net import SequenceNet


class NumberBatches(Batches):
    """Batches whose targets are numbers, (B,) or (B, several)."""

    def batch(self, rows: np.ndarray, rank: int, ranks: int) -> tuple[Batch, Tensor]:
        """A rank's share; where there is none, a row without a number."""
        batch, numbers = super().batch(rows, rank, ranks)
        if rank < len(rows):
            return batch, numbers.float()
        return batch, torch.full((1, *batch.targets.shape[1:]), torch.nan)


class NumberNet(SequenceNet):
    """A number of each row, compared by the square of what lies between."""

    batches = NumberBatches

    def get_loss(self, y_pred: Any, y_true: Tensor, X: Any = None, training: bool = False) -> Any:
        there = ~y_true.isnan()
        return (y_pred[there, 0] - y_true[there]).square().sum() / X.whole

    def shown(self, epoch: Mapping[str, Any]) -> str:
        """How far off answers are: the root of the mean square, in deviations of the targets."""
        return f"off by {math.sqrt(epoch['valid_loss']):.3f} deviations"
