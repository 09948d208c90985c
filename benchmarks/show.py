"""Figures as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
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


def by_workload(
    figures: dict[str, Any], figure_of: Callable[[dict[str, Any]], float | None]
) -> dict[str, dict[str, float]]:
    """Of each workload, on one thread, a figure by mode; none of a row that has none."""
    found: dict[str, dict[str, float]] = {}
    for key, row in figures["layers"].items():
        if row["threads"] == 1 and (value := figure_of(row)) is not None:
            found.setdefault(key.partition(",")[0], {})[row["mode"]] = value
    return found


def ratio_ticks(axis: Any, values: Sequence[int]) -> None:
    """Plain numbers on a logarithmic axis of ratios."""
    axis.minorticks_off()
    axis.set_ticks(values, labels=map(str, values))
