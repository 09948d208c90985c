"""``python -m benchmarks.quality [--epochs N] [--cell NAME ...]``: how good the defaults are.

Trains `SequenceClassifier` with its defaults but for the cell, and TF-IDF with logistic regression,
on the reviews of `elman demo` with its split, and prints one table.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from rich.console import Console

from elman.tasks import SequenceClassifier
from elman.tasks.data import split_rows
from elman.tasks.data.reviews import read_reviews
from elman.tasks.report.scores import Rows, Run, train, train_baseline
from elman.tasks.training.progress import ProgressBar


def show(run: Run, *figures: str) -> None:
    """A row of the table."""
    found = run.evaluation
    scores = f"{found.accuracy:.1%} | {found.macro_f1:.1%} | {found.log_loss:.3f}"
    print(f"| {run.name} | {scores} | {' | '.join(figures)} |", flush=True)


def one(cell: str, given: dict[str, Any], learn: Rows, held_out: Rows) -> None:
    """Trains and scores a cell; predicts again, to take the time."""
    model = SequenceClassifier(cell=cell, **given)
    bar = ProgressBar(Console(stderr=True), cell)
    run = train(model, learn, held_out, [("progress", bar)])
    began = time.perf_counter()
    model.predict_proba(held_out[0])
    rate = len(held_out[0]) / (time.perf_counter() - began)
    show(run, f"{run.epoch_seconds:.1f}", f"{rate:,.0f}")


def main() -> None:
    """Prints the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--cell", nargs="+", default=["rnn", "gru", "lstm"])
    parser.add_argument("--epochs", type=int, help="instead of the default")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reviews = read_reviews()
    split = split_rows(reviews.texts, reviews.labels, 0.2, 0)
    learn, held_out = (
        (reviews.texts[rows], reviews.labels[rows]) for rows in (split.train, split.valid)
    )
    print(
        f"{len(split.train):,} reviews to learn from, {len(split.valid):,} held out; "
        f"{options.threads} threads\n"
    )
    print("| method | accuracy | macro F1 | log loss | s an epoch | texts/s predicted |")
    print("|---|---|---|---|---|---|")
    show(train_baseline(learn, held_out), "", "")
    for cell in options.cell:
        one(cell, {"epochs": options.epochs} if options.epochs else {}, learn, held_out)


if __name__ == "__main__":
    main()
