"""`TrainedForecaster`: tells what comes next in series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from ..checks import NOT_NEGATIVE, SHARE, Rule, is_number, or_none, whole
from ..data.findings import count
from ..data.history import History, as_histories, filled_in
from ..data.series import read_line
from ..data.times import show_time
from ..data.windows import Outlook, Windows
from ..errors import BEYOND, TaskError
from ..networks.forecaster import ForecastRNN
from ..report.backtest import Backtest
from .base import LAYERS, TrainedModel

AT_ONCE = 256  # windows that are told together
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


class TrainedForecaster(TrainedModel):
    """What a `SequenceForecaster` knows and answers.

    Beside what every model has: `outlook_` (season, context, pace of the times).
    """

    FORMAT = "elman sequence forecaster"
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
    MODULE = ForecastRNN

    horizon: int
    season: int | None
    window: int | None
    quantiles: Sequence[float]
    noise: float = 0.0
    weight_decay: float
    averaging: float

    outlook_: Outlook

    def predict(self, y: Series | Sequence[Series]) -> np.ndarray:
        """The median of the steps that come after each series: (n, horizon)."""
        found = self.predict_quantiles(y)
        return found[:, :, list(self.quantiles).index(0.5)]

    def predict_quantiles(self, y: Series | Sequence[Series]) -> np.ndarray:
        """The quantiles of the steps that come after each series: (n, horizon, quantiles)."""
        self._check_fitted()
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
        self._check_fitted()
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
        self._check_fitted()
        histories = self._histories(y)
        windows = Windows(
            histories, self.outlook_, origins(histories, begins, stride or self.horizon)
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

    def tell(self, windows: Windows) -> np.ndarray:
        """The quantiles of the steps after windows, (n, H, Q), in units of the series."""
        found = np.empty((len(windows), self.horizon, len(self.quantiles)))
        network, every = self.network, np.arange(len(windows))
        with torch.inference_mode():
            for at in range(0, len(every), AT_ONCE):
                packed, (features, base, spread) = windows.pack(every[at : at + AT_ONCE])
                told = network(packed, features).double() * spread[:, None, None]
                found[at : at + AT_ONCE] = (base[:, :, None] + told).numpy()
        if not np.isfinite(found).all():
            raise TaskError(BEYOND)
        return found

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


def origins(histories: Sequence[History], begins: Sequence[int], stride: int) -> list[np.ndarray]:
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
