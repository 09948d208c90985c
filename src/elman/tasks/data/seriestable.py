"""Tables of series and what is known of each, from .ts files and long tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TaskError
from .findings import Findings, count
from .longtable import Columns, listed, read_long
from .readers import column_names, find_column, there_are
from .table import judge
from .tsfile import ts_header, ts_rows
from .values import label_name


@dataclass(frozen=True)
class SeriesTable:
    """Series (C, T), the label or number of each, where each came from, and notes."""

    series: list[np.ndarray]
    labels: list[Any]
    places: list[int | str]
    notes: list[str] = field(default_factory=list)  # for the user's eyes
    source: dict[str, Any] = field(default_factory=dict)  # where all this comes from

    def __len__(self) -> int:
        return len(self.series)

    def take(self, rows: Sequence[int]) -> tuple[list[np.ndarray], list[Any]]:
        """The series and labels with the given numbers."""
        return [self.series[row] for row in rows], [self.labels[row] for row in rows]


def series_columns(path: Path, given: dict[str, Any], labelled: bool = True) -> Columns:
    """The columns of a long table, by `id`, `time`, `values` and `label`; all is by name.

    Where the values are not named, they are all other columns.
    """
    if not (given.get("id") and (given.get("label") or not labelled)):
        raise TaskError(
            f"{path}: name the columns that say which series a row belongs to, and its label: --id "
            f"and --label.{there_are(path)}"
        )
    there = column_names(path)
    chosen = Columns(given["id"], given.get("time") or "", (), given.get("label") or "")
    for name in chosen.names():
        find_column(path, there, name)
    values = listed(given.get("values"))
    if not values:
        values = tuple(name for name in there if name not in chosen.names())
    if not values:
        raise TaskError(f"{path}: no column is left for values; name them with --values.")
    return replace(chosen, values=values, label=chosen.label if labelled else "")


def series_rows(
    path: Path, given: dict[str, Any], findings: Findings, labelled: bool = True
) -> Iterator[tuple[int | str, tuple[np.ndarray, Any]]]:
    """(line or name, (series (C, T), label or None)) of each series of a file."""
    if path.suffix.lower() == ".ts":
        yield from ts_rows(path, findings, labelled)
        return
    table = read_long(path, series_columns(path, given, labelled), findings)
    findings.notes.extend(table.notes)
    for name, values, label in zip(table.ids, table.values, table.labels, strict=True):
        yield name, (values.T, label)


def read_series(
    path: str | Path, *, numbers: bool = False, skip_bad: bool = False, **given: Any
) -> SeriesTable:
    """Read a .ts file of aeon and sktime, or a long table: a row for each step of a series.

    Args:
        path: a `.ts`, `.csv`, `.tsv`, `.jsonl` or `.parquet` file.
        numbers: what is known of a series is a number, not a label.
        skip_bad: leave out rows that can't be used, and say so in `notes`.
        given: of a long table the names of its columns: `id`, `label`, `time` and `values`.

    Raises:
        TaskError: bad rows; a file that can't be read; columns that it hasn't; series that differ
            in their channels; no good series.
    """
    path, findings = Path(path), Findings()
    series: list[np.ndarray] = []
    labels: list[Any] = []
    places: list[int | str] = []
    for place, (one, label) in series_rows(path, given, findings):
        if series and len(one) != len(series[0]):
            detail = f"{len(one)}, not {len(series[0])}"
            findings.reject(place, "another number of channels than the first series", detail)
            continue
        known = _number(label) if numbers else str(label_name(label))
        if known is None:
            findings.reject(place, "no number is known of it", repr(label)[:40])
            continue
        series.append(one)
        labels.append(known)
        places.append(place)
    judge(path, findings, len(series), skip_bad)
    if not series:
        raise TaskError(f"{path}: has no series; expected at least one.")
    source: dict[str, Any] = {"file": str(path)}
    if path.suffix.lower() != ".ts":
        source |= {name: value for name, value in given.items() if value}
        source["values"] = list(series_columns(path, given).values)
    return SeriesTable(series, labels, places, findings.notes, source)


def has_numbers(path: Path) -> bool:
    """Whether the header of a .ts file says that a number is known of each series."""
    return path.suffix.lower() == ".ts" and "targetlabel" in ts_header(path)


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def sizes(series: Sequence[np.ndarray]) -> str:
    """How long series are, in words.

    >>> sizes([np.zeros((1, 5)), np.zeros((1, 7))]), sizes([np.zeros((3, 5))])
    ('5 to 7 steps', '5 steps of 3 channels')
    """
    lengths = [one.shape[1] for one in series]
    low, high = min(lengths), max(lengths)
    long = count(low, "step") if low == high else f"{low:,} to {high:,} steps"
    return long if len(series[0]) == 1 else f"{long} of {len(series[0])} channels"
