"""`TrainedSeriesClassifier` and `TrainedSeriesRegressor`: say a label, or a number, of series."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from ..checks import Rule, or_none, whole
from ..data.findings import count
from ..data.series import Reading, as_series, read_line
from ..errors import BEYOND, TaskError
from ..networks.series import SeriesRNN
from .answers import Answering, Labelled, Numbered
from .base import LAYERS
from .chain import standardising


class TrainedSeriesModel(Answering):
    """What every model of series knows: beside what every model does, `reading_`."""

    NEEDED = frozenset({"pooling", "bidirectional"})
    NETWORK = (*LAYERS, "bidirectional", "pooling", "noise")
    RULES: ClassVar[Mapping[str, Rule]] = {
        **dict.fromkeys(("patch", "epochs"), or_none(whole())),
    }
    MODULE = SeriesRNN

    patch: int | None
    bidirectional: bool
    pooling: str
    n_estimators: int = 1
    noise: float = 0.0
    weight_decay: float
    averaging: float

    reading_: Reading

    def _outputs(self, X: Any) -> Tensor:
        self._check_fitted()
        found = self._run(self.reading_.encode(as_series(X, channels=self.reading_.channels)))
        if not found.isfinite().all():
            raise TaskError(BEYOND)
        return found

    def _read(self, text: str) -> tuple[list[str], np.ndarray]:
        """The steps of a series as a line of a .ts file has it, by name, and the series."""
        try:
            series = read_line(text, self.reading_.channels)
        except ValueError as error:
            raise TaskError(
                f"No series: {error}; expected values with commas, and colons between channels."
            ) from None
        return [str(step) for step in range(0, series.shape[1], self.reading_.patch)], series

    def about(self) -> dict[str, str]:
        reading = self.reading_
        together = f", {reading.patch} steps together" if reading.patch > 1 else ""
        return {"reads": f"series of {count(reading.channels, 'channel')}{together}"}

    def _learned(self) -> dict[str, Any]:
        return {"reading": self.reading_.as_json()}

    def _recall(self, field: Callable[..., Any]) -> None:
        self.reading_ = Reading.read(field("reading", dict))

    def _entrance(self) -> tuple[nn.Module, dict[str, Any]]:
        return standardising(self.reading_), {"about": {"reading": self.reading_.as_json()}}

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        if smallest:
            return {"features": 1, "outputs": 1}
        return {"features": self.reading_.features, "outputs": self._width()}


class TrainedSeriesClassifier(Labelled, TrainedSeriesModel):
    """What a `SeriesClassifier` knows and answers; its labels are `classes_`."""

    FORMAT = "elman sequence series classifier"


class TrainedSeriesRegressor(Numbered, TrainedSeriesModel):
    """What a `SeriesRegressor` knows and answers."""

    FORMAT = "elman sequence series regressor"
