"""What forecasts of past steps were worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from ..data.windows import Windows

AT_ONCE = 256  # windows that are told together
#: Levels by which a whole distribution is scored: their mean comes near the integral over all.
LEVELS = tuple(((np.arange(100) + 0.5) / 100).tolist())
#: What tells quantiles (n, H, Q) of the windows with some numbers (n,), at some levels (Q,).
Tell = Callable[[Windows, np.ndarray, Sequence[float]], np.ndarray]


@dataclass(frozen=True)
class Backtest:
    """Forecasts (n, H, Q) of windows, what came (n, H), and the scale of each window's series (n,).

    The scale is the mean change over a season before the first forecast: errors of 1 are those of
    the seasonal naive forecast there. Steps that are missing don't count. `ranked` (n, H) are the
    ranked probability scores in units of the series.
    """

    told: np.ndarray
    truth: np.ndarray
    scale: np.ndarray
    ranked: np.ndarray
    quantiles: tuple[float, ...]

    @classmethod
    def of(
        cls,
        windows: Windows,
        tell: Tell,
        quantiles: Sequence[float],
        begins: Sequence[int],
        whole: bool = False,
    ) -> Backtest:
        """Forecasts of windows whose series are told from the steps `begins` on.

        `whole` says that a distribution is scored and not its `quantiles` alone.
        """
        scales = []
        for start, begin in zip(windows.starts.tolist(), begins, strict=True):
            changes = np.abs(windows.changes[start : start + int(begin)])
            known = changes[~np.isnan(changes)]
            scales.append(known.mean() if len(known) else np.nan)
        scale = np.array(scales)
        scale[scale == 0] = np.nan  # a series that never changed has no scale
        count, levels = len(quantiles), (*quantiles, *(LEVELS if whole else ()))
        truth = windows.truth(np.arange(len(windows)))
        told, ranked = np.empty((*truth.shape, count)), np.empty(truth.shape)
        for at in range(0, len(windows), AT_ONCE):
            rows = np.arange(at, min(at + AT_ONCE, len(windows)))
            found = tell(windows, rows, levels)
            told[rows] = found[..., :count]
            scored = slice(count if whole else 0, None)
            ranked[rows] = ranked_scores(found[..., scored], truth[rows], levels[scored])
        return cls(told, truth, scale[windows.series], ranked, tuple(quantiles))

    @property
    def steps(self) -> int:
        """How many values were foretold."""
        return int((~np.isnan(self.truth)).sum())

    @property
    def mase(self) -> float:
        """The mean absolute scaled error of the median; 1 is the seasonal naive forecast's."""
        middle = self.told[:, :, self.quantiles.index(0.5)]
        return _mean(np.abs(self.truth - middle) / self.scale[:, None])

    @property
    def wql(self) -> float:
        """The weighted quantile loss: twice the pinball loss, by the size of the values.

        The more quantiles, the nearer it comes to the CRPS by the size of the values.
        """
        scores = ranked_scores(self.told, self.truth, self.quantiles)
        return _sum(scores) / max(_sum(np.abs(self.truth)), 1e-300)

    @property
    def crps(self) -> float:
        """The continuous ranked probability score, by the scale of each series.

        Of a distribution by 100 of its quantiles; else as far as those that are told say it.
        """
        return _mean(self.ranked / self.scale[:, None])

    @property
    def coverage(self) -> float:
        """The share of values between the lowest and the highest quantile."""
        low, high = self.told[:, :, 0], self.told[:, :, -1]
        inside = ((self.truth >= low) & (self.truth <= high)).astype(np.float64)
        return _mean(np.where(np.isnan(self.truth), np.nan, inside))

    @property
    def nominal(self) -> float:
        """What the coverage should be."""
        return self.quantiles[-1] - self.quantiles[0]

    def as_json(self) -> dict[str, Any]:
        """All of it; what can't be told is null."""
        scores = {name: getattr(self, name) for name in ("mase", "wql", "crps", "coverage")}
        finite = {name: value if np.isfinite(value) else None for name, value in scores.items()}
        return {"forecasts": len(self.told), "steps": self.steps, **finite, "nominal": self.nominal}

    def words(self) -> str:
        """All of it in a line."""
        covered = ""
        if len(self.quantiles) > 1:
            covered = f", coverage {self.coverage:.1%} (of {self.nominal:.0%})"
        return f"MASE {self.mase:.3f}, CRPS {self.crps:.3f}, WQL {self.wql:.4f}{covered}"


def ranked_scores(told: np.ndarray, truth: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Twice the pinball loss (n, H) of quantiles (n, H, Q), on average over these.

    The more quantiles, the nearer it comes to the continuous ranked probability score.
    """
    off, shares = truth[..., None] - told, np.array(levels)
    found: np.ndarray = 2 * np.maximum(shares * off, (shares - 1) * off).mean(-1)
    return found


def naive_quantiles(windows: Windows, rows: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """The seasonal naive forecast, (n, H, Q): what was a season before, and normal errors.

    Their deviation is that of the changes over a season so far; it grows with the root of the
    seasons ahead.
    """
    base, m = windows.naive(rows), windows.outlook.season
    deviation = np.zeros(len(rows))
    for number, row in enumerate(rows.tolist()):
        start = windows.starts[windows.series[row]]
        changes = windows.changes[start : start + windows.ends[row]]
        known = changes[~np.isnan(changes)]
        deviation[number] = np.sqrt(np.mean(known**2)) if len(known) else 0.0
    seasons = np.arange(windows.outlook.horizon) // m + 1
    levels = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    spread = deviation[:, None] * np.sqrt(seasons)
    return np.nan_to_num(base)[:, :, None] + spread[:, :, None] * levels


def draw_forecast(axes: Any, windows: Windows, found: Backtest, past: int) -> None:
    """The last forecasts of the first series, and what came, on matplotlib's axes."""
    start, H = windows.starts[0], windows.outlook.horizon
    mine = np.flatnonzero(windows.series == windows.series[0])
    begin = max(0, windows.ends[mine[max(0, len(mine) - past // H)]] - past)
    end = windows.ends[mine[-1]] + H
    steps = np.arange(begin, end)
    axes.plot(steps, windows.values[start + begin : start + end], color="black", label="what came")
    middle = found.quantiles.index(0.5)
    for number, row in enumerate(mine.tolist()):
        ahead, told = windows.ends[row] + np.arange(H), found.told[row]
        if ahead[0] < begin:
            continue
        last = number == len(mine) - 1
        axes.plot(ahead, told[:, middle], color="C0", label="median" if last else None)
        label = f"{found.quantiles[0]:g} to {found.quantiles[-1]:g}" if last else None
        axes.fill_between(ahead, told[:, 0], told[:, -1], color="C0", alpha=0.25, label=label)
    axes.set(title="Forecasts by turns, and what came", xlabel="step", ylabel="value")
    axes.legend()


def _mean(values: np.ndarray) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")


def _sum(values: np.ndarray) -> float:
    return float(np.nansum(values))
