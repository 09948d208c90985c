"""From a table to a saved model and its report, telling the user at every step what happens."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from .classifier import SequenceClassifier
from .data import Table, split_rows
from .data.findings import count
from .data.split import shared
from .data.tagtable import TagTable
from .data.text import TOKENS
from .errors import TaskError
from .estimator import SequenceEstimator
from .folder import CONFIG
from .model import layer_name
from .report.pictures import save_pictures
from .report.record import describe, write_report
from .report.scores import Rows, Run, train, train_baseline
from .report.show import show_evaluation, show_runs
from .training.checkpoint import check_folder
from .training.progress import ProgressBar
from .training.ranks import process_group, rank

SAME_LOSS = 1e-5  # how far the first step's losses of both backends may lie apart
UNEVEN = 10  # times as many texts as the rarest label that the commonest has, to be remarked


@dataclass(frozen=True)
class Job:
    """What to do beside training: where to save, what to hold out, what to compare with."""

    output: Path
    valid_fraction: float = 0.2
    valid: Table | TagTable | None = None  # held-out texts of their own, instead of a fraction
    compare: bool = False
    baseline: bool = False
    resume: bool = False  # go on with the training that was interrupted in `output`


def run_job(table: Table, model: SequenceClassifier, job: Job, console: Console) -> list[Run]:
    """Train, save, report, compare; the runs, that of the saved model first.

    Of the processes that torchrun starts all train, and one does the rest; the others get no runs.
    """
    with process_group():
        console.quiet = rank() > 0
        return _run_job(table, model, job, console)


def _run_job(table: Table, model: SequenceClassifier, job: Job, console: Console) -> list[Run]:
    check_folder(job.output, job.resume)
    replaces = (job.output / CONFIG).exists() and not job.resume
    twin = _twin(model) if job.compare else None
    _describe(table, model, console)
    train_rows, valid_rows, split = _split(table, model, job, console)
    console.print(f"{len(train_rows[0]):,} to learn from, {len(valid_rows[0]):,} held out\n")
    try:
        saving = {"folder": job.output, "resume": job.resume}
        runs = [_train(model, train_rows, valid_rows, console, **saving)]
    except KeyboardInterrupt:
        console.print(what_is_left(model, job))
        raise
    if rank() == 0:
        found, epochs = runs[0].evaluation, model.training_["epochs"]
        report = {"data": describe(table), "split": split, "evaluation": found.as_json()}
        write_report(job.output, report)
        console.print("\nOn the held-out texts:")
        show_evaluation(found, console)
        console.print(f"\n{save_pictures(job.output, found, epochs)}")
    if twin:
        runs.append(_train(twin, train_rows, valid_rows, console))
    if rank():
        return []
    if job.baseline:
        with console.status("TF-IDF and logistic regression"):
            runs.append(train_baseline(train_rows, valid_rows))
    if runs[1:]:
        console.print()
        show_runs(runs, console)
    if twin:
        ours, theirs = sorted(runs[:2], key=lambda run: run.name)  # elman first
        _show_comparison(ours, theirs, console)
    console.print(
        f"\nSaved in {job.output}{', in place of the model there' if replaces else ''}. "
        f'Use it with: elman predict {job.output} "TEXT"'
    )
    return runs


def _twin(model: SequenceClassifier) -> SequenceClassifier:
    """The same on the other backend."""
    other = "torch" if model.backend == "elman" else "elman"
    twin = SequenceClassifier(**{**model.get_params(), "backend": other})
    twin._check_parameters()  # before anything is trained
    return twin


def _describe(table: Table, model: SequenceClassifier, console: Console) -> None:
    """What is noteworthy about the texts."""
    counts = Counter(table.labels).most_common()
    if len(counts) < 2:
        raise TaskError(
            f"{table.source['file']}: every text has the label {counts[0][0]!r}; expected at least "
            "two different labels."
        )
    kinds = ", ".join(f"{number:,} {label}" for label, number in counts[:10])
    more = f" and {len(counts) - 10} more labels" if len(counts) > 10 else ""
    console.print(f"{len(table.texts):,} texts: {kinds}{more}")
    (commonest, most), (rarest, fewest) = counts[0], counts[-1]
    if most >= UNEVEN * fewest:
        console.print(
            f"{commonest} has {most / fewest:,.0f} times as many texts as {rarest}; with "
            "--class-weight balanced all labels weigh the same"
        )
    for note in table.notes:
        console.print(note)
    long = sum(len(TOKENS[model.tokens](text)) > model.max_length for text in table.texts)
    if long:
        console.print(
            f"{count(long, 'text')} longer than {model.max_length} {model.tokens}: the rest is not "
            "read"
        )


def _split(
    table: Table, model: SequenceClassifier, job: Job, console: Console
) -> tuple[Rows, Rows, dict[str, Any]]:
    """Training and held-out rows, and what the report says on how they came about."""
    if job.valid is not None:
        assert isinstance(job.valid, Table)
        job.valid.check_labels(set(table.labels), job.valid.source["file"])
        for note in job.valid.notes:
            console.print(f"Of the held-out texts: {note}")
        if known := shared(table.texts, job.valid.texts):
            console.print(
                f"{known:,} of the held-out texts are also among those to learn from: the scores "
                "will be too good"
            )
        whole: Rows = (table.texts, table.labels)
        return whole, (job.valid.texts, job.valid.labels), {"valid": describe(job.valid)}
    split = split_rows(table.texts, table.labels, job.valid_fraction, model.random_state)
    if split.repeated:
        console.print(
            f"{split.repeated:,} repeat an earlier text: equal texts stay on one side of the split"
        )
    if split.conflicting:
        console.print(f"{split.conflicting:,} have a text that also stands with another label")
    parts: list[Rows] = [
        (table.texts[side], table.labels[side]) for side in (split.train, split.valid)
    ]
    return parts[0], parts[1], {"valid_fraction": job.valid_fraction}


def what_is_left(model: SequenceEstimator, job: Job) -> str:
    """What an interrupted training leaves behind."""
    if "epochs" not in getattr(model, "training_", {}):
        return "Interrupted before the first step; there is nothing to save."
    return (
        f"Interrupted in epoch {len(model.net_.history)}; what the model has learned so far is "
        f"saved in {job.output}. The same command with --resume goes on."
    )


def _train(
    model: SequenceClassifier,
    train_rows: Rows,
    valid_rows: Rows,
    console: Console,
    **saving: Any,
) -> Run:
    """One training with its progress bar."""
    bar = ProgressBar(console, layer_name(model.cell, model.backend))
    try:
        return train(model, train_rows, valid_rows, [("progress", bar)], **saving)
    finally:
        bar.stop()


def _show_comparison(ours: Run, theirs: Run, console: Console) -> None:
    """elman and torch.nn beside each other."""
    apart = abs(ours.first_loss - theirs.first_loss)
    agree = "agree" if apart <= SAME_LOSS else "DIFFER"
    console.print(
        f"\n{ours.name} trains {theirs.epoch_seconds / ours.epoch_seconds:.1f} times as fast as "
        f"{theirs.name} ({torch.get_num_threads()} threads). The first steps' losses {agree} "
        f"({apart:.1e} apart), the accuracies lie "
        f"{100 * abs(ours.evaluation.accuracy - theirs.evaluation.accuracy):.2f} points apart."
    )
