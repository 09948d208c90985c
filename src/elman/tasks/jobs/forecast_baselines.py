"""What forecasts are compared with: exponential smoothing, by statsmodels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..data.windows import Windows
from ..errors import TaskError

FEWEST = 10  # values that a model is fitted to; of fewer the last one stays
SIMULATED = 1000  # futures that quantiles are taken from
INSTALL = 'pip install "elman[series]"'


def has_ets() -> bool:
    """Whether statsmodels is there."""
    return find_spec("statsmodels") is not None


def ets_quantiles(windows: Windows, rows: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """ETS models of each window's series so far, (n, H, Q), fitted anew for each window.

    Of those with and without trend and with additive or multiplicative seasons the one with the
    lowest corrected AIC tells the quantiles. Missing values are filled with the last one.

    Raises:
        TaskError: statsmodels isn't there.
    """
    if not has_ets():
        raise TaskError(f"ETS needs the package statsmodels: {INSTALL}")
    found = np.empty((len(rows), windows.outlook.horizon, len(quantiles)))
    for number, row in enumerate(rows.tolist()):
        start = windows.starts[windows.series[row]]
        past = windows.filled[start : start + windows.ends[row]]
        futures = _simulated(past[~np.isnan(past)], found.shape[1], windows.outlook.season)
        found[number] = np.quantile(futures, quantiles, axis=1).T
    return found


def _simulated(past: np.ndarray, H: int, m: int) -> np.ndarray:
    """The next H steps, many times over: (H, n)."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    if len(past) < FEWEST:
        return np.full((H, 1), past[-1] if len(past) else 0.0)
    seasons: list[str | None] = [None]
    if m > 1 and len(past) >= 2 * m + 2:
        seasons = ["add", "mul"] if past.min() > 0 else ["add"]
    fitted: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for season in seasons:
            for trend in (None, "add"):
                options: dict[str, Any] = {"trend": trend, "damped_trend": trend is not None}
                if season:
                    options |= {"seasonal": season, "seasonal_periods": m}
                model = ETSModel(past, error="add", **options)
                fitted.append(model.fit(disp=False, maxiter=200))
        best = min(fitted, key=lambda one: one.aicc if np.isfinite(one.aicc) else np.inf)
        off = float(np.sqrt(np.mean(np.asarray(best.resid) ** 2)))
        errors = np.random.default_rng(0).normal(0, off, (H, SIMULATED))
        told = best.simulate(H, anchor="end", repetitions=SIMULATED, random_errors=errors)
    return np.nan_to_num(np.asarray(told, np.float64).reshape(H, -1))
