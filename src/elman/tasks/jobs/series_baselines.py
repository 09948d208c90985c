"""What a model of series is compared with: nearest neighbours and ROCKET, by aeon."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import TaskError

KERNELS = 10_000  # of ROCKET, as its authors have them
INSTALL = 'pip install "elman[series]"'


def series_baselines(numbers: bool, seed: int) -> dict[str, Any]:
    """Untrained estimators by name: of labels, or of numbers.

    Raises:
        TaskError: aeon, which has them, isn't there.
    """
    if find_spec("aeon") is None:
        raise TaskError(f"The baselines of series need the package aeon: {INSTALL}")
    if numbers:
        from aeon.regression.convolution_based import RocketRegressor
        from aeon.regression.distance_based import KNeighborsTimeSeriesRegressor

        nearest, rocket = KNeighborsTimeSeriesRegressor, RocketRegressor
    else:
        from aeon.classification.convolution_based import RocketClassifier
        from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

        nearest, rocket = KNeighborsTimeSeriesClassifier, RocketClassifier
    return {
        "nearest neighbour, DTW": nearest(n_neighbors=1, distance="dtw"),
        "ROCKET": rocket(n_kernels=KERNELS, random_state=seed),
    }


def resampled(series: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Series (C, T) of one length, (n, C, length), with nothing missing: what ROCKET needs.

    Gaps are filled in straight lines.

    >>> resampled([np.array([[0.0, np.nan, 2.0]])], 5).tolist()
    [[[0.0, 0.5, 1.0, 1.5, 2.0]]]
    """

    def fitted(channel: np.ndarray) -> np.ndarray:
        known = np.flatnonzero(~np.isnan(channel))
        if not len(known):
            return np.zeros(length)
        return np.interp(np.linspace(0, len(channel) - 1, length), known, channel[known])

    return np.stack([np.stack([fitted(channel) for channel in one]) for one in series])


def predicted(
    baseline: Any, learn: tuple[Sequence[np.ndarray], Any], others: Sequence[np.ndarray]
) -> np.ndarray:
    """What a baseline says of series when it has learned from others."""
    series, known = learn
    longest = max(one.shape[1] for one in series)
    X, Y = (resampled(rows, longest) for rows in (series, others))
    return np.asarray(baseline.fit(X, np.asarray(known)).predict(Y))
