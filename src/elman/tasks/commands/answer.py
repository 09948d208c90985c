"""What `elman predict` asks of a task: which rows it takes, and what it prints of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..data.findings import Findings
from ..data.readers import Row
from ..errors import TaskError


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

    def __call__(self, given: Sequence[tuple[dict[str, Any], Any]]) -> Iterator[str]:
        """The lines on some texts or series, and their places."""
        raise NotImplementedError

    def remarks(self) -> Iterator[str]:
        """What there is to say at the end."""
        yield from ()


def with_chances(answer: dict[str, Any], pairs: Iterable[tuple[Any, float]]) -> str:
    """An answer as a JSON object, with the probabilities of labels."""
    rounded = {str(name): round(chance, 6) for name, chance in pairs}
    return json.dumps({**answer, "probabilities": rounded}, ensure_ascii=False)
