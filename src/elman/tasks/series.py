"""`SeriesClassifier` and `SeriesRegressor`: series of numbers, as sktime and aeon have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from skorch.callbacks import Callback

from .checks import as_labels, as_numbers, as_targets, check_labels
from .data.fingerprint import fingerprint
from .data.series import Reading, as_series
from .estimator import SequenceEstimator
from .models.series import TrainedSeriesClassifier, TrainedSeriesModel, TrainedSeriesRegressor
from .networks.layers import Backend, CellLike
from .training.averaging import averaged
from .training.net import SequenceNet
from .training.seriesnet import SeriesLabelNet, SeriesNumberNet
from .training.textnet import of_labels

Self = TypeVar("Self", bound="SeriesEstimator")


class SeriesEstimator(SequenceEstimator, TrainedSeriesModel):
    """What reads series; a subclass says what is learned of them."""

    READS = ("three_d_array", "allow_nan")
    STEPS, EPOCHS = 1500, (20, 300)

    def __init__(
        self,
        *,
        cell: CellLike = "gru",
        patch: int | None = None,
        hidden_size: int | Sequence[int] = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        recurrent: Mapping[str, Any] | None = None,
        n_estimators: int = 1,
        pooling: str = "max_mean",
        noise: float = 0.1,
        dropout: float = 0.3,
        weight_decay: float = 0.01,
        averaging: float = 0.99,
        epochs: int | None = None,
        batch_size: int = 16,
        lr: float = 4e-3,
        patience: int | None = None,
        random_state: Any = 0,
        backend: Backend = "elman",
        verbose: int = 1,
        warm_start: bool = False,
    ) -> None:
        self._keep(locals())

    # -- what a subclass says

    def _begin(self, y: Any, series: int) -> None:
        """Check what is to be learned of so many series, and take up what it decides."""
        raise NotImplementedError

    def _targets(self, y: Any, series: int, name: str) -> np.ndarray:
        """What is to be learned, as the net takes it; `name` is that of the argument."""
        raise NotImplementedError

    # -- use

    def fit(
        self: Self,
        X: Any,
        y: Iterable[Any],
        *,
        valid: tuple[Any, Iterable[Any]] | None = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        folder: str | Path | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> Self:
        """Train on the series `X` and their labels or numbers `y`.

        Args:
            X: an array (n, channels, T), an array (n, T) of one channel, or a list of arrays
                (channels, T) or (T,) of any lengths. NaN is a missing value.
            y: (n,), one for each series.
            valid, callbacks, folder, resume, checkpoint_seconds: as of `SequenceClassifier.fit`.
        """
        self._may_begin(valid, folder, resume)
        series = as_series(X, channels=self.reading_.channels if self._goes_on() else None)
        y = as_labels(y)
        if not self._goes_on():
            self._begin(y, len(series))
            self.reading_ = Reading.of(series, self.patch)
        self._draw_seed()
        train = self.reading_.encode(series, self._targets(y, len(series), "y"))
        data, held_out = {"train": fingerprint(series, y.tolist(), "series")}, None
        if valid is not None:
            others, known = as_series(valid[0], "valid[0]", series[0].shape[1]), as_labels(valid[1])
            held_out = self.reading_.encode(others, self._targets(known, len(others), "valid[1]"))
            data["valid"] = fingerprint(others, known.tolist(), "series")
        self._train(train, data, held_out, callbacks, folder, checkpoint_seconds)
        return self

    # -- what the estimator asks for

    def _net_options(self) -> dict[str, Any]:
        return averaged(self.averaging, self.weight_decay)


class SeriesClassifier(ClassifierMixin, SeriesEstimator, TrainedSeriesClassifier):
    """A recurrent network that reads series of numbers and names their label.

    Args:
        cell, hidden_size, num_layers, bidirectional, recurrent: as of `SequenceClassifier`.
        n_estimators: as of `SequenceClassifier`.
        pooling, patience, random_state, backend, verbose, warm_start: as of `SequenceClassifier`.
        patch: steps that are read together; None for as few as make at most 100 of the longest
            series.
        noise: deviation of the noise that is added to the standardised values in training.
        dropout: share of the features set to zero in training, between layers and before the last.
        weight_decay: how far weights fall towards zero, as of `torch.optim.AdamW`.
        averaging: share that a mean of all weights so far keeps at each step; that mean is the
            model. 0: the last weights are.
        epochs: passes over the series; None for as many as make 1500 steps, 20 to 300.
        batch_size: series a step.
        lr: the highest learning rate, as of `SequenceClassifier`.

    Each channel is standardised by its mean and deviation over all series of `fit`. If values are
    missing there, the network reads beside each value whether it is.

    After `fit`: `classes_`, `reading_`, `seed_`, `training_`, and `net_`, the
    `skorch.NeuralNetClassifier` with its `history`.

    The guide is docs/guides/series.md.

    >>> X = [[0, 1, 0, 1], [1, 0, 1], [0, 0, 1, 1], [1, 1, 0]] * 4  # one channel
    >>> y = ["swift", "swift", "slow", "slow"] * 4
    >>> small = SeriesClassifier(hidden_size=8, epochs=30, lr=0.05, dropout=0.0, averaging=0.0)
    >>> small.fit(X, y).predict([[0, 1, 0, 1], [1, 1, 0, 0]])
    array(['swift', 'slow'], dtype='<U5')
    """

    NET = SeriesLabelNet

    def score(self, X: Any, y: Iterable[Any], sample_weight: Any = None) -> float:
        """The share of series whose label is predicted; all labels must occur in training."""
        self._check_fitted()
        labels = as_labels(y)
        as_targets(labels, self.classes_)
        return super().score(X, labels, sample_weight)

    def _begin(self, y: Any, series: int) -> None:
        check_labels(y, series, nouns=("series", "series"))
        self.classes_ = np.unique(y)

    def _targets(self, y: Any, series: int, name: str) -> np.ndarray:
        check_labels(y, series, name.replace("1", "0"), name, 1, ("series", "series"))
        return as_targets(y, self.classes_, name)

    def _net_options(self) -> dict[str, Any]:
        return super()._net_options() | of_labels(len(self.classes_))


class SeriesRegressor(RegressorMixin, SeriesEstimator, TrainedSeriesRegressor):
    """A recurrent network that reads series of numbers and says a number of each.

    The arguments are those of `SeriesClassifier`. What is learned is standardised, and compared
    by the mean square.

    The guide is docs/guides/series.md.

    >>> X = np.random.default_rng(0).normal(size=(40, 1, 8))
    >>> y = X.mean((1, 2))
    >>> small = SeriesRegressor(hidden_size=8, epochs=30, lr=0.02, dropout=0.0)
    >>> small.fit(X, y).score(X, y) > 0.8
    True
    """

    NET: ClassVar[type[SequenceNet]] = SeriesNumberNet

    def _begin(self, y: Any, series: int) -> None:
        self._take_target(as_numbers(y, series, "y", "series"))

    def _targets(self, y: Any, series: int, name: str) -> np.ndarray:
        return self._standardised(as_numbers(y, series, name, "series"))

    def _net_options(self) -> dict[str, Any]:
        return {**super()._net_options(), "criterion": torch.nn.MSELoss}
