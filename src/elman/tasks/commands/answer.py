"""What `elman predict` asks of a task: which rows it takes, and what it prints of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..data.findings import Findings
from ..data.readers import Row
from ..errors import TaskError
from ..models.answers import Labelled, Numbered
from ..report.spans import one_line

Given = Sequence[tuple[dict[str, Any], Any]]  # places, and the texts or series there


class Answer:
    """The answers of a model, in a form; a subclass for each kind of model."""

    begin = end = ""  # what stands before all answers, and after them
    file: Path | None = None  # that is read where none is given; None: the input is

    def __init__(self, form: str, whose: str) -> None:
        if form not in ("text", "jsonl"):
            raise TaskError(f"--format must be text or jsonl for {whose}. Got {form!r}.")
        self.form = form

    def rows(self, file: Path, column: str | None, findings: Findings) -> Iterator[Row]:
        """The rows of a file, as their values are."""
        raise NotImplementedError

    def usable(
        self, rows: Iterable[Row], column: str, findings: Findings
    ) -> Iterator[tuple[int | str, Any]]:
        """The places and texts or series that can be used."""
        raise NotImplementedError

    def __call__(self, given: Given) -> Iterator[str]:
        """The lines on some texts or series."""
        raise NotImplementedError

    def remarks(self) -> Iterator[str]:
        """What there is to say at the end."""
        yield from ()


class OnEach(Answer):
    """A label or a number of each text or series.

    Of labels there is one, the `top` likeliest or, where a text has several, those above the
    threshold.
    """

    def __init__(
        self, model: Labelled | Numbered, form: str, whose: str, top: int | None = None
    ) -> None:
        super().__init__(form, whose)
        self.model, self.top = model, top

    def named(self, place: dict[str, Any], one: Any) -> tuple[dict[str, Any], str]:
        """A text or series as JSON has it, and in words."""
        raise NotImplementedError

    def __call__(self, given: Given) -> Iterator[str]:
        rows, model = [one for _, one in given], self.model
        if isinstance(model, Numbered):
            answers = map(self._number, model.predict(rows).tolist())
        else:
            answers = map(self._labels, model.predict_proba(rows).tolist())
        for row, (fields, words) in zip(given, answers, strict=True):
            said, shown = self.named(*row)
            if self.form == "jsonl":
                yield json.dumps({**said, **fields}, ensure_ascii=False)
            else:
                yield f"{words}\t{one_line(shown)}"

    def _number(self, value: float) -> tuple[dict[str, Any], str]:
        return {"value": value}, f"{value:.6g}"

    def _labels(self, chances: Sequence[float]) -> tuple[dict[str, Any], str]:
        assert isinstance(self.model, Labelled)
        pairs = list(zip(self.model.classes_.tolist(), chances, strict=True))
        best = self.model.named(chances)
        listed = sorted(pairs, key=lambda pair: -pair[1])[: self.top] if self.top else best
        told = {str(name): round(chance, 6) for name, chance in (listed if self.top else pairs)}
        names = [name for name, _ in best]
        fields = {"labels": names} if self.model.several_ else {"label": names[0]}
        between, apart = ("/", " ") if self.model.several_ else ("\t", "\t")
        shown = apart.join(f"{one_line(str(n))}{between}{chance:.3f}" for n, chance in listed)
        return {**fields, "probabilities": told}, shown
