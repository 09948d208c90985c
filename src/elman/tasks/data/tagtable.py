"""Tables of texts and the spans in them, from any file that can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import TaskError
from .conll import SUFFIXES, conll_rows
from .findings import Findings
from .readers import Row, read_rows, suffix_of
from .schemes import SchemeError, Span, read_tags, write_tags
from .table import judge
from .tagged import Text, are_tags, find_scheme, to_bioes

Meant = tuple[Text, Sequence[Any]]  # a text, and its tags or spans


@dataclass(frozen=True)
class TagTable:
    """Texts, the tags of their tokens in a scheme, the line each began at, and notes.

    `auxiliary` are further tags of the same tokens, in BIOES, or None.
    """

    texts: list[Text]
    tags: list[list[str]]
    lines: list[int | str]
    scheme: str
    notes: list[str] = field(default_factory=list)  # for the user's eyes
    unit: str = "line"
    source: dict[str, str] = field(default_factory=dict)  # where all this comes from
    auxiliary: list[list[str]] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def spans(self, rows: Sequence[int] | None = None) -> list[list[Span]]:
        """The spans of some texts, or of all; they count tokens."""
        tags = self.tags if rows is None else [self.tags[row] for row in rows]
        return [read_tags(row, self.scheme) for row in tags]

    def take(self, rows: Sequence[int]) -> tuple[list[Any], ...]:
        """The texts and tags with the given numbers and, if there are any, auxiliary tags."""
        columns = (self.texts, self.tags, self.auxiliary)
        return tuple([column[row] for row in rows] for column in columns if column is not None)


def tagged_rows(
    path: Path, text: str | None, label: str | None, findings: Findings, *further: str
) -> Iterator[Row]:
    """(place, [text, labels, ...]) of each row of a file, as its values are."""
    if suffix_of(path) in SUFFIXES and not path.is_dir():
        yield from conll_rows(path, text, label, findings, *further)
        return
    if path.is_dir():
        raise TaskError(f"{path}: is a folder; expected a file of texts and their tags or spans.")
    columns = [text or "text"] + ([label or "label"] if label != "" else [])
    yield from read_rows(path, [*columns, *further], findings)


def as_given(value: Any, column: str) -> Text:
    """A text, or the list of tokens that a value stands for."""
    if isinstance(value, str) and value.strip():
        _check_utf8(value)
        return value
    if isinstance(value, list) and value and all(isinstance(t, str) and t.strip() for t in value):
        _check_utf8("".join(value))
        return value
    if not value:
        raise SchemeError(0, f"no {column!r}", "")
    raise SchemeError(
        0, f"{column!r} is no text", f"{str(value)[:40]!r}; expected a string, or a list of tokens"
    )


def _check_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SchemeError(0, "not UTF-8", "") from None


def _strings(value: Any) -> Iterator[str]:
    """Every string in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def as_meant(text: Any, label: Any, names: Sequence[str] = ("text", "label")) -> Meant:
    """A row's text, and its tags or spans; where both are strings, as in a table, they are cut.

    >>> as_meant("Ann ran", "B-name O")
    (['Ann', 'ran'], ['B-name', 'O'])
    >>> as_meant("Ann ran", '[[0, 3, "name"]]')
    ('Ann ran', [[0, 3, 'name']])
    """
    given = as_given(text, names[0])
    if isinstance(label, str) and label.strip().startswith("["):
        try:
            label = json.loads(label)
        except (ValueError, RecursionError) as error:
            raise SchemeError(0, f"{names[1]!r} is not JSON", str(error)) from None
    if isinstance(label, str) and label.strip():
        _check_utf8(label)
        return given.split() if isinstance(given, str) else given, label.split()
    if isinstance(label, list) or label is None or label == "":
        rows = list(label or [])
        kinds = {isinstance(one, str) for one in rows}
        if len(kinds) < 2 and (rows or label == []):
            _check_utf8("".join(_strings(rows)))
            return given, rows
    raise SchemeError(
        0,
        f"{names[1]!r} is no list of tags or spans",
        f'{str(label)[:40]!r}; expected ["B-city", "O", ...] or [[0, 2, "city"], ...]',
    )


def read_tagged(
    path: str | Path,
    text: str | None = None,
    label: str | None = None,
    auxiliary: str | None = None,
    *,
    tokens: str = "characters",
    scheme: str = "auto",
    skip_bad: bool = False,
) -> TagTable:
    """Read the texts of a file with their tags or spans.

    `.conll`, `.bio` (and others of `SUFFIXES`) are CoNLL columns. Of `.jsonl`, `.csv`, `.tsv` and
    `.parquet` files the column `text` holds strings or lists of tokens, `label` lists of tags or
    of spans. `auxiliary` is a column of further ones, whose scheme is found by itself. Bad rows are
    an error that counts them by reason and names their lines; with `skip_bad` they are left out,
    and told in `notes`.

    Raises:
        TaskError: bad rows; a file that can't be read; columns that it hasn't; no good row.
    """
    path, findings = Path(path), Findings()
    further = [] if auxiliary is None else [auxiliary]
    names = [text or "text", label or "label", *further]
    given: list[tuple[int | str, list[Meant]]] = []  # of each row, its text with labels of a column
    for place, (one, *labels) in tagged_rows(path, text, label, findings, *further):
        try:
            meant = [
                as_meant(one, row, (names[0], name))
                for row, name in zip(labels, names[1:], strict=True)
            ]
            given.append((place, meant))
        except SchemeError as error:
            findings.reject(place, error.reason, error.detail)
    schemes = [
        find_scheme((columns[at][1] for _, columns in given), one)
        for at, one in enumerate([scheme, *("auto" for _ in further)])
    ]
    scheme, source = schemes[0], {"file": str(path)}
    beside: list[list[str]] | None = [] if further else None
    table = TagTable([], [], [], scheme, findings.notes, findings.unit, source, beside)
    lined = suffix_of(path) in SUFFIXES
    for place, meant in given:
        one, tags = meant[0][0], list[list[str]]()
        try:
            for (_, row), how in zip(meant, schemes, strict=True):
                tags.append(to_bioes(one, tokens, row, how))
        except SchemeError as error:
            row = meant[len(tags)][1]
            line = place + error.at if lined and isinstance(place, int) and are_tags(row) else place
            findings.reject(line, error.reason, error.detail)
            continue
        table.texts.append(one)
        table.tags.append(write_tags(read_tags(tags[0], "BIOES"), len(tags[0]), scheme))
        table.lines.append(place)
        if beside is not None:
            beside.append(tags[1])
    judge(path, findings, len(table), skip_bad)
    if not len(table):
        raise TaskError(f"{path}: no text with tags; expected at least one.")
    table.source.update(
        {n: c for n, c in (("text", text), ("label", label), ("auxiliary", auxiliary)) if c}
    )
    return table
