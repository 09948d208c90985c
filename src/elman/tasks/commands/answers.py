"""What `elman predict` says of texts, by the model's task: which it takes, what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from ..models.base import TrainedModel
from ..models.classifier import TrainedClassifier
from ..models.forecaster import TrainedForecaster
from ..models.language import TrainedLanguageModel
from ..models.regressor import TrainedRegressor
from ..models.series import TrainedSeriesModel, TrainedSeriesRegressor
from ..models.tagger import TrainedTagger
from ..models.texts import TrainedTextModel
from ..report.spans import FOOT, FORMATS, HEAD, as_conll, as_html, as_json, as_line, one_line
from .answer import Answer, with_chances
from .forecast_answers import Forecasts
from .series_answers import SeriesAnswers


class _OfTexts(Answer):
    """What answers on texts, from files of all kinds."""

    def __init__(self, model: TrainedTextModel, form: str, whose: str) -> None:
        super().__init__(form, whose)
        self.split, self.longest = TOKENS[model.tokens], model.max_length
        self.limit, self.cut = f"the network reads the first {model.max_length} {model.tokens}", 0

    def rows(self, file: Path, column: str | None, findings: Findings) -> Iterator[Row]:
        """The texts of a file, as their values are."""
        return read_rows(file, [column or "text"], findings)

    def usable(
        self, rows: Iterable[Row], column: str, findings: Findings
    ) -> Iterator[tuple[int | str, str]]:
        """The places and texts that can be used."""
        for place, (text,) in accepted(rows, {column: as_text}, findings):
            yield place, text

    def taken(self, given: Sequence[tuple[dict[str, Any], Any]]) -> list[str]:
        """The texts; those that are too long are counted."""
        texts = [text for _, text in given]
        self.cut += sum(len(self.split(text)) > self.longest for text in texts)
        return texts

    def remarks(self) -> Iterator[str]:
        """What there is to say at the end."""
        if self.cut:
            yield f"{self.cut:,} of the texts: {self.limit}"


class Labels(_OfTexts):
    """The labels of a classifier with their probabilities: of each text one, the `top` likeliest,
    or, where texts have several, those above the threshold."""

    def __init__(self, model: TrainedClassifier, form: str, top: int | None = None) -> None:
        super().__init__(model, form, "a classifier")
        self.model, self.top = model, top

    def __call__(self, given: Sequence[tuple[dict[str, Any], Any]]) -> Iterator[str]:
        """The lines on some texts and their places."""
        labels, several = self.model.classes_.tolist(), self.model.several_
        rows = self.model.predict_proba(self.taken(given)).tolist()
        for (place, text), chances in zip(given, rows, strict=True):
            pairs = list(zip(labels, chances, strict=True))
            best = self.model.named(chances)
            listed = sorted(pairs, key=lambda pair: -pair[1])[: self.top] if self.top else best
            if self.form == "jsonl":
                names = [name for name, _ in best]
                said = {"labels": names} if several else {"label": names[0]}
                yield with_chances({**place, "text": text, **said}, listed if self.top else pairs)
            elif several:
                named = " ".join(f"{one_line(str(name))}/{chance:.3f}" for name, chance in listed)
                yield f"{named}\t{one_line(text)}"
            else:
                shown = [f"{one_line(str(name))}\t{chance:.3f}\t" for name, chance in listed]
                yield "".join(shown) + one_line(text)


class Numbers(_OfTexts):
    """The numbers of a regressor."""

    def __init__(self, model: TrainedRegressor, form: str) -> None:
        super().__init__(model, form, "a regressor")
        self.model = model

    def __call__(self, given: Sequence[tuple[dict[str, Any], Any]]) -> Iterator[str]:
        """The lines on some texts and their places."""
        values = self.model.predict(self.taken(given)).tolist()
        for (place, text), value in zip(given, values, strict=True):
            if self.form == "jsonl":
                yield json.dumps({**place, "text": text, "value": value}, ensure_ascii=False)
            else:
                yield f"{value:.6g}\t{one_line(text)}"


class Spans(Answer):
    """The spans that a tagger finds, with their probabilities."""

    def __init__(self, model: TrainedTagger, form: str) -> None:
        if form not in FORMATS:
            raise TaskError(f"--format must be one of {', '.join(FORMATS)}. Got {form!r}.")
        self.model, self.form = model, form
        self.labels = sorted({tag[2:] for tag in model.labels_ if tag[2:]})
        self.begin, self.end = (HEAD, FOOT) if form == "html" else ("", "")

    def rows(self, file: Path, column: str | None, findings: Findings) -> Iterator[Row]:
        """The texts of a file, or its lists of tokens, as their values are."""
        return tagged_rows(file, column, "", findings)

    def usable(
        self, rows: Iterable[Row], column: str, findings: Findings
    ) -> Iterator[tuple[int | str, Text]]:
        """The places and texts that can be used; spaces around a text count as its places do."""
        for place, values in rows:
            try:
                yield place, as_given(values[0], column)
            except SchemeError as error:
                findings.reject(place, error.reason, error.detail)

    def __call__(self, given: Sequence[tuple[dict[str, Any], Any]]) -> Iterator[str]:
        """The lines on some texts and their places."""
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
    numbers = (TrainedForecaster, TrainedSeriesRegressor, TrainedRegressor)
    if top is not None and isinstance(model, numbers):
        raise TaskError("--top is for classifiers; this model tells numbers.")
    if isinstance(model, TrainedForecaster):
        return Forecasts(model, form, data)
    if isinstance(model, TrainedSeriesModel):
        return SeriesAnswers(model, form, data, top)
    if isinstance(model, TrainedLanguageModel):
        raise TaskError(
            "A language model has no labels to predict. To go on with a text: elman generate MODEL "
            "--prompt TEXT; for how likely a text is: elman score MODEL TEXT."
        )
    if isinstance(model, TrainedTagger):
        if top is not None:
            raise TaskError("--top is for classifiers; this model is a tagger.")
        return Spans(model, form)
    if isinstance(model, TrainedRegressor):
        return Numbers(model, form)
    assert isinstance(model, TrainedClassifier)
    return Labels(model, form, top)
