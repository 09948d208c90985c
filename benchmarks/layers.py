"""Every named workload, in its modes, on each number of threads, against every contestant."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from elman.bench.contest import Contest
from elman.bench.figures import Ratio, duration, geometric_mean
from elman.bench.task import MODES

from .contestants import COMPILED, ELMAN, FLOOR, LAYERS, SESSION, TORCH, chosen
from .roofline import roof
from .show import by_workload, median, over, ratio_ticks, table, task_of

HEADER = [
    *("workload", "layer", "T, B, I, H", "mode", "elman", "share of roof"),
    *("torch.nn", "speedup", "elman.Stream", "fastest other", "speedup"),
]
MEANS = [
    *("threads", "mode", "over torch.nn", "over the fastest other", "slower than it at"),
    "over torch.nn with every batch at its roof",
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
    """Two tables for each number of threads, and who was left out."""
    rows = figures["layers"]
    parts = []
    for threads in sorted({row["threads"] for row in rows.values()}):
        mine = {key: row for key, row in rows.items() if row["threads"] == threads}
        machine = figures.get("roofline", {}).get(str(threads))
        lines = [_line(key.partition(",")[0], row, machine) for key, row in mine.items()]
        parts += [f"### {threads} thread{'s' * (threads > 1)}", table(HEADER, lines)]
        parts += ["The time of each contestant divided by elman's:", _everyone(mine)]
    failures = [
        f"- {key}: {who}: {one['failure']}"
        for key, row in rows.items()
        for who, one in row["times"].items()
        if one["failure"]
    ]
    return "\n\n".join([*parts, *(["Left out, and why:", "\n".join(failures)] if failures else [])])


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


def means(figures: dict[str, Any]) -> str:
    """Geometric means of the speedups with their range, and where another system is faster."""
    lines = []
    for threads in sorted({row["threads"] for row in figures["layers"].values()}):
        machine = figures.get("roofline", {}).get(str(threads))
        for mode in MODES:
            rows = {
                key.partition(",")[0]: row
                for key, row in figures["layers"].items()
                if (row["mode"], row["threads"]) == (mode, threads)
            }
            torchs = {
                n: found.median for n, row in rows.items() if (found := over(row, TORCH, ELMAN))
            }
            best = {n: found for n, row in rows.items() if (found := best_of_others(row))}
            if not torchs or not best:
                continue
            speedups = {name: found.median for name, (_, found) in best.items()}
            behind = [f"{n} ({best[n][0]}: {x:.2f})" for n, x in speedups.items() if x < 1]
            if behind and (ahead := [x for x in speedups.values() if x >= 1]):
                behind += [f"{geometric_mean(ahead):.2f} without"]
            at_roof = machine and [x * _below_roof(rows[n], machine) for n, x in torchs.items()]
            lines.append(
                [
                    *(str(threads), mode, _mean(torchs), _mean(speedups)),
                    "; ".join(behind) or "none",
                    f"{geometric_mean(at_roof):.2f}" if at_roof else "",
                ]
            )
    return table(MEANS, lines)


def _mean(speedups: dict[str, float]) -> str:
    found = speedups.values()
    return f"{geometric_mean(list(found)):.2f} ({min(found):.2f} to {max(found):.2f})"


def _below_roof(row: dict[str, Any], machine: dict[str, Any]) -> float:
    """elman's time over that of the roof; 1 for a single sequence, which waits for itself."""
    task = task_of(row)
    return 1.0 if task.B == 1 else max(1.0, median(row, ELMAN) / roof(task, machine)[0])


def plot(figures: dict[str, Any], figure: Any) -> None:
    """How many times as fast as torch.nn, a bar for each workload and mode, on one thread."""

    def speedup(row: dict[str, Any]) -> float | None:
        found = over(row, TORCH, ELMAN)
        return found.median if found else None

    axes, bars = figure.subplots(), by_workload(figures, speedup)
    for mode, shift in zip(MODES, (-0.2, 0.2), strict=True):
        places = [i for i, found in enumerate(bars.values()) if mode in found]
        values = [found[mode] for found in bars.values() if mode in found]
        shown = axes.barh(
            [i + shift for i in places], [v - 1 for v in values], height=0.4, left=1, label=mode
        )
        axes.bar_label(shown, [f"{v:.1f}" for v in values], padding=2, fontsize=7)
    axes.set_yticks(range(len(bars)), labels=list(bars))
    axes.invert_yaxis()
    axes.set_xscale("log")
    ratio_ticks(axes.xaxis, (1, 2, 5, 10, 20, 50, 100))
    axes.set_xlim(1, 110)
    axes.set_xlabel("times as fast as torch.nn, one thread")
    axes.grid(axis="x", linewidth=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right")
