"""What trains on series: a label of each, or a number."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .averaging import AveragingNet
from .batches import Batch, Batches
from .textnet import TextNet


class SeriesLabelNet(AveragingNet, TextNet):
    """Labels of series, as of texts."""

    unit = "series"


class NumberBatches(Batches):
    """Batches whose targets are numbers."""

    def batch(self, rows: np.ndarray, rank: int, ranks: int) -> tuple[Batch, Tensor]:
        """A rank's share; where there is none, a row without a number."""
        batch, numbers = super().batch(rows, rank, ranks)
        return batch, numbers.float() if rank < len(rows) else torch.full((1,), torch.nan)


class SeriesNumberNet(AveragingNet):
    """A number of each series, compared by the square of what lies between."""

    batches = NumberBatches
    unit = "series"

    def get_loss(self, y_pred: Any, y_true: Tensor, X: Any = None, training: bool = False) -> Any:
        """What this rank's part adds to the mean over the batch."""
        there = ~y_true.isnan()
        return (y_pred[there, 0] - y_true[there]).square().sum() / X.whole

    def count(self, y_pred: Any, y_true: Tensor, training: bool) -> dict[str, Tensor]:
        """Nothing: the loss says it all."""
        return {}

    def scores(self, sums: Mapping[str, int], size: int) -> dict[str, float]:
        """Nothing beside the loss."""
        return {}

    def shown(self, epoch: Mapping[str, Any]) -> str:
        """How far off answers are: the root of the mean square, in deviations of the targets."""
        return f"off by {math.sqrt(epoch['valid_loss']):.3f} deviations"
