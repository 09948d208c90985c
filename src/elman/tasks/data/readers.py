"""The rows of CSV, TSV, JSON Lines and Parquet files and of folders of texts, one at a time.

A reader yields (place, values) for every row: its line (a row of Parquet, the name of a file), and
what the wanted columns hold there. What is no row it reports to `Findings`; nothing is dropped in
silence. What values mean is not its business: see `table`.
"""

import csv
import difflib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import TaskError, on_disk, places
from .encodings import open_text
from .findings import Findings, count
from .lines import LONGEST, Lines
from .parquet import parquet_names, parquet_rows

Row = tuple[int | str, Sequence[Any]]
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def read_rows(path: Path, columns: Sequence[str], findings: Findings) -> Iterator[Row]:
    """The wanted columns of every row of a file, or (text, folder's name) of a folder's texts.

    The suffix says what the file is: `.csv` or `.tsv`, both with a header line, values separated by
    commas, semicolons or tabs, and double quotes around those that need them; `.jsonl` or
    `.ndjson`, an object a line; `.parquet`. `-` is the standard input, as `.csv`. All text is
    UTF-8, or UTF-16 or UTF-32; all but `.parquet` may be compressed (`.csv.gz`).
    """
    if path.is_dir():
        findings.unit = "file"
        return _folder_rows(path, findings)
    suffix = ".csv" if str(path) == "-" else suffix_of(path)
    if suffix in (".csv", ".tsv"):
        return _separated_rows(path, "," if suffix == ".csv" else "\t", columns, findings)
    if suffix in (".jsonl", ".ndjson"):
        return _json_rows(path, columns, findings)
    if suffix == ".parquet":
        findings.unit = "row"
        return parquet_rows(path, columns, find_column)
    raise TaskError(
        f"{path}: can't tell the format from the suffix {path.suffix!r}; "
        f"expected {', '.join(TABLES)}, or a folder of texts."
    )


def is_table(path: Path) -> bool:
    """Whether a file has named columns, by its name."""
    return str(path) == "-" or suffix_of(path) in TABLES


def suffix_of(path: Path) -> str:
    """What a file's name ends with in lower case, `.gz` behind it aside.

    >>> suffix_of(Path("a.CSV.gz")), suffix_of(Path("a.csv"))
    ('.csv', '.csv')
    """
    suffix = path.suffix.lower()
    return path.with_suffix("").suffix.lower() if suffix == ".gz" else suffix


def _separated_rows(
    path: Path, delimiter: str, columns: Sequence[str], findings: Findings
) -> Iterator[Row]:
    # A long text is no error; the module's default limit is 131,072 characters a value.
    csv.field_size_limit(LONGEST)
    spanning: list[int] = []
    with Lines(path) as lines:
        delimiter = _delimiter(lines, columns, delimiter)
        # Strict: without it an unclosed quote swallows the rest of the file in silence.
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
        except csv.Error as error:
            reason, detail = _wrong(str(error))
            raise TaskError(
                f"{path}: line 1, the header, can't be read: {reason} ({detail})."
            ) from None
        if not header:
            raise TaskError(f"{path}: is empty; expected a header line and rows below it.")
        if lines.advice:
            raise TaskError(f"{path}: line 1, the header, is not UTF-8; {lines.advice}.")
        wanted = [find_column(path, header, name) for name in columns]
        many = f"not as many values as the header's {len(header)}"
        comma = {",": "a comma", ";": "a semicolon", "\t": "a tab"}[delimiter]
        while True:
            begin, offset = lines.number + 1, lines.offset
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                findings.reject(begin, *_wrong(str(error)))
                # Where the row was meant to end nobody knows: its other lines are read anew.
                lines.back(begin - 1, offset)
                next(lines)
                continue
            if not row:
                continue  # a blank line is no row
            if len(row) != len(header):
                findings.reject(
                    begin,
                    many,
                    f"it has {len(row)}; put double quotes around a value with {comma} or a line "
                    "break in it",
                )
                continue
            if lines.number > begin:
                spanning.append(begin)
            yield begin, [row[column] for column in wanted]
        findings.advice = lines.advice
    if spanning:
        several = f"{count(len(spanning), 'row')} over several lines"
        findings.notes.append(f"{several} ({places(spanning)})")


def _delimiter(lines: Lines, columns: Sequence[str], usual: str) -> str:
    """What separates the header's names: what finds all columns, or else what is usual."""
    for one in dict.fromkeys([usual, ",", ";", "\t"]):
        try:
            header = [name.strip() for name in next(csv.reader(lines, delimiter=one), [])]
        except csv.Error:
            header = []
        lines.back(0, lines.begin)
        if set(columns) <= set(header):
            return one
    return usual


