"""Tables of texts and labels, from any file that can be read; the texts are on disk."""

from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TaskError, places
from .findings import Findings, count
from .readers import Row, read_rows, there_are
from .spool import Spool, Texts
from .values import LABEL, LABELS, NUMBER, accepted, as_label, as_number, as_text, labels_between


@dataclass(frozen=True)
class Table:
    """Texts, their labels, the line each began at, and what the reader has to say about them."""

    texts: Texts
    labels: np.ndarray  # (B,) of objects: a str, a tuple of several, or a float; equal ones are one
    lines: np.ndarray  # (B,) int64; of a folder: the numbers of its files
    notes: list[str] = field(default_factory=list)  # for the user's eyes
    unit: str = "line"  # what `lines` counts: line, row or file
    files: Sequence[str] | None = None  # of a folder: their names
    source: dict[str, str] = field(default_factory=dict)  # where all this comes from
    kind: str = LABEL  # of `labels`, see `values`

    def where(self, rows: Sequence[int]) -> str:
        """The places of some rows, in words: "lines 3, 7 and 2 more"."""
        named = [self.lines[row] if self.files is None else self.files[row] for row in rows]
        return places(named, self.unit, f"{self.unit}s")

    def check_labels(
        self, known: Collection[str], path: str | Path, remedy: str = "leave those rows out"
    ) -> None:
        """Refuses labels that a model has never seen in training, naming them and their places."""
        if found := self._unseen(known):
            raise TaskError(f"{path}: {found} Correct them, or {remedy}.")

    def of_labels(self, known: Collection[str], path: str | Path) -> "Table":
        """The rows whose labels a model has seen in training; a note on those that are left out."""
        found = self._unseen(known)
        if not found:
            return self
        names = set(known)
        rows = np.flatnonzero([names.issuperset(self.named(label)) for label in self.labels])
        if not len(rows):
            raise TaskError(f"{path}: {found} No row is left.")
        return replace(
            self,
            texts=self.texts[rows],
            labels=self.labels[rows],
            lines=self.lines[rows],
            files=None if self.files is None else [self.files[row] for row in rows.tolist()],
            notes=[*self.notes, f"{count(len(self.labels) - len(rows), 'row')} left out: {found}"],
        )

    def named(self, label: Any) -> tuple[str, ...]:
        """The labels that a row has."""
        return label if self.kind == LABELS else (label,)

    def _unseen(self, known: Collection[str]) -> str:
        """The labels that are not known, and where they stand; empty if there are none."""
        names = set(known)
        unknown: dict[str, list[int]] = {}
        for row, label in enumerate(self.labels):
            for one in self.named(label):
                if one not in names:
                    unknown.setdefault(one, []).append(row)
        if not unknown:
            return ""
        shown = [f"{label!r} ({self.where(rows)})" for label, rows in list(unknown.items())[:5]]
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        expected = ", ".join(repr(name) for name in sorted(names)[:20])
        return (
            f"{count(len(unknown), 'label')} never seen in training: {', '.join(shown)}{more}; "
            f"expected one of {expected}."
        )


class TableWriter:
    """Takes rows one after another and makes a `Table` of them; what it holds ends with `with`."""

    def __init__(self) -> None:
        self._texts, self._names = Spool(np.uint8), Spool(np.uint8)
        self._codes, self._lines = array("i"), array("q")
        self._labels: dict[Any, int] = {}

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *_: Any) -> None:
        with self._texts, self._names:
            pass

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, place: int | str, text: bytes, label: Any) -> None:
        """Add a row: its line, or its file's name; its text in UTF-8; what is known of it."""
        self._texts.append(text)
        self._codes.append(self._labels.setdefault(label, len(self._labels)))
        if isinstance(place, str):
            self._names.append(place.encode(errors="replace"))
        self._lines.append(place if isinstance(place, int) else len(self._codes))

    def finish(
        self, notes: list[str], unit: str = "line", kind: str = LABEL, **source: str
    ) -> Table:
        """The table of all rows."""
        names = Texts(self._names.finish())
        return Table(
            Texts(self._texts.finish()),
            np.array([*self._labels, None], object)[:-1][np.array(self._codes, np.int64)],
            np.array(self._lines, np.int64),
            notes,
            unit,
            names if len(names) else None,
            source,
            kind,
        )


