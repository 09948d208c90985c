"""`TrainedRegressor`: says a number of texts."""

from __future__ import annotations

from .answers import Numbered
from .texts import TrainedTextModel


class TrainedRegressor(Numbered, TrainedTextModel):
    """What a `SequenceRegressor` knows and answers.

    Beside what every model of texts has: `target_`, the mean and deviation of what was learned.
    """

    FORMAT = "elman sequence regressor"

    def about(self) -> dict[str, str]:
        mean, scale = self.target_
        return {"numbers": f"about {mean:.4g}, by {scale:.4g} on average", **super().about()}
