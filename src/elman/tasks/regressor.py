"""`SequenceRegressor`: texts and a number of each, with scikit-learn's conventions, over skorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin

from .checks import as_numbers
from .models.regressor import TrainedRegressor
from .networks.linear import NUMBER
from .text_estimator import TextEstimator
from .training.textnet import TextNumberNet


class SequenceRegressor(RegressorMixin, TextEstimator, TrainedRegressor):
    """A recurrent network that reads texts and says a number of each.

    The arguments are those of `SequenceClassifier`, but for `class_weight` and `threshold`. What is
    learned is standardised, and compared by the mean square.

    After `fit`: `target_` (its mean and deviation), and what a `SequenceClassifier` has beside its
    labels.

    The guide is docs/guides/classify.md.

    >>> texts = ["good", "so good", "good!", "bad", "too bad", "bad!"] * 4
    >>> stars = [5.0 if "good" in text else 1.0 for text in texts]
    >>> small = {"embedding_size": 8, "hidden_size": 8, "ngrams": 0, "dropout": 0.0, "lr": 0.05}
    >>> model = SequenceRegressor(**small, epochs=20, token_dropout=0.0).fit(texts, stars)
    >>> model.predict(["so good!", "too bad!"]).round().tolist()
    [5.0, 1.0]
    """

    NET = TextNumberNet
    LINEAR = NUMBER

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of the variance of `y` that is explained, R²."""
        self._check_fitted()
        return super().score(X, as_numbers(y, len(y)), sample_weight)

    def _given(
        self, y: Any, texts: int | None, names: tuple[str, str], fewest: int = 1
    ) -> np.ndarray:
        return as_numbers(y, len(y) if texts is None else texts, names[1])

    def _begin(self, known: np.ndarray) -> None:
        self._take_target(known)

    def _targets(self, known: np.ndarray, name: str) -> np.ndarray:
        return self._standardised(known)

    def _net_options(self, weights: Any = None) -> dict[str, Any]:
        return {"criterion": torch.nn.MSELoss}
