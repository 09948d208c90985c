"""Figures as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from elman.bench.figures import Ratio, ratio
from elman.bench.task import Task


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column to the left and the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def task_of(row: dict[str, Any]) -> Task:
    """The task that a row's figures are of."""
    return Task(**{name: row[name] for name in Task._fields})


def median(row: dict[str, Any], who: str) -> float:
    """Microseconds of a contestant."""
    return statistics.median(row["times"][who]["us"])


def over(row: dict[str, Any], theirs: str, ours: str) -> Ratio | None:
    """One contestant's time over another's, if both have one."""
    found = [row["times"].get(who, {}).get("us") for who in (theirs, ours)]
    return ratio(*found) if all(found) else None
