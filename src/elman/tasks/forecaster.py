"""`SequenceForecaster`: quantiles of what comes next in series of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from .checks import NOT_NEGATIVE, SHARE, Rule, is_number, or_none, whole
from .data.findings import count
from .data.fingerprint import fingerprint
from .data.history import History, as_histories, filled_in, pace_of
from .data.series import read_line
from .data.times import show_time
from .data.windows import Outlook, Windows
from .errors import BEYOND, TaskError
from .estimator import LAYERS, SequenceEstimator
from .forecast_model import ForecastRNN
from .model import Backend, CellLike
from .report.backtest import Backtest
from .training.forecastnet import ForecastNet, WindowBatches

AT_ONCE = 256  # windows that are told together
STEPS = 600  # of a training, about, if `epochs` is None
EPOCHS = (10, 25)  # the fewest and the most that this may be
MOST = 20_000  # windows an epoch
Series = History | Any


def _are_quantiles(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(is_number(one) and 0 < one < 1 for one in value)
        and list(value) == sorted(set(value))
        and 0.5 in value
    )


class SequenceForecaster(SequenceEstimator):
    """A recurrent network that reads the last steps of a series and tells the next ones.

    It says how far each of the next `horizon` steps, in several quantiles, will be from the value a
    season before, in units of how much a season has changed so far. Many series are learned
    together, each window at its own scale.

    Args:
        cell, hidden_size, num_layers, recurrent, dropout, patience, random_state, backend, verbose:
            as of `SequenceClassifier`; series are read in one direction.
        noise, weight_decay, averaging: as of `SeriesClassifier`.
        horizon: steps that are told.
        season: steps until a pattern comes again, 1 for none; None for what the dates say: a year
            of months or quarters, a week of days, a day of hours or minutes.
        window: steps that are read, at most; None for two seasons, or two horizons, at least 16.
        quantiles: rising, between 0 and 1, with 0.5 among them.
        epochs: passes over the windows; None for as many as make 600 steps, 10 to 25.
        batch_size: windows a step.
        lr: the highest learning rate, as of `SequenceClassifier`.

    After `fit`: `outlook_` (season, context, pace of the times), `seed_`, `training_`, and `net_`,
    the `skorch.NeuralNet` with its `history`.

    >>> y = np.tile([1.0, 5.0, 2.0, 8.0], 12) + np.arange(48)
    >>> small = SequenceForecaster(horizon=4, season=4, hidden_size=8, epochs=30, lr=0.02)
    >>> small.fit(y).predict(y).round().tolist()
    [[49.0, 54.0, 52.0, 59.0]]
    """

    FORMAT, VERSION = "elman sequence forecaster", 1
    NEEDED = frozenset({"horizon", "quantiles"})
    NETWORK = (*LAYERS, "horizon", "quantiles", "noise")
    RULES: ClassVar[Mapping[str, Rule]] = {
        "horizon": whole(2**16),
        "season": or_none(whole()),
        "window": or_none(whole()),
        "quantiles": Rule(_are_quantiles, "rising numbers between 0 and 1, with 0.5 among them"),
        "epochs": or_none(whole()),
        "averaging": SHARE,
        **dict.fromkeys(("noise", "weight_decay"), NOT_NEGATIVE),
    }
    NET, MODULE = ForecastNet, ForecastRNN

    def __init__(
        self,
        *,
        cell: CellLike = "gru",
        horizon: int = 12,
        season: int | None = None,
        window: int | None = None,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        hidden_size: int | Sequence[int] = 32,
        num_layers: int = 1,
        recurrent: Mapping[str, Any] | None = None,
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
    ) -> None:
        self.cell = cell
        self.horizon = horizon
        self.season = season
        self.window = window
        self.quantiles = quantiles
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.recurrent = recurrent
        self.noise = noise
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.averaging = averaging
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.patience = patience
        self.random_state = random_state
        self.backend = backend
        self.verbose = verbose

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
            TaskError: a parameter or a series that can't be used; none with two values.
        """
        self._may_begin(valid, folder, resume)
        if X is not None:
            raise TaskError("X must be None; give covariates as History(values, known=X).")
        histories, dated = as_histories(y)
        pace = pace_of(histories, dated)
        histories = [filled_in(one, pace)[0] for one in histories]
        if not any((~np.isnan(one.values)).sum() > 1 for one in histories):
            raise TaskError("y has no series with two values; there is nothing to learn.")
        self.outlook_ = Outlook.of(histories, pace, self.horizon, self.season, self.window)
        self._draw_seed()
        train = Windows(histories, self.outlook_, [self._ends(len(one)) for one in histories])
        data, held_out = {"train": _fingerprint(histories)}, None
        if valid is not None:
            later = self._histories(valid, "valid")
            begins = [len(one) for one in histories]
            held_out = Windows(later, self.outlook_, _origins(later, begins, self.horizon))
            data["valid"] = _fingerprint(later)
        self._train(train, data, held_out, callbacks, folder, checkpoint_seconds)
        return self

    def predict(self, y: Series | Sequence[Series]) -> np.ndarray:
        """The median of the steps that come after each series: (n, horizon)."""
        found = self.predict_quantiles(y)
        return found[:, :, list(self.quantiles).index(0.5)]

    def predict_quantiles(self, y: Series | Sequence[Series]) -> np.ndarray:
        """The quantiles of the steps that come after each series: (n, horizon, quantiles)."""
        check_is_fitted(self, "net_")
        histories = self._histories(y)
        for row, one in enumerate(histories):
            ahead = len(one.known) - len(one)
            if one.known.shape[1] and ahead < self.horizon:
                raise TaskError(
                    f"y[{row}] must have covariates of the {self.horizon} steps to be told. Got "
                    f"{ahead} of them; give known= with rows for later steps."
                )
        return self.tell(
            Windows(histories, self.outlook_, [np.array([len(one)]) for one in histories])
        )

    def later(self, y: Series | Sequence[Series]) -> list[list[str]]:
        """The times of the steps that come after each series, as text."""
        check_is_fitted(self, "net_")
        pace, H, found = self.outlook_.pace, self.horizon, []
        for one in self._histories(y):
            given = one.times[len(one) : len(one) + H]
            last = given[-1] if len(given) else one.times[-1]
            times = np.concatenate([given, pace.after(last, H - len(given))])
            found.append([show_time(time, pace.dated) for time in times.tolist()])
        return found

    def backtest(
        self, y: Series | Sequence[Series], begins: Sequence[int], stride: int | None = None
    ) -> Backtest:
        """What the model would have said of past steps, and how right it would have been.

        Args:
            y: whole series.
            begins: for each series the step from which on steps are told.
            stride: steps from one forecast to the next; by default as many as are told.
        """
        windows = self.windows(y, begins, stride)
        return Backtest.of(windows, self.tell(windows), self.quantiles, begins)

    def windows(
        self, y: Series | Sequence[Series], begins: Sequence[int], stride: int | None = None
    ) -> Windows:
        """The windows that `backtest` tells from, for other methods to do the same."""
        check_is_fitted(self, "net_")
        histories = self._histories(y)
        windows = Windows(
            histories, self.outlook_, _origins(histories, begins, stride or self.horizon)
        )
        if not len(windows):
            raise TaskError("No step is left to be told; begin earlier.")
        return windows

    def filled(
        self, y: Series | Sequence[Series], begins: Sequence[int]
    ) -> tuple[list[History], list[int]]:
        """Series with a missing value at each time that is left out, and their `begins` there."""
        histories, _ = as_histories(y)
        full = [filled_in(one, self.outlook_.pace)[0] for one in histories]
        there = [
            int(np.searchsorted(one.times, given.times[int(begin)]))
            for one, given, begin in zip(full, histories, begins, strict=True)
        ]
        dates = self.outlook_.pace.dated
        return [one.with_dates() if dates else one for one in full], there

    def score(self, y: Series | Sequence[Series], X: Any = None) -> float:
        """Minus the MASE of the last `horizon` steps of each series: the higher, the better."""
        histories, _ = as_histories(y)
        begins = [max(1, len(one) - self.horizon) for one in histories]
        return -self.backtest(y, begins).mase

    # -- what the estimator asks for

    def _ends(self, steps: int) -> np.ndarray:
        """Where windows to learn from end: after a season, which says how much one changes."""
        first = min(max(2, self.outlook_.season + 1), steps - 1)
        return np.arange(max(1, first), steps)

    def _histories(self, y: Series | Sequence[Series], name: str = "y") -> list[History]:
        """Series of the kind that was learned."""
        histories, dated = as_histories(y, name)
        covariates, expected = histories[0].known.shape[1], len(self.outlook_.known_mean)
        if covariates != expected:
            raise TaskError(f"{name} has {covariates} covariates, in training {expected}.")
        if dated != self.outlook_.pace.dated and not _without_times(y):
            kind = "dates" if self.outlook_.pace.dated else "numbers"
            raise TaskError(f"{name} must have times that are {kind}, as in training.")
        return [filled_in(one, self.outlook_.pace)[0] for one in histories]

    def tell(self, windows: Windows) -> np.ndarray:
        """The quantiles of the steps after windows, (n, H, Q), in units of the series."""
        found = np.empty((len(windows), self.horizon, len(self.quantiles)))
        network, done = self.net_.module_.eval(), 0
        with torch.inference_mode():
            for batch, _ in WindowBatches(windows, AT_ONCE):
                features, base, spread = batch.ahead  # type: ignore[attr-defined]
                told = network(batch.packed, features).double() * spread[:, None, None]
                found[done : done + len(batch)] = (base[:, :, None] + told).numpy()
                done += len(batch)
        if not np.isfinite(found).all():
            raise TaskError(BEYOND)
        return found

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[Any, float | None]]]:
        """The steps of a series in text, and the median of those that come next."""
        try:
            (values,) = read_line(text)
        except ValueError as error:
            raise TaskError(f"No series: {error}; expected values with commas.") from None
        blank = np.zeros((len(values) + self.horizon, len(self.outlook_.known_mean)))
        pace = self.outlook_.pace
        times = pace.size * np.arange(len(values))
        window = Windows(
            [History(values.astype(np.float64), times, blank + self.outlook_.known_mean)],
            self.outlook_,
            [np.array([len(values)])],
        )
        middle = self.tell(window)[0, :, list(self.quantiles).index(0.5)]
        told: list[tuple[Any, float | None]] = [
            (f"+{step}  {value:.6g}", None) for step, value in enumerate(middle, 1)
        ]
        return [str(step) for step in range(len(values))][-self.outlook_.context :], told

    def about(self) -> dict[str, str]:
        """What there is to say of the model, by name."""
        outlook = self.outlook_
        covariates = len(outlook.known_mean)
        with_them = f", with {count(covariates, 'covariate')}" if covariates else ""
        return {
            "tells": f"{count(self.horizon, 'step')}: {', '.join(map(str, self.quantiles))}",
            "reads": f"{count(outlook.context, 'step')}, season {outlook.season}{with_them}",
        }

    def _learned(self) -> dict[str, Any]:
        return {"outlook": self.outlook_.as_json()}

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        self.outlook_ = Outlook.read(field("outlook", dict), int(self.horizon))

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        if smallest:
            return {"features": 1, "ahead": 1}
        return {"features": self.outlook_.features, "ahead": self.outlook_.ahead}

    def _passes(self, texts: int) -> int:
        if self.epochs is not None:
            return self.epochs
        fewest, most = EPOCHS
        return max(fewest, min(most, round(STEPS / -(-min(texts, MOST) // self.batch_size))))

    def _net_options(self) -> dict[str, Any]:
        return {
            "criterion": torch.nn.Identity,  # the net has the loss
            "averaging": float(self.averaging),
            "quantiles": tuple(self.quantiles),
            "optimizer": torch.optim.AdamW,
            "optimizer__weight_decay": float(self.weight_decay),
            "iterator_train__most": MOST,
        }


def _origins(histories: Sequence[History], begins: Sequence[int], stride: int) -> list[np.ndarray]:
    """The steps from which on windows of each history tell."""
    if len(histories) != len(begins):
        raise TaskError(
            f"There are {len(histories)} series, and where {len(begins)} of them begin."
        )
    return [
        np.arange(max(1, int(begin)), len(one), stride)
        for one, begin in zip(histories, begins, strict=True)
    ]


def _without_times(y: Any) -> bool:
    given = [y] if isinstance(y, History) else y
    return all(getattr(one, "times", None) is None for one in given)


def _fingerprint(histories: Sequence[History]) -> dict[str, Any]:
    rows = [np.concatenate([one.values, one.times, one.known.ravel()]) for one in histories]
    return fingerprint(rows, [one.name for one in histories], "series")
