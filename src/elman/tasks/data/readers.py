"""Tables of texts and labels from CSV, TSV and JSON Lines files.

Every row of the file ends up in the table or is accounted for with its line number: nothing is
dropped in silence. Files are UTF-8, with or without a byte order mark.
"""

import csv
import difflib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import TaskError, places

SUFFIXES = {".csv": ",", ".tsv": "\t", ".jsonl": None, ".ndjson": None}


@dataclass(frozen=True)
class Table:
    """Texts, their labels, the line each began at, and what the reader has to say about them."""

    texts: list[str]
    labels: list[str]
    lines: list[int]
    empty: list[int] = field(default_factory=list)  # lines left out, as `skip_empty` asked
    notes: list[str] = field(default_factory=list)  # for the user's eyes


def read_table(path: str | Path, text: str, label: str, *, skip_empty: bool = False) -> Table:
    """Read the columns `text` and `label` of a file.

    The suffix says what the file is: `.csv` (comma), `.tsv` (tab), both with a header line and
    double quotes around values that need them, or `.jsonl`/`.ndjson` (an object a line). Spaces
    around a value don't count. A row without text or label is an error, or, with `skip_empty`,
    left out and listed in `Table.empty`.
    """
    path = Path(path)
    if text == label:
        raise TaskError(f"The text and the label are both column {text!r}; name two columns.")
    if path.suffix.lower() not in SUFFIXES:
        raise TaskError(
            f"{path}: can't tell the format from the suffix {path.suffix!r}; "
            f"expected one of {', '.join(SUFFIXES)}."
        )
    content = decode(path)
    delimiter = SUFFIXES[path.suffix.lower()]
    notes: list[str] = []
    if delimiter is None:
        rows = _json_rows(path, content, text, label)
    else:
        rows = _separated_rows(path, content, delimiter, text, label, notes)

    texts, labels, lines, empty = [], [], [], []
    for line, one_text, one_label in rows:
        if not one_text or not one_label:
            empty.append(line)
            continue
        texts.append(one_text)
        labels.append(one_label)
        lines.append(line)
    if empty and not skip_empty:
        raise TaskError(
            f"{path}: {len(empty)} of {len(empty) + len(texts)} rows have no {text!r} or no "
            f"{label!r} ({places(empty)}); fill them in, or leave them out with --skip-empty."
        )
    if not texts:
        raise TaskError(f"{path}: no row has both a {text!r} and a {label!r}.")
    return Table(texts, labels, lines, empty, notes)


def decode(path: Path) -> str:
    """The text of a UTF-8 file; the errors name the lines and the remedy."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise TaskError(f"{path}: there is no such file.") from None
    except IsADirectoryError:
        raise TaskError(f"{path}: is a folder; name a file in it.") from None
    except OSError as error:
        raise TaskError(f"{path}: can't be read ({error.strerror}).") from None
    if not content.strip():
        raise TaskError(f"{path}: is empty.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    bad = [n for n, line in enumerate(content.split(b"\n"), 1) if not _is_utf8(line)]
    encoding = _likely_encoding(content)
    raise TaskError(
        f"{path}: {len(bad)} {'line is' if len(bad) == 1 else 'lines are'} not UTF-8 "
        f"({places(bad)}); convert the file with "
        f"`iconv -f {encoding} -t UTF-8 {path.name} > utf8{path.suffix}`"
        f"{'' if encoding != 'ENCODING' else ', naming its encoding'}."
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _likely_encoding(content: bytes) -> str:
    """The name of the encoding that the whole file can be read in, as a hint."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    try:
        content.decode("gb18030")
    except UnicodeDecodeError:
        return "ENCODING"
    return "GB18030"


def _separated_rows(
    path: Path, content: str, delimiter: str, text: str, label: str, notes: list[str]
) -> Iterator[tuple[int, str, str]]:
    """(line, text, label) of each row of a CSV or TSV file."""
    # A long text is no error; the module's default limit is 131,072 characters a value.
    csv.field_size_limit(sys.maxsize if sys.maxsize < 2**31 else 2**31 - 1)
    # Strict: without it an unclosed quote swallows the rest of the file into one value.
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    begin = 1  # the line on which the row being read begins
    spanning: list[int] = []
    try:
        header = [name.strip() for name in next(reader)]
        columns = _column(path, header, text), _column(path, header, label)
        begin = reader.line_num + 1
        for row in reader:
            line, begin = begin, reader.line_num + 1
            if not row:
                continue  # a blank line is no row
            if len(row) != len(header):
                raise TaskError(
                    f"{path}: line {line} has {_count(len(row), 'value')}, the header "
                    f"{len(header)}; put double quotes around a value that contains "
                    f"{'a comma' if delimiter == ',' else 'a tab'} or a line break."
                )
            if begin - line > 1:
                spanning.append(line)
            yield line, _clean(row[columns[0]], path, line), _clean(row[columns[1]], path, line)
    except csv.Error as error:
        raise TaskError(
            f"{path}: the row that begins at line {begin} can't be read ({error}); double quotes "
            'must close, and a double quote inside quotes is written twice ("").'
        ) from None
    if spanning:
        notes.append(f"{_count(len(spanning), 'row')} over several lines ({places(spanning)})")


def _json_rows(path: Path, content: str, text: str, label: str) -> Iterator[tuple[int, str, str]]:
    """(line, text, label) of each object of a JSON Lines file."""
    for line, source in enumerate(content.split("\n"), 1):
        if not source.strip():
            continue
        try:
            row = json.loads(source)
        except (json.JSONDecodeError, RecursionError) as error:
            raise TaskError(f"{path}: line {line} is not JSON ({error}).") from None
        if not isinstance(row, dict):
            raise TaskError(
                f"{path}: line {line} holds {type(row).__name__} instead of an object; "
                f'expected {{"{text}": ..., "{label}": ...}}.'
            )
        _column(path, list(row), text, line)
        _column(path, list(row), label, line)
        values = []
        for name in (text, label):
            value = row[name]
            allowed = (str,) if name == text else (str, int)  # bool is an int
            if value is not None and not isinstance(value, allowed):
                raise TaskError(
                    f"{path}: {name!r} in line {line} is {json.dumps(value)[:40]}; "
                    f"expected {'a string' if name == text else 'a string or a whole number'}."
                )
            values.append(_clean("" if value is None else _as_text(value), path, line))
        yield line, values[0], values[1]


def _as_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _column(path: Path, header: list[str], name: str, line: int = 1) -> int:
    """Where the column `name` stands in the header."""
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise TaskError(f"{path}: line {line} names {name!r} more than once; rename one of them.")
    close = difflib.get_close_matches(name, header, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    there = ", ".join(repr(column) for column in header[:20]) or "none"
    raise TaskError(f"{path}: no column {name!r} in line {line}; there are {there}.{hint}")


def _clean(value: str, path: Path, line: int) -> str:
    """The value without spaces around it; refuses half characters, which can't be written again."""
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise TaskError(f"{path}: line {line} contains half of a surrogate pair; correct it.")
    return value.strip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
