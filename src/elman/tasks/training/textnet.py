"""What trains a classifier: a label for each text, compared by cross entropy."""

from typing import Any

import torch
from skorch import NeuralNetClassifier

from .batches import Batch
from .net import SequenceNet


class TextNet(SequenceNet, NeuralNetClassifier):
    """A NeuralNetClassifier of packed texts."""

    def infer(self, x: Batch, **_: Any) -> Any:
        """What the module says of this rank's part of the batch, beside its n-grams."""
        return self.module_(x.packed, x.scores)

    def whole(self, batch: Batch) -> Any:
        """The number of the texts, or the sum of their weights."""
        weight = self.criterion_.weight
        return batch.whole if weight is None else weight[batch.targets].sum()

    def count(self, y_pred: Any, y_true: torch.Tensor, training: bool) -> dict[str, torch.Tensor]:
        """The right answers."""
        return {"right": (y_pred.argmax(1) == y_true).sum()}