def read_table(
    path: str | Path,
    text: str | None = None,
    label: str | None = None,
    *,
    kind: str | None = None,
    labels_separator: str | None = None,
    skip_bad: bool = False,
) -> Table:
    """Read the columns `text` and `label` of a file, or a folder of texts.

    `.csv`, `.tsv`, `.jsonl` (or `.ndjson`) and `.parquet` files have columns. In a folder every
    file `LABEL/NAME.txt` is a text, and the columns stay unnamed. Spaces around a value don't
    count. A bad row has no text or no label, a value of a wrong type, or more or fewer columns
    than the header; or it isn't UTF-8 or JSON. Bad rows are an error that counts them by reason
    and names their lines. With `skip_bad` they are left out, and `Table.notes` says the same.

    The texts go to a temporary file: a table takes some 40 bytes of memory a row.

    Args:
        path: the file or folder.
        text: the column of texts.
        label: the column of what is known of them.
        kind: what that is: "label", "labels" (several, as a list or with separators) or "number";
            by default "labels" where there is a separator or the first row has a list, else
            "label".
        labels_separator: what stands between several labels in a string.
        skip_bad: leave bad rows out.

    Raises:
        TaskError: bad rows; a file that can't be read; columns that it hasn't; no good row.
    """
    path = Path(path)
    if path.is_dir() and (text or label):
        raise TaskError(
            f"{path}: is a folder of texts, which has no columns; leave out their names."
        )
    if text is None or label is None:
        if not path.is_dir():
            raise TaskError(
                f"{path}: name the columns of texts and labels: --text and --label."
                f"{there_are(path)}"
            )
        text, label = "text", "label"
    if text == label:
        raise TaskError(f"The text and the label are both column {text!r}; name two columns.")
    if labels_separator is not None and not labels_separator.strip():
        raise TaskError("--labels-separator must be something other than spaces, such as ';'.")
    findings = Findings()
    with TableWriter() as writer:
        rows = read_rows(path, [text, label], findings)
        if kind is None:
            kind, rows = _kind_of(rows, labels_separator)
        meanings = {LABEL: as_label, NUMBER: as_number, LABELS: labels_between(labels_separator)}
        columns = {text: as_text, label: meanings[kind]}
        for place, (one_text, one_label) in accepted(rows, columns, findings):
            writer.add(place, one_text.encode(), one_label)
        judge(path, findings, len(writer), skip_bad)
        if not len(writer):
            raise TaskError(
                f"{path}: no row has both {text!r} and {label!r}; expected at least one."
            )
        source = {"file": str(path)}
        if not path.is_dir():
            source |= {"text": text, "label": label}
        if labels_separator is not None:
            source["labels_separator"] = labels_separator
        return writer.finish(findings.notes, findings.unit, kind, **source)


def _kind_of(rows: Iterator[Row], separator: str | None) -> tuple[str, Iterator[Row]]:
    """What is known of texts, by their first row, and all rows again."""
    first = next(rows, None)
    if first is None:
        return LABEL, rows
    several = separator is not None or isinstance(first[1][1], list)
    return LABELS if several else LABEL, chain([first], rows)


def judge(path: Path, findings: Findings, good: int, skip_bad: bool) -> None:
    """Bad rows are an error or, if they may be left out, a note."""
    if not findings:
        return
    total = findings.rows(len(findings) + good)
    listed = f"{len(findings):,} of {total} can't be used"
    if not skip_bad:
        first = f"{findings.advice}; or " if findings.advice else ""
        remedy = f"{first}correct them, or leave them out with --skip-bad."
        raise TaskError(f"{path}: {listed}:\n{findings}\n{remedy[0].upper()}{remedy[1:]}")
    findings.notes.insert(0, f"{listed} and are left out:\n{findings}")
