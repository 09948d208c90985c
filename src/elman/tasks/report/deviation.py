"""How far numbers lie from what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error


@dataclass(frozen=True)
class Deviation:
    """The scores of predicted numbers, (n,) each.

    >>> Deviation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])).words()
    'R² 0.500, rank correlation 1.000, mean absolute error 0.3333, RMSE 0.5774 (the mean ...)'
    """

    truth: np.ndarray
    predicted: np.ndarray
    noun: str = "series"  # what has a number

    @property
    def r2(self) -> float:
        """The share of the variance that is explained; below 0: worse than the mean."""
        return float(r2_score(self.truth, self.predicted)) if len(self.truth) > 1 else float("nan")

    @property
    def mae(self) -> float:
        """The mean absolute error."""
        return float(mean_absolute_error(self.truth, self.predicted))

    @property
    def rmse(self) -> float:
        """The root of the mean square of the errors."""
        return float(root_mean_squared_error(self.truth, self.predicted))

    @property
    def spearman(self) -> float:
        """The correlation of the ranks; 0 where all numbers on a side are the same."""
        from scipy.stats import spearmanr

        sides = (self.truth, self.predicted)
        if len(self.truth) < 2 or any(np.ptp(side) == 0 for side in sides):
            return 0.0
        return float(spearmanr(*sides).statistic)

    def headline(self) -> dict[str, str]:
        """The scores that are compared, by name."""
        scores = {"R²": self.r2, "rank correlation": self.spearman, "RMSE": self.rmse}
        return {name: f"{score:.4g}" for name, score in scores.items()}

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        scores = {name: getattr(self, name) for name in ("r2", "spearman", "mae", "rmse")}
        known = {name: score if np.isfinite(score) else None for name, score in scores.items()}
        return {self.noun: len(self.truth), **known}

    def words(self) -> str:
        """All of it in a line."""
        alone = float(self.truth.std())
        return (
            f"R² {self.r2:.3f}, rank correlation {self.spearman:.3f}, mean absolute error "
            f"{self.mae:.4g}, RMSE {self.rmse:.4g} (the mean alone: {alone:.4g})"
        )

    def draw(self, axes: Any, _: Sequence[str] = ()) -> None:
        """What was predicted over what is true, on matplotlib's axes."""
        low, high = (f(self.truth.min(), self.truth.max()) for f in (min, max))
        axes.plot([low, high], [low, high], color="grey", linestyle=":", label="all right")
        axes.scatter(self.truth, self.predicted, s=12, alpha=0.6, label=self.noun)
        axes.set(title="Predicted and true numbers", xlabel="true", ylabel="predicted")
        axes.legend()
