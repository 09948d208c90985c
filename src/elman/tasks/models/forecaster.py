"""`TrainedForecaster`: tells what comes next in series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from ..checks import Rule, is_number, one_of, or_none, whole
from ..data.findings import count
from ..data.history import History, as_histories, filled_in
from ..data.series import read_line
from ..data.times import show_time
from ..data.windows import Outlook, Windows
from ..errors import BEYOND, TaskError
from ..networks.ensemble import first_of
from ..networks.forecaster import ForecastRNN
from ..networks.heads import FAMILIES, DistributionName, Head, Parametric
from ..report.backtest import AT_ONCE, Backtest
from .base import LAYERS, TrainedModel

Series = History | Any


def _are_levels(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(is_number(one) and 0 < one < 1 for one in value)
        and list(value) == sorted(set(value))
    )


def _are_quantiles(value: Any) -> bool:
    return _are_levels(value) and 0.5 in value


class TrainedForecaster(TrainedModel):
    """What a `SequenceForecaster` knows and answers.

    Beside what every model has: `outlook_` (season, context, pace of the times).
    """

    FORMAT, VERSION = "elman sequence forecaster", 2
    OLDER: ClassVar[Mapping[int, Mapping[str, Any]]] = {1: {"distribution": None}}
    NEEDED = frozenset({"horizon", "quantiles", "distribution"})
    NETWORK = (*LAYERS, "horizon", "quantiles", "distribution", "noise")
    RULES: ClassVar[Mapping[str, Rule]] = {
        "horizon": whole(2**16),
        **dict.fromkeys(("season", "window", "epochs"), or_none(whole())),
        "quantiles": Rule(_are_quantiles, "rising numbers between 0 and 1, with 0.5 among them"),
        "distribution": or_none(one_of(FAMILIES)),
    }
    MODULE = ForecastRNN
    UNCHAINED = "each window is scaled by its own values"

    horizon: int
    season: int | None
    window: int | None
    quantiles: Sequence[float]
    distribution: DistributionName | None
    n_estimators: int = 1
    noise: float = 0.0
    weight_decay: float
    averaging: float

    outlook_: Outlook

    def predict(self, y: Series | Sequence[Series]) -> np.ndarray:
        """The median of the steps that come after each series: (n, horizon)."""
        return self.predict_quantiles(y, [0.5])[:, :, 0]

    def predict_quantiles(
        self, y: Series | Sequence[Series], quantiles: Sequence[float] | None = None
    ) -> np.ndarray:
        """The quantiles of the steps that come after each series: (n, horizon, quantiles).

        By default those of the parameter `quantiles`; others only if there is a `distribution`.
        """
        if quantiles is not None and not _are_levels(quantiles):
            raise TaskError(f"quantiles must be rising numbers between 0 and 1. Got {quantiles!r}.")
        windows = self._ahead(y)
        return self.tell(windows, np.arange(len(windows)), quantiles or self.quantiles)

    def predict_distribution(self, y: Series | Sequence[Series]) -> Distribution:
        """The distributions of the steps that come after each series, of shape (n, horizon).

        They have what those of `torch.distributions` have: `mean`, `variance`, `sample`,
        `log_prob`. Each step has its own: samples don't say how steps go together.

        Raises:
            TaskError: the model has learned quantiles, not a `distribution`.
        """
        windows = self._ahead(y)
        if not isinstance(self.head, Parametric):
            raise TaskError(
                "predict_distribution: this model has learned quantiles; train one with "
                f"distribution=, one of {', '.join(FAMILIES)}."
            )
        return self.head.at(*self._numbers(windows, np.arange(len(windows))))

    @property
    def head(self) -> Head:
        """What the network's numbers mean."""
        found: Head = first_of(self.network).head
        return found

    def _ahead(self, y: Series | Sequence[Series]) -> Windows:
        """Windows that end where the series do."""
        self._check_fitted()
        histories = self._histories(y)
        for row, one in enumerate(histories):
            ahead = len(one.known) - len(one)
            if one.known.shape[1] and ahead < self.horizon:
                raise TaskError(
                    f"y[{row}] must have covariates of the {self.horizon} steps to be told. Got "
                    f"{ahead} of them; give known= with rows for later steps."
                )
        return Windows(histories, self.outlook_, [np.array([len(one)]) for one in histories])

    def later(self, y: Series | Sequence[Series]) -> list[list[str]]:
        """The times of the steps that come after each series, as text.

        Of series without times the numbers of the steps.
        """
        self._check_fitted()
        pace, H, found = self.outlook_.pace, self.horizon, []
        for one in self._histories(y):
            if _without_times(y):
                found.append([str(step) for step in range(len(one), len(one) + H)])
                continue
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
            begins: for each series the first step that is told.
            stride: steps from one forecast to the next; by default as many as are told.
        """
        windows = self.windows(y, begins, stride)
        whole = self.distribution is not None
        return Backtest.of(windows, self.tell, self.quantiles, begins, whole)

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

    def tell(self, windows: Windows, rows: np.ndarray, levels: Sequence[float]) -> np.ndarray:
        """The quantiles of the steps after windows, (n, H, Q), in units of the series."""
        found = self.head.quantiles(*self._numbers(windows, rows), levels).numpy()
        if not np.isfinite(found).all():
            raise TaskError(BEYOND)
        return found

    def _numbers(self, windows: Windows, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """What the network says of windows, (n, H, P), and the head's `base` and `spread`."""
        network, parts = self.network, []
        with torch.inference_mode():
            for at in range(0, len(rows), AT_ONCE):
                packed, (features, base, spread) = windows.pack(rows[at : at + AT_ONCE])
                parts.append((network(packed, features), base, spread[:, None]))
        found, base, spread = (torch.cat(part) for part in zip(*parts, strict=True))
        return found, base, spread

    def _histories(self, y: Series | Sequence[Series], name: str = "y") -> list[History]:
        """Series of the kind that was learned."""
        histories, dated = as_histories(y, name)
        covariates, expected = histories[0].known.shape[1], len(self.outlook_.known_mean)
        if covariates != expected:
            raise TaskError(f"{name} has {covariates} covariates, in training {expected}.")
        pace = self.outlook_.pace
        if _without_times(y):
            return [replace(one, times=pace.steps(len(one))) for one in histories]
        if dated != pace.dated:
            kind = "dates" if pace.dated else "numbers"
            raise TaskError(f"{name} must have times that are {kind}, as in training.")
        return [filled_in(one, pace)[0] for one in histories]

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[Any, float | None]]]:
        """The steps of a series in text, and the median of those that come next."""
        try:
            (values,) = read_line(text)
        except ValueError as error:
            raise TaskError(f"No series: {error}; expected values with commas.") from None
        blank = np.zeros((len(values) + self.horizon, len(self.outlook_.known_mean)))
        times = self.outlook_.pace.steps(len(values))
        window = Windows(
            [History(values.astype(np.float64), times, blank + self.outlook_.known_mean)],
            self.outlook_,
            [np.array([len(values)])],
        )
        middle = self.tell(window, np.arange(1), [0.5])[0, :, 0]
        told: list[tuple[Any, float | None]] = [
            (f"+{step}  {value:.6g}", None) for step, value in enumerate(middle, 1)
        ]
        return [str(step) for step in range(len(values))][-self.outlook_.context :], told

    def about(self) -> dict[str, str]:
        outlook = self.outlook_
        covariates = len(outlook.known_mean)
        with_them = f", with {count(covariates, 'covariate')}" if covariates else ""
        whose = f" of a {self.distribution} distribution" if self.distribution else ""
        return {
            "tells": f"{count(self.horizon, 'step')}: {', '.join(map(str, self.quantiles))}{whose}",
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
    """The first steps that the windows of each history tell."""
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