def _wrong(error: str) -> tuple[str, str]:
    """What the csv module means: the reason, and more on it."""
    if "new-line" in error:
        remedy = "put double quotes around the value, or end lines with line feeds"
        return "a carriage return inside a value", remedy
    if "NUL" in error:  # in Python 3.10
        return "a NUL byte", "remove it"
    remedy = "quotes must close, and a double quote inside is written twice"
    return "double quotes that don't match", f"{error}; {remedy}"


def _json_rows(path: Path, columns: Sequence[str], findings: Findings) -> Iterator[Row]:
    known = False  # whether an object with all columns has been seen
    with Lines(path) as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                findings.reject(lines.number, "not JSON", f"{error.msg} at character {error.colno}")
                continue
            except RecursionError:
                findings.reject(lines.number, "JSON within JSON, too deep")
                continue
            except ValueError:  # Python's limit, against numbers made to keep it busy
                findings.reject(lines.number, "a whole number of too many digits")
                continue
            if not isinstance(row, dict):
                expected = ", ".join(f'"{name}": ...' for name in columns)
                detail = f"{type(row).__name__}, expected {{{expected}}}"
                findings.reject(lines.number, "no JSON object", detail)
                continue
            if not known:  # the first object stands for a header: a wrong name is told at once
                for name in columns:
                    find_column(path, list(row), name, lines.number)
                known = True
            yield lines.number, [row.get(name) for name in columns]
        findings.advice = lines.advice


def _folder_rows(path: Path, findings: Findings) -> Iterator[Row]:
    """(text, label) of each file `path/label/any.txt` or `.txt.gz`, in the order of their names."""
    strange: list[str] = []
    for folder in _entries(path):
        if not folder.is_dir():
            strange.append(folder.name)
            continue
        for entry in _entries(folder.path):
            name = f"{folder.name}/{entry.name}"
            if not entry.is_file() or suffix_of(Path(entry.name)) != ".txt":
                strange.append(name)
                continue
            with open_text(Path(entry.path)) as file:
                text = file.read(LONGEST + 1)
            if len(text) > LONGEST:
                findings.reject(name, f"longer than {LONGEST:,} bytes")
                continue
            yield name, [text.decode("utf-8-sig", "surrogateescape"), folder.name]
    if strange:
        named = places(strange, "entry", "entries")
        findings.notes.append(f"{len(strange):,} not read, being no LABEL/NAME.txt: {named}")


def _entries(path: Any) -> list[os.DirEntry[str]]:
    with on_disk(path, "read"), os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def column_names(path: Path) -> list[str]:
    """The columns of a table, in its order.

    Raises:
        TaskError: it is no table, or it is empty.
    """
    if str(path) == "-" or not is_table(path):
        expected = ", ".join(TABLES)
        raise TaskError(
            f"{path}: can't tell the format from the suffix {path.suffix!r}; expected {expected}."
        )
    suffix = suffix_of(path)
    if suffix == ".parquet":
        return parquet_names(path)
    with Lines(path) as lines:
        for line in lines:
            if suffix in (".csv", ".tsv"):
                rows = [next(csv.reader([line], delimiter=one), []) for one in ",;\t"]
                return [name.strip() for name in max(rows, key=len)]
            if line.strip():
                return _names_of_object(path, lines.number, line)
    raise TaskError(f"{path}: is empty; expected a header line and rows below it.")


def _names_of_object(path: Path, number: int, line: str) -> list[str]:
    try:
        return list(json.loads(line))
    except (ValueError, TypeError) as error:
        raise TaskError(f"{path}: line {number}: no JSON object ({error}).") from None


def there_are(path: Path) -> str:
    """What follows an error about columns that nobody has named: those that a table has."""
    if str(path) == "-" or not is_table(path):
        return ""
    return f" There are {', '.join(map(repr, column_names(path)[:20]))}."


def find_column(path: Path, header: Sequence[str], name: str, line: int = 1) -> int:
    """Where the column `name` stands in the header; the error names those that come near."""
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise TaskError(f"{path}: line {line} names {name!r} more than once; rename one of them.")
    close = difflib.get_close_matches(name, header, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    there = ", ".join(repr(column) for column in header[:20]) or "none"
    raise TaskError(f"{path}: no column {name!r} in line {line}; there are {there}.{hint}")
