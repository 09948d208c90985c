"""What `elman predict` says of series: the label of each, or its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data.findings import Findings
from ..data.readers import Row
from ..data.series import read_line
from ..data.seriestable import series_rows
from ..models.series import TrainedSeriesClassifier, TrainedSeriesRegressor
from .answer import OnEach

COLUMNS = ("id", "time", "values", "label")


class OfSeries(OnEach):
    """What answers on series, from files or as lines of .ts files have them."""

    def __init__(
        self,
        model: TrainedSeriesClassifier | TrainedSeriesRegressor,
        form: str,
        data: Mapping[str, Any],
        top: int | None = None,
    ) -> None:
        super().__init__(model, form, "series", top)
        self.channels = model.reading_.channels
        self.columns = {name: data.get(name) for name in COLUMNS}

    def rows(self, file: Path, column: str | None, findings: Findings) -> Iterator[Row]:
        """The series of a file, whose columns are those of training."""
        for place, (series, _) in series_rows(file, self.columns, findings, labelled=False):
            yield place, [series]

    def usable(
        self, rows: Iterable[Row], column: str, findings: Findings
    ) -> Iterator[tuple[int | str, np.ndarray]]:
        for place, (given,) in rows:
            try:
                series = read_line(given, self.channels) if isinstance(given, str) else given
            except ValueError as error:
                findings.reject(place, "no series of numbers", str(error))
                continue
            if len(series) != self.channels:
                detail = f"{len(series)}, in training {self.channels}"
                findings.reject(place, "another number of channels", detail)
                continue
            yield place, series

    def named(self, place: dict[str, Any], one: Any) -> tuple[dict[str, Any], str]:
        (name,) = place.values()
        return {"series": name}, str(name)
