"""From a table to a saved model, telling the user at every step what happens."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table as Grid

from .classifier import SequenceClassifier
from .data import Table, split_rows
from .data.text import TOKENS
from .folder import CONFIG, check_target
from .model import layer_name
from .report.scores import Rows, Run, train, train_baseline
from .training.progress import ProgressBar

SAME_LOSS = 1e-5  # how far the first step's losses of both backends may lie apart


@dataclass(frozen=True)
class Job:
    """What to do beside training: where to save, how much to hold out, what to compare with."""

    output: Path
    valid_fraction: float = 0.2
    compare: bool = False
    baseline: bool = False


def run_job(table: Table, model: SequenceClassifier, job: Job, console: Console) -> list[Run]:
    """Split, train, save, compare; the runs, that of the saved model first."""
    replaces = (check_target(job.output) / CONFIG).exists()
    train_rows, valid_rows = _split(table, model, job, console)
    runs = [_train(model, train_rows, valid_rows, console)]
    model.save(job.output)
    if job.compare:
        other = "torch" if model.backend == "elman" else "elman"
        twin = SequenceClassifier(**{**model.get_params(), "backend": other})
        runs.append(_train(twin, train_rows, valid_rows, console))
    if job.baseline:
        with console.status("TF-IDF and logistic regression"):
            runs.append(train_baseline(train_rows, valid_rows))
    _show(runs, console)
    if job.compare:
        ours, theirs = sorted(runs[:2], key=lambda run: run.name)  # elman first
        _show_comparison(ours, theirs, console)
    console.print(
        f"\nSaved in {job.output}{', in place of the model there' if replaces else ''}. "
        f'Use it with: elman predict {job.output} "TEXT"'
    )
    return runs


def _split(
    table: Table, model: SequenceClassifier, job: Job, console: Console
) -> tuple[Rows, Rows]:
    """Training and held-out rows, and what is noteworthy about them."""
    counts = Counter(table.labels).most_common()
    kinds = ", ".join(f"{count:,} {label}" for label, count in counts[:10])
    more = f" and {len(counts) - 10} more labels" if len(counts) > 10 else ""
    console.print(f"{len(table.texts):,} texts: {kinds}{more}")
    for note in table.notes:
        console.print(note)
    long = sum(len(TOKENS[model.tokens](text)) > model.max_length for text in table.texts)
    if long:
        console.print(
            f"{long:,} are longer than {model.max_length} {model.tokens}; the rest of "
            "those is not read"
        )
    split = split_rows(table.texts, table.labels, job.valid_fraction, model.random_state)
    if split.repeated:
        console.print(
            f"{split.repeated:,} repeat an earlier text: equal texts stay on one side of the split"
        )
    if split.conflicting:
        console.print(f"{split.conflicting:,} have a text that also stands with another label")
    train_rows, held_out = (
        (table.texts[side], table.labels[side]) for side in (split.train, split.valid)
    )
    console.print(f"{len(split.train):,} to learn from, {len(split.valid):,} held out\n")
    return train_rows, held_out


def _train(model: SequenceClassifier, train_rows: Rows, valid_rows: Rows, console: Console) -> Run:
    """One training with its progress bar."""
    bar = ProgressBar(console, layer_name(model.cell, model.backend))
    try:
        return train(model, train_rows, valid_rows, [("progress", bar)])
    finally:
        bar.stop()


def _show(runs: list[Run], console: Console) -> None:
    grid = Grid(box=None, padding=(0, 3, 0, 0))
    grid.add_column(no_wrap=True)
    for heading in ("accuracy", "macro F1", "s an epoch", "first loss"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for run in runs:
        grid.add_row(
            run.name,
            f"{run.accuracy:.1%}",
            f"{run.macro_f1:.1%}",
            "" if math.isnan(run.epoch_seconds) else f"{run.epoch_seconds:.1f}",
            "" if math.isnan(run.first_loss) else f"{run.first_loss:.7f}",
        )
    console.print("\nOn the held-out texts:")
    console.print(grid)


def _show_comparison(ours: Run, theirs: Run, console: Console) -> None:
    """elman and torch.nn beside each other."""
    apart = abs(ours.first_loss - theirs.first_loss)
    agree = "agree" if apart <= SAME_LOSS else "DIFFER"
    console.print(
        f"\n{ours.name} trains {theirs.epoch_seconds / ours.epoch_seconds:.1f} times as fast as "
        f"{theirs.name} ({torch.get_num_threads()} threads). The first steps' losses {agree} "
        f"({apart:.1e} apart), the accuracies lie "
        f"{100 * abs(ours.accuracy - theirs.accuracy):.2f} points apart."
    )
