"""What trains on texts: one label of each, several, or a number; beside what n-grams say."""

from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch.nn import functional

from ..data.batches import Batch
from .net import SequenceNet
from .numbernet import NumberBatches, NumberNet


class _BesideNGrams(SequenceNet):
    """A net of packed texts, whose module adds to the scores of n-grams."""

    def infer(self, x: Batch, **_: Any) -> Any:
        """What the module says of this rank's part of the batch, beside its n-grams."""
        return self.module_(x.packed, x.scores)


class TextNet(_BesideNGrams, NeuralNetClassifier):
    """A label for each text, compared by cross entropy."""

    def whole(self, batch: Batch) -> Any:
        """The number of the texts, or the sum of their weights."""
        weight = self.criterion_.weight
        return batch.whole if weight is None else weight[batch.targets].sum()

    def count(self, y_pred: Any, y_true: torch.Tensor, training: bool) -> dict[str, torch.Tensor]:
        """The right answers."""
        return {"right": (y_pred.argmax(1) == y_true).sum()}


def of_labels(classes: int, weight: torch.Tensor | None = None) -> dict[str, Any]:
    """The arguments of a net that learns one of so many labels, which may count differently."""
    return {
        "criterion": torch.nn.CrossEntropyLoss,
        "criterion__weight": weight,
        "criterion__reduction": "sum",
        "classes": np.arange(classes),
    }


class TextLabelsNet(_BesideNGrams):
    """Any number of labels for each text, each for itself: binary cross entropies, added up.

    `threshold` is the probability above which a label is named; `weights` (labels,) says how
    much each label counts, None for equally much.
    """

    batches = NumberBatches

    def __init__(
        self, *args: Any, threshold: float = 0.5, weights: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.threshold, self.weights = threshold, weights

    def get_loss(
        self, y_pred: Any, y_true: torch.Tensor, X: Any = None, training: bool = False
    ) -> Any:
        there = ~y_true.isnan().any(1)
        loss = functional.binary_cross_entropy_with_logits(
            y_pred[there], y_true[there], self.weights, reduction="sum"
        )
        return loss / X.whole

    def count(self, y_pred: Any, y_true: torch.Tensor, training: bool) -> dict[str, torch.Tensor]:
        """On held-out texts how many labels are named, are there, and both."""
        if training:
            return {}
        there = ~y_true.isnan().any(1)
        named, true = y_pred[there].sigmoid() > self.threshold, y_true[there] > 0.5
        return {"named": named.sum(), "there": true.sum(), "hit": (named & true).sum()}


class TextNumberNet(_BesideNGrams, NumberNet):
    """A number of each text."""
