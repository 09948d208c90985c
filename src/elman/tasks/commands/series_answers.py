"""What `elman predict` says of series: the label of each, or its number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.findings import Findings
from ..data.readers import Row
from ..data.series import read_line
from ..data.seriestable import series_rows
from ..models.series import TrainedSeriesClassifier, TrainedSeriesModel, TrainedSeriesRegressor
from ..report.spans import one_line
from .answer import Answer, with_chances

COLUMNS = ("id", "time", "values", "label")


class SeriesAnswers(Answer):
    """The labels or numbers of series, from files or as lines of .ts files have them."""

    def __init__(
        self, model: TrainedSeriesModel, form: str, data: Mapping[str, Any], top: int | None = None
    ) -> None:
        super().__init__(form, "series")
        self.model, self.top = model, top
        self.columns = {name: data.get(name) for name in COLUMNS}

    def rows(self, file: Path, column: str | None, findings: Findings) -> Iterator[Row]:
        """The series of a file, whose columns are those of training."""
        for place, (series, _) in series_rows(file, self.columns, findings, labelled=False):
            yield place, [series]

    def usable(
        self, rows: Iterable[Row], column: str, findings: Findings
    ) -> Iterator[tuple[int | str, np.ndarray]]:
        """The places and series that can be used."""
        channels = self.model.reading_.channels
        for place, (given,) in rows:
            try:
                series = read_line(given, channels) if isinstance(given, str) else given
            except ValueError as error:
                findings.reject(place, "no series of numbers", str(error))
                continue
            if len(series) != channels:
                detail = f"{len(series)}, in training {channels}"
                findings.reject(place, "another number of channels", detail)
                continue
            yield place, series

    def __call__(self, given: Sequence[tuple[dict[str, Any], Any]]) -> Iterator[str]:
        """The lines on some series and their places."""
        places = [next(iter(place.values())) for place, _ in given]
        series, model = [one for _, one in given], self.model
        if isinstance(model, TrainedSeriesRegressor):
            for place, value in zip(places, model.predict(series).tolist(), strict=True):
                yield self._number(place, value)
            return
        assert isinstance(model, TrainedSeriesClassifier)
        labels = model.classes_.tolist()
        for place, chances in zip(places, model.predict_proba(series).tolist(), strict=True):
            yield self._label(place, list(zip(labels, chances, strict=True)))

    def _number(self, place: Any, value: float) -> str:
        if self.form == "jsonl":
            return json.dumps({"series": place, "value": value}, ensure_ascii=False)
        return f"{value:.6g}\t{one_line(str(place))}"

    def _label(self, place: Any, pairs: list[tuple[Any, float]]) -> str:
        best = sorted(pairs, key=lambda pair: -pair[1])[: self.top or 1]
        if self.form == "jsonl":
            listed = best if self.top else pairs
            return with_chances({"series": place, "label": best[0][0]}, listed)
        named = "".join(f"{one_line(str(name))}\t{chance:.3f}\t" for name, chance in best)
        return named + one_line(str(place))
