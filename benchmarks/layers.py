"""Every named workload, in its modes, on each number of threads, against every contestant."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from elman.bench.contest import Contest
from elman.bench.figures import Ratio, duration, geometric_mean
from elman.bench.task import MODES

from .contestants import COMPILED, ELMAN, FLOOR, LAYERS, SESSION, TORCH, chosen
from .roofline import roof
from .show import median, over, table, task_of

HEADER = [
    *("workload", "layer", "T, B, I, H", "mode", "elman", "of the roof"),
    *("torch.nn", "times as fast", "session", "best of all others", "times as fast"),
]


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A row for each workload, mode and number of threads."""
    with Contest(LAYERS, TORCH, options.allocator) as contest:
        for name, workload in chosen(options):
            for mode in workload.modes:
                for threads in options.threads:
                    task = workload.task(mode, threads)
                    measure = partial(contest.row, task, options.rounds, options.contestants)
                    yield f"{name}, {mode}, {threads}", measure


def _everyone(rows: dict[str, Any]) -> str:
    """Of every other contestant how many times as long it takes as elman."""
    names = [who for who in LAYERS if who not in (ELMAN, SESSION)]
    lines = [
        [key.rpartition(",")[0], *(str(over(row, who, ours(row, who)) or "") for who in names)]
        for key, row in rows.items()
    ]
    return table(["workload", *names], lines)


def ours(row: dict[str, Any], other: str) -> str:
    """Who stands against another: elman's module against PyTorch's, which read their weights anew
    at every call, too; its session, if there is one, against those whose weights are fixed."""
    fixed = other not in (TORCH, COMPILED, FLOOR)
    return SESSION if fixed and row["times"].get(SESSION, {}).get("us") else ELMAN


def best_of_others(row: dict[str, Any]) -> tuple[str, Ratio] | None:
    """The fastest that is not elman, and how many times as long it takes."""
    apart = (ELMAN, SESSION, FLOOR)
    others = {who: over(row, who, ours(row, who)) for who in row["times"] if who not in apart}
    known = {who: found for who, found in others.items() if found}
    return min(known.items(), key=lambda pair: pair[1].median) if known else None


def show(figures: dict[str, Any]) -> str:
    """A table for each number of threads, geometric means below it, and who was left out."""
    rows = figures["layers"]
    parts = []
    for threads in sorted({row["threads"] for row in rows.values()}):
        mine = {key: row for key, row in rows.items() if row["threads"] == threads}
        machine = figures.get("roofline", {}).get(str(threads))
        lines = [_line(key.partition(",")[0], row, machine) for key, row in mine.items()]
        parts += [f"### {threads} thread{'s' * (threads > 1)}", table(HEADER, lines)]
        parts += [_means(mode, mine.values(), machine) for mode in MODES]
        parts += [
            "Each of the others, its time over elman's (where weights are fixed, the session's):"
        ]
        parts += [_everyone(mine)]
    failures = [
        f"- {key}: {who}: {one['failure']}"
        for key, row in rows.items()
        for who, one in row["times"].items()
        if one["failure"]
    ]
    return "\n\n".join([*parts, *(["Left out, and why:", "\n".join(failures)] if failures else [])])


def summary(figures: dict[str, Any]) -> list[list[str]]:
    """For each workload its layer and sizes, and by mode how many times as fast as torch.nn elman
    is on one thread."""
    lines: dict[str, list[str]] = {}
    for key, row in figures["layers"].items():
        if row["threads"] == 1:
            task, found = task_of(row), over(row, TORCH, ELMAN)
            name = key.partition(",")[0]
            line = lines.setdefault(name, [name, task.layer, task.sizes, *[""] * len(MODES)])
            line[3 + MODES.index(task.mode)] = f"{found.median:.1f}" if found else ""
    return list(lines.values())


def _line(name: str, row: dict[str, Any], machine: dict[str, Any] | None) -> list[str]:
    task, of_roof, (who, other) = task_of(row), "", best_of_others(row) or ("", "")
    if machine and row["times"][ELMAN]["us"]:
        bound, what = roof(task, machine)
        of_roof = f"{bound / median(row, ELMAN):.0%} ({what})"
    shown = {one: duration(median(row, one)) for one, its in row["times"].items() if its["us"]}
    return [
        *(name, task.layer, task.sizes, task.mode, shown.get(ELMAN, ""), of_roof),
        *(shown.get(TORCH, ""), str(over(row, TORCH, ELMAN) or ""), shown.get(SESSION, "")),
        *(f"{who} {shown.get(who, '')}", str(other)),
    ]


def _means(mode: str, rows: Iterable[dict[str, Any]], machine: dict[str, Any] | None) -> str:
    mine = [row for row in rows if row["mode"] == mode]
    torchs = [(row, found.median) for row in mine if (found := over(row, TORCH, ELMAN))]
    best = [(row, found[1].median) for row in mine if (found := best_of_others(row))]
    if not torchs or not best:
        return ""
    means = (
        f"Geometric means, {mode}: {geometric_mean([x for _, x in torchs]):.2f} times as fast as "
        f"torch.nn, {geometric_mean([x for _, x in best]):.2f} times as fast as the best of all "
        "others"
    )
    above = [x for row, x in best if not over(row, FLOOR, ELMAN)]
    if 0 < len(above) < len(best):
        means += f" ({geometric_mean(above):.2f} without the step whose floor is autograd alone)"
    means += "."
    if machine is None:
        return means
    at_roof = geometric_mean([x * _below_roof(row, machine) for row, x in torchs])
    return f"{means} With all batches at their roof, the first would be {at_roof:.2f}."


def _below_roof(row: dict[str, Any], machine: dict[str, Any]) -> float:
    """elman's time over that of the roof; 1 for a single sequence, which waits for itself."""
    task = task_of(row)
    return 1.0 if task.B == 1 else max(1.0, median(row, ELMAN) / roof(task, machine)[0])


def plot(figures: dict[str, Any], figure: Any) -> None:
    """How many times as fast as torch.nn, a bar for each workload and mode, on one thread."""
    rows = {k: r for k, r in figures["layers"].items() if r["threads"] == 1}
    found = {key: r for key, row in rows.items() if (r := over(row, TORCH, ELMAN))}
    names = [key.rpartition(",")[0] for key in found]
    beyond = [r.median - 1 for r in found.values()]
    axes = figure.subplots()
    axes.barh(names, beyond, left=1, color=["C0" if "inference" in n else "C1" for n in names])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("torch.nn's time over elman's, one thread")
