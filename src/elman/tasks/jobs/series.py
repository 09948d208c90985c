"""From a file of series to a saved classifier or regressor and its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from sklearn.metrics import accuracy_score

from ..data.fingerprint import fingerprint
from ..data.seriestable import SeriesTable, read_series, sizes
from ..data.split import split_rows
from ..errors import TaskError
from ..models.series import TrainedSeriesClassifier, TrainedSeriesModel, TrainedSeriesRegressor
from ..networks.layers import layer_name
from ..report.deviation import Deviation
from ..report.evaluation import Evaluation
from ..report.tables import show_facts
from ..training.progress import under_way
from .job import Parts, Plan, listed
from .rows import OfRows, labels_of
from .series_baselines import predicted, series_baselines

Rows = tuple[list[np.ndarray], list[Any]]  # series, and their labels or numbers


class Recognise(OfRows[TrainedSeriesModel, SeriesTable]):
    """Series, and a label or a number of each."""

    NOUN = "series"
    USE = "elman predict {} --file FILE"
    HUB = "tabular-classification"
    COLUMNS = ("id", "time", "values", "label")

    @classmethod
    def read(
        cls, model: TrainedSeriesModel, file: Path, columns: Mapping[str, Any], skip_bad: bool
    ) -> SeriesTable:
        """A table whose labels the model knows."""
        numbers = isinstance(model, TrainedSeriesRegressor)
        table = read_series(file, numbers=numbers, skip_bad=skip_bad, **columns)
        if isinstance(model, TrainedSeriesClassifier):
            known = labels_of(model)
            if strange := sorted({*table.labels} - {*known}):
                raise TaskError(
                    f"{file}: {len(strange)} label(s) never seen in training: "
                    f"{', '.join(map(repr, strange[:5]))}; expected one of {', '.join(known[:20])}."
                )
        return table

    def rows(self, data: SeriesTable) -> Rows:
        """The series, and what is known of them."""
        return data.series, data.labels

    def whole(self) -> str:
        return f"{len(self.data):,} series"

    def source(self, data: SeriesTable) -> dict[str, Any]:
        return {**data.source, **fingerprint(data.series, data.labels, "series")}

    def describe(self, console: Console) -> None:
        table, model = self.data, self.model
        known = ""
        if isinstance(model, TrainedSeriesClassifier):
            counts = Counter(table.labels).most_common()
            if len(counts) < 2:
                raise TaskError(
                    f"{table.source['file']}: every series has the label {counts[0][0]!r}; "
                    "expected at least two different labels."
                )
            known = f": {listed(counts, repr)}"
        console.print(f"{self.whole()} of {sizes(table.series)}{known}")
        for note in table.notes:
            console.print(note)
        if gaps := sum(int(np.isnan(one).sum()) for one in table.series):
            console.print(f"{gaps / sum(one.size for one in table.series):.1%} of values missing")

    def cut(self, fraction: float, console: Console) -> tuple[Rows, Rows]:
        """Of each label as many; equal series stay on one side."""
        table = self.data
        named = isinstance(self.model, TrainedSeriesClassifier)
        strata = table.labels if named else [""] * len(table)
        prints = [blake2b(one.tobytes(), digest_size=8).hexdigest() for one in table.series]
        split = split_rows(prints, strata, fraction, self.model.random_state, "series")
        if split.repeated:
            console.print(f"{split.repeated:,} repeat an earlier one: they stay on its side")
        learn, held_out = (table.take(rows.tolist()) for rows in (split.train, split.valid))
        return learn, held_out

    def further(self, parts: Parts, plan: Plan, found: Any, console: Console) -> None:
        """Nearest neighbours and ROCKET."""
        if found is None or not plan.baseline:
            return
        known = parts.held_out[1]
        numbers = isinstance(found, Deviation)
        scores = {layer_name(self.model.cell, self.model.backend): _score(found)}
        for name, baseline in series_baselines(numbers, self.model.seed_).items():
            with under_way(console, name):
                answers = predicted(baseline, parts.learn, parts.held_out[0])
            if numbers:
                scores[name] = _score(Deviation(np.asarray(known, np.float64), answers))
            else:
                scores[name] = f"accuracy {accuracy_score(known, answers):.1%}"
        console.print()
        show_facts(scores, console)


def _score(found: Evaluation | Deviation) -> str:
    return found.words() if isinstance(found, Deviation) else f"accuracy {found.accuracy:.1%}"
