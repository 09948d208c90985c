"""What `elman predict` says of texts, by the model's task: which it takes, what it prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..data.findings import Findings
from ..data.readers import Row, read_rows
from ..data.schemes import SchemeError
from ..data.tagged import Text
from ..data.tagtable import as_given, tagged_rows
from ..data.text import TOKENS
from ..data.values import accepted, as_text
from ..errors import TaskError
from ..models.answers import Numbered
from ..models.base import TrainedModel
from ..models.classifier import TrainedClassifier
from ..models.forecaster import TrainedForecaster
from ..models.language import TrainedLanguageModel
from ..models.regressor import TrainedRegressor
from ..models.series import TrainedSeriesClassifier, TrainedSeriesRegressor
from ..models.tagger import TrainedTagger
from ..report.spans import FOOT, FORMATS, HEAD, as_conll, as_html, as_json, as_line
from .answer import Answer, Given, OnEach
from .forecast_answers import Forecasts
from .series_answers import OfSeries


class OfTexts(OnEach):
    """What answers on texts, from files of all kinds."""

    def __init__(
        self, model: TrainedClassifier | TrainedRegressor, form: str, top: int | None = None
    ) -> None:
        whose = "a regressor" if isinstance(model, TrainedRegressor) else "a classifier"
        super().__init__(model, form, whose, top)
        self.split, self.longest = TOKENS[model.tokens], model.max_length
        self.limit, self.cut = f"the network reads the first {model.max_length} {model.tokens}", 0

    def rows(self, file: Path, column: str | None, findings: Findings) -> Iterator[Row]:
        return read_rows(file, [column or "text"], findings)

    def usable(
        self, rows: Iterable[Row], column: str, findings: Findings
    ) -> Iterator[tuple[int | str, str]]:
        for place, (text,) in accepted(rows, {column: as_text}, findings):
            self.cut += len(self.split(text)) > self.longest
            yield place, text

    def named(self, place: dict[str, Any], one: Any) -> tuple[dict[str, Any], str]:
        return {**place, "text": one}, one

    def remarks(self) -> Iterator[str]:
        if self.cut:
            yield f"{self.cut:,} of the texts: {self.limit}"


class Spans(Answer):
    """The spans that a tagger finds, with their probabilities."""

    def __init__(self, model: TrainedTagger, form: str) -> None:
        if form not in FORMATS:
            raise TaskError(f"--format must be one of {', '.join(FORMATS)}. Got {form!r}.")
        self.model, self.form = model, form
        self.labels = sorted({tag[2:] for tag in model.labels_ if tag[2:]})
        self.begin, self.end = (HEAD, FOOT) if form == "html" else ("", "")

    def rows(self, file: Path, column: str | None, findings: Findings) -> Iterator[Row]:
        return tagged_rows(file, column, "", findings)

    def usable(
        self, rows: Iterable[Row], column: str, findings: Findings
    ) -> Iterator[tuple[int | str, Text]]:
        # Spaces around a text count as its places do.
        for place, values in rows:
            try:
                yield place, as_given(values[0], column)
            except SchemeError as error:
                findings.reject(place, error.reason, error.detail)

    def __call__(self, given: Given) -> Iterator[str]:
        found = self.model.predict_spans([text for _, text in given])
        show: dict[str, Callable[[dict[str, Any], Text, Any], str]] = {
            "text": lambda _, text, spans: as_line(text, spans),
            "jsonl": as_json,
            "conll": lambda _, text, spans: as_conll(
                text, spans, self.model.tokens, self.model.scheme_
            ),
            "html": lambda _, text, spans: as_html(text, spans, self.labels),
        }
        for (place, text), spans in zip(given, found, strict=True):
            yield show[self.form](place, text, spans)


def answers_of(
    model: TrainedModel, form: str, data: Mapping[str, Any], top: int | None = None
) -> Answer:
    """What answers for a model, in a form; `data` says what its report does of its data."""
    if top is not None and isinstance(model, (TrainedForecaster, Numbered)):
        raise TaskError("--top is for classifiers; this model tells numbers.")
    if isinstance(model, TrainedForecaster):
        return Forecasts(model, form, data)
    if isinstance(model, (TrainedSeriesClassifier, TrainedSeriesRegressor)):
        return OfSeries(model, form, data, top)
    if isinstance(model, TrainedLanguageModel):
        raise TaskError(
            "A language model has no labels to predict. To go on with a text: elman generate MODEL "
            "--prompt TEXT; for how likely a text is: elman score MODEL TEXT."
        )
    if isinstance(model, TrainedTagger):
        if top is not None:
            raise TaskError("--top is for classifiers; this model is a tagger.")
        return Spans(model, form)
    assert isinstance(model, (TrainedClassifier, TrainedRegressor))
    return OfTexts(model, form, top)
