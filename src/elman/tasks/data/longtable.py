"""Long tables of series: a row for each step, with a time, values, and the series it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TaskError
from .findings import Findings, count
from .readers import column_names, find_column, read_rows
from .series import read_number
from .times import read_time


@dataclass(frozen=True)
class Columns:
    """The columns of a long table by what they mean; empty where there are none."""

    id: str = ""  # which series a row belongs to; without it all rows are one series
    time: str = ""  # without it rows stand in their order
    values: tuple[str, ...] = ()  # numbers; may be missing
    label: str = ""  # one a series

    def names(self) -> list[str]:
        """Those that are read."""
        return [name for name in (self.id, self.time, *self.values, self.label) if name]


@dataclass(frozen=True)
class Long:
    """Series by their steps: names, times (T,), values (T, C) with NaN, labels."""

    ids: list[str]
    times: list[np.ndarray]
    values: list[np.ndarray]
    labels: list[Any]
    dated: bool  # whether times are dates: seconds since 1970
    notes: list[str] = field(default_factory=list)


def listed(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names of columns, which may be given with commas between.

    >>> listed("a, b"), listed(["a,b", "c"]), listed(None)
    (('a', 'b'), ('a', 'b', 'c'), ())
    """
    given = [names] if isinstance(names, str) else names or []
    return tuple(name.strip() for one in given for name in one.split(",") if name.strip())


def read_long(path: Path, columns: Columns, findings: Findings) -> Long:
    """The series of a table; rows that can't be used go to `findings`.

    Series come in the order of their first rows, steps in that of their times.
    """
    there = column_names(path)
    for name in columns.names():
        find_column(path, there, name)
    rows: dict[str, list[tuple[float, list[float]]]] = {}
    labels: dict[str, Any] = {}
    kinds: set[bool] = set()
    for place, values in read_rows(path, columns.names(), findings):
        left = iter(values)
        name = str(next(left)).strip() if columns.id else ""
        if columns.id and name in ("", "None"):
            findings.reject(place, f"no {columns.id!r}")
            continue
        time = float(len(rows.get(name, ())))
        if columns.time:
            given = next(left)
            try:
                dated, time = read_time(given)
            except (ValueError, OverflowError):
                detail = f"{str(given)[:40]!r}; write 2024-03-01, 2024-03-01 12:00, or a number"
                findings.reject(place, f"{columns.time!r} is no time", detail)
                continue
            kinds.add(dated)
        numbers = _numbers(columns.values, left, place, findings)
        if numbers is None:
            continue
        if columns.label:
            label = next(left)
            label = label.strip() if isinstance(label, str) else label
            if label is None or label == "":
                findings.reject(place, f"no {columns.label!r}")
                continue
            if labels.setdefault(name, label) != label:
                detail = f"series {name!r} has {labels[name]!r} and {label!r}"
                findings.reject(place, f"another {columns.label!r} than its series", detail)
                continue
        rows.setdefault(name, []).append((time, numbers))
    if len(kinds) > 1:
        raise TaskError(f"{path}: {columns.time!r} has dates and numbers; expected one of them.")
    notes = []
    if repeated := sum(_once(steps) for steps in rows.values()):
        notes.append(f"{count(repeated, 'row')} repeat a time of their series: the last counts")
    return Long(
        list(rows),
        [np.array([time for time, _ in steps]) for steps in rows.values()],
        [np.array([values for _, values in steps], np.float32) for steps in rows.values()],
        [labels.get(name) for name in rows],
        kinds == {True},
        notes,
    )


def _numbers(
    names: Sequence[str], values: Any, place: int | str, findings: Findings
) -> list[float] | None:
    """The next values as numbers; None if one is no number."""
    numbers: list[float] = []
    bad = None
    for name in names:
        given = next(values)
        try:
            number = read_number(given)
            if abs(number) == np.inf:
                raise ValueError
            numbers.append(number)
        except (TypeError, ValueError):
            bad = bad or (f"{name!r} is no number", repr(given)[:40])
    if bad:
        findings.reject(place, *bad)
        return None
    return numbers


def _once(steps: list[tuple[float, list[float]]]) -> int:
    """Put steps in the order of their times, each once; how many were there before."""
    kept = dict(steps)  # of a time the last
    repeated = len(steps) - len(kept)
    steps[:] = sorted(kept.items())
    return repeated
