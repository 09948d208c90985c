"""CoNLL files: a token a line with its tags in columns, and a blank line behind each sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import TaskError
from .findings import Findings
from .lines import Lines

SUFFIXES = (".conll", ".bio", ".bmes", ".iob", ".txt")
DOCUMENT = "-DOCSTART-"  # begins a line that is no token's


def conll_rows(
    path: Path, text: str | None, label: str | None, findings: Findings, *further: str
) -> Iterator[tuple[int, list[list[str]]]]:
    """(line of the first token, [tokens, tags]) of each sentence; also of `further` columns.

    Columns are numbered from 1, or from the last as -1; by default the first and the last are
    read. They are separated by tabs, where a line has one, or else by spaces. With `label` ""
    there need not be any tags.
    """
    wanted = [_number(path, text, 1), _number(path, label or None, -1)]
    wanted += [_number(path, one, 0) for one in further]
    fewest = 2 if label != "" else 1
    sentence: list[list[str]] = []  # a row of each token
    begin, width, bad = 0, 0, False
    with Lines(path) as lines:
        for line in lines:
            stripped = line.strip("\r\n")
            if not stripped.strip() or stripped.startswith(DOCUMENT):
                if sentence and not bad:
                    yield begin, [list(column) for column in zip(*sentence, strict=True)]
                sentence, bad = [], False
                continue
            if bad:
                continue
            columns = stripped.split("\t") if "\t" in stripped else stripped.split()
            width = width or len(columns)
            if len(columns) < fewest:
                detail = f"{stripped[:40]!r}; expected a token, a tab or spaces, and its tag"
                findings.reject(lines.number, "only one column", detail)
                bad = True
                continue
            if len(columns) != width:
                findings.reject(
                    lines.number,
                    f"not as many columns as the first line's {width}",
                    f"it has {len(columns)}: {stripped[:40]!r}",
                )
                bad = True
                continue
            if max(wanted) >= width or min(wanted) < -width:
                raise TaskError(
                    f"{path}: line {lines.number} has {width} columns; expected --text, --label "
                    f"and --auxiliary to be numbers from 1 to {width}, or -1 for the last."
                )
            if not sentence:
                begin = lines.number
            sentence.append([columns[at].strip() for at in wanted])
        if sentence and not bad:
            yield begin, [list(column) for column in zip(*sentence, strict=True)]
        findings.advice = lines.advice


def _number(path: Path, given: str | None, usual: int) -> int:
    """The place of a column among a line's."""
    try:
        number = usual if given is None else int(given)
    except ValueError:
        number = 0
    if not number:
        raise TaskError(
            f"{path}: columns of such a file have numbers, from 1 on or from -1 back. Got "
            f"{given!r} for --text, --label or --auxiliary."
        )
    return number - (number > 0)
