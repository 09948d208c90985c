"""``python -m benchmarks.classifying [NAME ...]``: how good a classifier's defaults are.

For each data set and seed: TF-IDF of one and two characters with logistic regression,
`SequenceClassifier` with its defaults, and what its n-grams alone say. A fifth of the texts is
held out; accuracies are means over the seeds. Seconds are processor time.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from elman.tasks import SequenceClassifier
from elman.tasks.data import split_rows
from elman.tasks.report.runs import train_baseline

from .texts import SOURCES, Rows


def score(rows: Rows, seed: int, **given: Any) -> list[float]:
    """Accuracies of the baseline, the n-grams and the classifier; times to train and predict."""
    texts, labels = rows
    split = split_rows(texts, labels, 0.2, seed)
    learn, held_out = (
        ([texts[row] for row in part], np.array([labels[row] for row in part]))
        for part in (split.train, split.valid)
    )
    baseline = train_baseline(learn, held_out).evaluation.accuracy
    model = SequenceClassifier(random_state=seed, verbose=0, **given)
    began = time.process_time()
    model.fit(*learn)
    trained = time.process_time() - began
    model.predict(held_out[0][:100])  # compiles
    began = time.process_time()
    accuracy = model.score(*held_out)
    took = time.process_time() - began
    alone = float("nan")
    if model.ngrams_ is not None:
        said = model.ngrams_(model._encode(held_out[0])[0]).argmax(1)
        alone = float((model.classes_[said] == held_out[1]).mean())
    return [baseline, alone, accuracy, trained, len(held_out[0]) / took]


def main() -> None:
    """Prints the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifying", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SOURCES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cell", help="instead of the default")
    parser.add_argument("--ngrams", type=int, help="instead of the default; 0: the network alone")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    given = {name: getattr(options, name) for name in ("cell", "ngrams")}
    given = {name: value for name, value in given.items() if value is not None}
    print("| data | texts | labels | TF-IDF | n-grams | elman | ± | s to train | texts/s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.names or SOURCES:
        source = SOURCES[name]
        rows = source.read()
        found = np.array([score(rows, seed, **given) for seed in range(options.seeds)])
        baseline, alone, accuracy, trained, rate = found.mean(0)
        error = (accuracy * (1 - accuracy) / (0.2 * len(rows[0]))) ** 0.5
        kinds = len(set(rows[1]))
        print(
            f"| {source.what}{'*' if source.chosen else ''} | {len(rows[0]):,} | {kinds} | "
            f"{baseline:.1%} | {alone:.1%} | {accuracy:.1%} | {error:.1%} | {trained:,.0f} | "
            f"{rate:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
