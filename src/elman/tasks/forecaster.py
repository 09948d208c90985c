"""`SequenceForecaster`: what comes next in series of numbers, in quantiles or as a distribution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from .data.fingerprint import fingerprint
from .data.history import History, as_histories, filled_in, pace_of
from .data.windows import Outlook, Windows
from .errors import TaskError
from .estimator import SequenceEstimator
from .models.forecaster import Series, TrainedForecaster, origins
from .networks.heads import FAMILIES, DistributionName
from .networks.layers import Backend, CellLike
from .training.averaging import averaged
from .training.forecastnet import ForecastNet


class SequenceForecaster(SequenceEstimator, TrainedForecaster):
    """A recurrent network that reads the last steps of a series and tells the next ones.

    It says how far each of the next `horizon` steps will be from the value a season before, in
    several quantiles or as a distribution. The unit is how much the series has changed over a
    season so far. Many series are learned together, each window at its own scale.

    Args:
        cell, hidden_size, num_layers, recurrent: as of `SequenceClassifier`; series are read in one
            direction.
        n_estimators, dropout, patience, random_state, backend, verbose, warm_start: as of
            `SequenceClassifier`.
        noise, weight_decay, averaging: as of `SeriesClassifier`.
        horizon: steps that are told.
        season: steps until a pattern comes again, 1 for none; None for what the dates say: a year
            of months or quarters, a week of days, a day of hours or minutes.
        window: steps that are read, at most; None for two seasons, or two horizons, at least 16.
        quantiles: what is told; rising, between 0 and 1, with 0.5 among them.
        distribution: None to learn these quantiles alone, by the pinball loss; or the name of the
            distribution of each step, which is learned by its likelihood and has all quantiles:
            "normal", "student-t" (with heavier tails), or "negative-binomial" (of counts).
        epochs: passes over the windows; None for as many as make 600 steps, 10 to 25.
        batch_size: windows a step.
        lr: the highest learning rate, as of `SequenceClassifier`.

    After `fit`: `outlook_` (season, context, pace of the times), `seed_`, `training_`, and `net_`,
    the `skorch.NeuralNet` with its `history`.

    The guide is docs/guides/forecast.md.

    >>> y = np.tile([1.0, 5.0, 2.0, 8.0], 12) + np.arange(48)
    >>> small = SequenceForecaster(horizon=4, season=4, hidden_size=8, epochs=30, lr=0.02)
    >>> small.fit(y).predict(y).round().tolist()
    [[49.0, 54.0, 52.0, 59.0]]
    """

    NET = ForecastNet
    READS = ("two_d_array",)
    STEPS, EPOCHS, MOST = 600, (10, 25), 20_000

    def __init__(
        self,
        *,
        cell: CellLike = "gru",
        horizon: int = 12,
        season: int | None = None,
        window: int | None = None,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        distribution: DistributionName | None = None,
        hidden_size: int | Sequence[int] = 32,
        num_layers: int = 1,
        recurrent: Mapping[str, Any] | None = None,
        n_estimators: int = 1,
        noise: float = 0.05,
        dropout: float = 0.4,
        weight_decay: float = 0.05,
        averaging: float = 0.99,
        epochs: int | None = None,
        batch_size: int = 32,
        lr: float = 3e-3,
        patience: int | None = None,
        random_state: Any = 0,
        backend: Backend = "elman",
        verbose: int = 1,
        warm_start: bool = False,
    ) -> None:
        self._keep(locals())

    def fit(
        self,
        y: Series | Sequence[Series],
        X: Any = None,
        *,
        valid: Sequence[Series] | None = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        folder: str | Path | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> SequenceForecaster:
        """Train on one series `y` (T,), or on several of any lengths.

        Args:
            y: an array, a list of arrays, or of `elman.tasks.History`, which has times and
                covariates. NaN is a missing value.
            X: nothing; covariates are in a `History`.
            valid: the same series with later steps, which are held out.
            callbacks, folder, resume, checkpoint_seconds: as of `SequenceClassifier.fit`.

        Raises:
            TaskError: a parameter or a series that can't be used; none with two values; other
                numbers than counts, where `distribution` is one of counts.
        """
        self._may_begin(valid, folder, resume)
        if X is not None:
            raise TaskError("X must be None; give covariates as History(values, known=X).")
        if self._goes_on():
            histories, pace = self._histories(y), self.outlook_.pace
        else:
            histories, dated = as_histories(y)
            pace = pace_of(histories, dated)
            histories = [filled_in(one, pace)[0] for one in histories]
        if not any((~np.isnan(one.values)).sum() > 1 for one in histories):
            raise TaskError("y has no series with two values; there is nothing to learn.")
        self._check_counts(histories, "y")
        if not self._goes_on():
            self.outlook_ = Outlook.of(histories, pace, self.horizon, self.season, self.window)
        self._draw_seed()
        train = Windows(histories, self.outlook_, [self._ends(len(one)) for one in histories])
        data, held_out = {"train": _fingerprint(histories)}, None
        if valid is not None:
            later = self._histories(valid, "valid")
            self._check_counts(later, "valid")
            begins = [len(one) for one in histories]
            held_out = Windows(later, self.outlook_, origins(later, begins, self.horizon))
            data["valid"] = _fingerprint(later)
        self._train(train, data, held_out, callbacks, folder, checkpoint_seconds)
        return self

    def _check_counts(self, histories: Sequence[History], name: str) -> None:
        """Refuses other numbers where only counts have a likelihood."""
        if self.distribution is None or not FAMILIES[self.distribution].counts:
            return
        for row, one in enumerate(histories):
            values = one.values[~np.isnan(one.values)]
            if len(strange := values[(values < 0) | (values % 1 != 0)]):
                raise TaskError(
                    f"distribution {self.distribution!r} is for counts: whole numbers from 0. Got "
                    f"{strange[0]:g} in {name}[{row}]; choose 'normal' or 'student-t'."
                )

    # -- what the estimator asks for

    def _ends(self, steps: int) -> np.ndarray:
        """Where windows to learn from end: after a season, which says how much one changes."""
        first = min(max(2, self.outlook_.season + 1), steps - 1)
        return np.arange(max(1, first), steps)

    def _net_options(self) -> dict[str, Any]:
        return {
            "criterion": torch.nn.Identity,  # the net has the loss
            **averaged(self.averaging, self.weight_decay),
            "iterator_train__most": self.MOST,
        }


def _fingerprint(histories: Sequence[History]) -> dict[str, Any]:
    rows = [np.concatenate([one.values, one.times, one.known.ravel()]) for one in histories]
    return fingerprint(rows, [one.name for one in histories], "series")
