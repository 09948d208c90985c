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
from ..errors import TaskError
from ..report.shown import one_line
from ..series_estimator import SeriesClassifier, SeriesEstimator

COLUMNS = ("id", "time", "values", "label")


class SeriesAnswers:
    """The labels or numbers of series, from files or as lines of .ts files have them."""

    begin = end = ""

    def __init__(self, model: SeriesEstimator, form: str, data: Mapping[str, Any]) -> None:
        if form not in ("text", "jsonl"):
            raise TaskError(f"--format must be text or jsonl for series. Got {form!r}.")
        self.model, self.form = model, form
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
        if isinstance(model, SeriesClassifier):
            labels = model.classes_.tolist()
            for place, chances in zip(places, model.predict_proba(series).tolist(), strict=True):
                best = chances.index(max(chances))
                yield self._line(place, labels[best], dict(zip(labels, chances, strict=True)))
        else:
            for place, value in zip(places, model.predict(series).tolist(), strict=True):
                yield self._line(place, value, None)

    def _line(self, place: Any, answer: Any, chances: dict[Any, float] | None) -> str:
        if self.form == "jsonl":
            found: dict[str, Any] = {"series": place}
            if chances is None:
                return json.dumps({**found, "value": answer}, ensure_ascii=False)
            rounded = {str(name): round(chance, 6) for name, chance in chances.items()}
            found |= {"label": answer, "probabilities": rounded}
            return json.dumps(found, ensure_ascii=False)
        if chances is None:
            return f"{answer:.6g}\t{one_line(str(place))}"
        best = max(chances.values())
        return f"{one_line(str(answer))}\t{best:.3f}\t{one_line(str(place))}"

    def remarks(self) -> Iterator[str]:
        """Nothing: every series is read to its end."""
        yield from ()
