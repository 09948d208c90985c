"""What predictions of several labels for each text are worth."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

THRESHOLDS = np.arange(1, 20) / 20  # that are tried for the best one


@dataclass(frozen=True)
class SeveralLabels:
    """The scores of predictions for B texts, each with any of L labels.

    `micro_f1` counts all labels of all texts alike, `macro_f1` is the mean of the labels' F1
    scores. `subset_accuracy` is the share of texts with no label missing and none too many.
    `best_threshold` is the one with the highest micro F1 on these texts.
    """

    labels: list[str]
    threshold: float
    micro_f1: float
    macro_f1: float
    subset_accuracy: float
    precision: np.ndarray  # (L,)
    recall: np.ndarray  # (L,)
    f1: np.ndarray  # (L,)
    support: np.ndarray  # (L,) how many texts have the label
    texts: int
    best_threshold: float
    best_micro_f1: float
    noun: str = "texts"

    def headline(self) -> dict[str, str]:
        """The scores that are compared, by name."""
        scores = {"micro F1": self.micro_f1, "macro F1": self.macro_f1}
        return {
            name: f"{s:.1%}" for name, s in {**scores, "all right": self.subset_accuracy}.items()
        }

    def as_json(self) -> dict[str, Any]:
        """All of it in numbers, strings and lists."""
        columns = ("precision", "recall", "f1", "support")
        by_label = zip(*(getattr(self, name).tolist() for name in columns), strict=True)
        single = ("texts", "threshold", "micro_f1", "macro_f1", "subset_accuracy")
        return {
            **{name: getattr(self, name) for name in (*single, "best_threshold", "best_micro_f1")},
            "by_label": {
                label: dict(zip(columns, row, strict=True))
                for label, row in zip(self.labels, by_label, strict=True)
            },
        }


def evaluate_several(
    truth: Iterable[Collection[str]],
    probabilities: np.ndarray,
    labels: Sequence[str],
    threshold: float,
) -> SeveralLabels:
    """Compare the labels of each text with the probabilities of all labels, (B, L).

    A label that isn't among `labels` is one that is missed.

    >>> found = evaluate_several([["a"], ["a", "b"]], np.array([[0.9, 0.2], [0.8, 0.3]]), "ab", 0.5)
    >>> found.subset_accuracy, round(found.micro_f1, 3)
    (0.5, 0.8)
    """
    rows = [set(row) for row in truth]
    strange = sorted(set().union(*rows) - set(labels))
    every = [*labels, *strange]
    true = np.array([[label in row for label in every] for row in rows], np.int64)
    true = true.reshape(len(rows), len(every))
    chances = np.pad(probabilities, ((0, 0), (0, len(strange))))

    def micro(at: float) -> float:
        return float(f1_score(true, chances > at, average="micro", zero_division=0.0))

    found = (chances > threshold).astype(np.int64)
    precision, recall, f1, support = precision_recall_fscore_support(true, found, zero_division=0.0)
    tried = sorted(THRESHOLDS.tolist(), key=lambda one: abs(one - threshold))
    best = max(tried, key=micro)  # of equally good ones the nearest
    return SeveralLabels(
        every,
        threshold,
        micro_f1=micro(threshold),
        macro_f1=float(f1.mean()),
        subset_accuracy=float(accuracy_score(true, found)),
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        texts=len(rows),
        best_threshold=best,
        best_micro_f1=micro(best),
    )
