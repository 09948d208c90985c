"""Scores on the terminal: as tables as wide as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from torch import nn

from .entities import Comparison, Score

if TYPE_CHECKING:  # they need scikit-learn, the parameters of a model don't
    from .evaluation import Evaluation
    from .runs import Run
    from .several import SeveralLabels

FEW = 50  # texts whose scores say little
MOST = 20  # labels, or mistakes, that are listed; the report file holds all
NAME, GAP = 12, 3  # characters of a name, however narrow the terminal; between columns


def show_evaluation(found: Evaluation, console: Console) -> None:
    """The scores, the table of labels, what is mistaken for what, and how far to trust it."""
    commonest, share = found.majority
    console.print(
        f"accuracy {found.accuracy:.1%}, macro F1 {found.macro_f1:.1%}, log loss "
        f"{found.log_loss:.3f}, calibration error {found.calibration_error:.1%}\n"
        f"(always predicting {commonest!r}, the commonest label, would score {share:.1%})\n"
    )
    if (texts := int(found.support.sum())) < FEW:
        noun = found.noun if found.noun == "series" else f"text{'s' * (texts != 1)}"
        console.print(f"These are {texts} {noun} only: the scores say little.\n")
    _show_labels(found, console)
    _show_confusion(found, console)
    _show_reliability(found, console)


def show_several(found: SeveralLabels, console: Console) -> None:
    """The scores, the table of labels, and whether another threshold would be better."""
    console.print(
        f"micro F1 {found.micro_f1:.1%}, macro F1 {found.macro_f1:.1%}, all labels right in "
        f"{found.subset_accuracy:.1%} of the texts\n"
        f"(labels above {found.threshold:g}; micro F1 would be highest here above "
        f"{found.best_threshold:g}: {found.best_micro_f1:.1%})\n"
    )
    if found.texts < FEW:
        console.print(f"These are {found.texts} texts only: the scores say little.\n")
    _show_labels(found, console)


def show_comparison(found: Comparison, console: Console) -> None:
    """The scores of found spans, and those of each label."""
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in found.kinds.items())
    console.print(
        f"F1 {found.all.f1:.1%}, precision {found.all.precision:.1%}, recall "
        f"{found.all.recall:.1%}, macro F1 {found.macro_f1:.1%}\n"
        f"{found.all.right:,} of {found.all.there:,} spans are found as they are; mistakes: "
        f"{kinds or 'none'}\n"
    )
    labels = list(found.by_label)
    if len(labels) > MOST:
        labels = sorted(labels, key=lambda label: found.by_label[label].f1)[:MOST]
        console.print(f"The {MOST} labels of {len(found.by_label)} with the lowest F1 score:")
    show_scores({label: found.by_label[label] for label in labels}, console)


def show_scores(scores: Mapping[str, Comparison | Score], console: Console) -> None:
    """Scores of found spans beside one another, by name."""
    grid = _grid("", ("precision", "recall", "F1", "spans", "found"))
    for name, given in scores.items():
        score = given.all if isinstance(given, Comparison) else given
        shown = [f"{value:.1%}" for value in (score.precision, score.recall, score.f1)]
        grid.add_row(name, *shown, f"{score.there:,}", f"{score.found:,}")
    _print(grid, console)


def show_runs(runs: Sequence[Run], console: Console) -> None:
    """Several methods beside one another."""
    scores = [run.evaluation.headline() for run in runs]
    grid = _grid("", (*scores[0], "s an epoch", "step 1 loss"))
    for run, found in zip(runs, scores, strict=True):
        grid.add_row(
            run.name,
            *found.values(),
            "" if math.isnan(run.epoch_seconds) else f"{run.epoch_seconds:.1f}",
            "" if math.isnan(run.first_loss) else f"{run.first_loss:.7f}",
        )
    _print(grid, console)


def show_facts(facts: Mapping[str, str], console: Console) -> None:
    """Names on the left, what there is to say on the right."""
    grid = Grid(box=None, padding=(0, 3, 0, 0), show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, fact in facts.items():
        grid.add_row(name, fact)
    console.print(grid, soft_wrap=False)


def show_parameters(network: nn.Module, console: Console) -> None:
    """The shape and size of every parameter."""
    grid = _grid("parameter", ("shape", "numbers"))
    for name, parameter in network.named_parameters():
        shape = " x ".join(map(str, parameter.shape))
        grid.add_row(name, shape, f"{parameter.numel():,}")
    total = sum(parameter.numel() for parameter in network.parameters())
    grid.add_row("all", "", f"{total:,}")
    _print(grid, console)


def _show_labels(found: Evaluation | SeveralLabels, console: Console) -> None:
    order = np.arange(len(found.labels))
    if len(order) > MOST:
        order = np.argsort(found.f1, kind="stable")[:MOST]
        console.print(f"The {MOST} labels of {len(found.labels)} with the lowest F1 score:")
    grid = _grid("label", ("precision", "recall", "F1", found.noun))
    for number in order:
        scores = (found.precision[number], found.recall[number], found.f1[number])
        shown = [f"{score:.1%}" for score in scores]
        grid.add_row(found.labels[number], *shown, f"{found.support[number]:,}")
    _print(grid, console)


def _show_confusion(found: Evaluation, console: Console) -> None:
    grid = _grid("label \\ prediction", found.labels)
    for label, row in zip(found.labels, found.confusion.tolist(), strict=True):
        grid.add_row(label, *(f"{count:,}" for count in row))
    console.print()
    unbounded = console.options.update(max_width=1 << 16)
    if Measurement.get(console, unbounded, grid).maximum <= console.width:
        _print(grid, console)
        return
    wrong = found.confusion * (1 - np.eye(len(found.labels), dtype=np.int64))
    console.print("Most often mistaken:")
    for pair in np.argsort(-wrong, axis=None, kind="stable")[:MOST]:
        true, predicted = np.unravel_index(pair, wrong.shape)
        if count := wrong[true, predicted]:
            console.print(f"{count:7,}  {found.labels[true]} for {found.labels[predicted]}")


def _show_reliability(found: Evaluation, console: Console) -> None:
    grid = _grid("confidence", (found.noun, "on average", "right"))
    bins = len(found.reliability)
    for number, (texts, confidence, right) in enumerate(found.reliability.tolist()):
        if texts:
            span = f"{number / bins:.0%} to {(number + 1) / bins:.0%}"
            grid.add_row(span, f"{texts:,.0f}", f"{confidence:.1%}", f"{right:.1%}")
    console.print()
    _print(grid, console)


def _grid(first: str, others: Iterable[str]) -> Grid:
    """A table without lines: names on the left, numbers on the right."""
    grid = Grid(box=None, padding=(0, GAP, 0, 0), header_style="")
    grid.add_column(first, overflow="fold")
    for heading in others:
        grid.add_column(heading, justify="right", no_wrap=True)
    return grid


def _print(grid: Grid, console: Console) -> None:
    """Long names are folded where the terminal is narrow. Numbers never are, nor cut: if there is
    no room for them, the terminal wraps the lines."""
    needed = 0
    for number, column in enumerate(grid.columns):
        widest = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
        column.min_width = widest if number else min(widest, NAME)
        needed += column.min_width + GAP
    if needed > console.width:
        grid.width = needed
    console.print(grid, crop=False)
