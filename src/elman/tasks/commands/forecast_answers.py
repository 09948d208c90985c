"""What `elman predict` says of series whose future is to be told: quantiles of each later step."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..data.findings import Findings
from ..data.forecasttable import read_forecast_table
from ..data.history import History
from ..data.readers import Row
from ..data.series import read_line
from ..models.forecaster import TrainedForecaster
from .answer import Answer, Given

COLUMNS = ("id", "time", "target", "known")


class Forecasts(Answer):
    """A row for each step that is told: series, time, quantiles."""

    def __init__(self, model: TrainedForecaster, form: str, data: Mapping[str, Any]) -> None:
        super().__init__(form, "forecasts (text: CSV)")
        self.model = model
        self.columns = {name: data.get(name) for name in COLUMNS}
        self.file = Path(data["file"]) if "file" in data else None  # if none is given
        names = ("series", "time", *map(str, model.quantiles))
        self.begin = "" if form == "jsonl" else f"{_csv(names)}\n"

    def rows(self, file: Path, column: str | None, findings: Findings) -> Iterator[Row]:
        """The series of a file, whose columns are those of training."""
        table = read_forecast_table(file, self.columns)
        for number, one in enumerate(table.histories, 1):
            yield one.name or number, [one]

    def usable(
        self, rows: Iterable[Row], column: str, findings: Findings
    ) -> Iterator[tuple[int | str, History]]:
        for place, (given,) in rows:
            if isinstance(given, History):
                yield place, given
                continue
            try:
                (values,) = read_line(given)
            except ValueError as error:
                findings.reject(place, "no series of numbers", str(error))
                continue
            yield place, History(values)

    def __call__(self, given: Given) -> Iterator[str]:
        histories = [one for _, one in given]
        told, later = self.model.predict_quantiles(histories), self.model.later(histories)
        for (place, _), steps, times in zip(given, told.tolist(), later, strict=True):
            name = next(iter(place.values()))
            for time, values in zip(times, steps, strict=True):
                if self.form == "jsonl":
                    levels = dict(zip(map(str, self.model.quantiles), values, strict=True))
                    line = {"series": name, "time": time, "quantiles": levels}
                    yield json.dumps(line, ensure_ascii=False)
                else:
                    yield _csv([name, time, *(f"{value:.7g}" for value in values)])


def _csv(values: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
