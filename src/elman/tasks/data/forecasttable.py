"""Tables of series whose future is to be told: a row for each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TaskError
from .findings import Findings
from .history import History
from .longtable import Columns, listed, read_long
from .readers import column_names, find_column
from .table import judge


@dataclass(frozen=True)
class ForecastTable:
    """Series, each with times and covariates; notes; where they come from."""

    histories: list[History]
    notes: list[str] = field(default_factory=list)  # for the user's eyes
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The series by name; without any if there is only one."""
        return [one.name for one in self.histories]


def read_forecast_table(
    path: str | Path, given: Mapping[str, Any], *, skip_bad: bool = False
) -> ForecastTable:
    """Read the series of a table, `.csv`, `.tsv`, `.jsonl` or `.parquet`.

    Args:
        path: the table.
        given: the names of its columns. `target`: values to be told, each column a series; by
            default the only one that is left. `time`: times, else rows are in order. `id`: the
            series that a row belongs to. `known`: covariates.
        skip_bad: leave out rows that can't be used, and say so in `notes`.

    Rows after the last value of a series say what is known of later: times and covariates.

    Raises:
        TaskError: bad rows; columns that the table hasn't; no value at all.
    """
    path, findings = Path(path), Findings()
    known, target = listed(given.get("known")), listed(given.get("target"))
    id_, time = (str(given.get(name) or "") for name in ("id", "time"))
    there = column_names(path)
    for name in filter(None, (id_, time, *known, *target)):
        find_column(path, there, name)
    if not target:
        rest = [name for name in there if name not in (id_, time, *known)]
        if len(rest) != 1:
            left = ", ".join(map(repr, rest[:20])) or "none"
            raise TaskError(f"{path}: name the column to be told with --target; left are {left}.")
        target = tuple(rest)
    table = read_long(path, Columns(id_, time, (*target, *known)), findings)
    judge(path, findings, sum(map(len, table.times)), skip_bad)
    found = []
    for name, times, values in zip(table.ids, table.times, table.values, strict=True):
        if table.dated:
            times = (times * 1e6).round().astype("datetime64[us]")  # noqa: PLW2901
        covariates = values[:, len(target) :] if known else None
        for number, column in enumerate(target):
            filled = np.flatnonzero(~np.isnan(values[:, number]))
            if len(filled):
                called = "/".join(filter(None, (name, column if target[1:] else "")))
                one = values[: int(filled[-1]) + 1, number]
                found.append(History(one, times if time else None, covariates, called))
    if not found:
        raise TaskError(f"{path}: {', '.join(target)} has no value; expected some.")
    source = {"file": str(path), "target": list(target), "known": list(known)}
    source |= {name: value for name, value in {"id": id_, "time": time}.items() if value}
    return ForecastTable(found, findings.notes + table.notes, source)
