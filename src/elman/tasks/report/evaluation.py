"""What predictions are worth: as a whole, for each label, and for each degree of confidence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

BINS = 10  # of the reliability table: confidence 0 to 10 %, 10 to 20 %, ...


@dataclass(frozen=True)
class Evaluation:
    """The scores of predictions for B texts with L labels.

    `macro_f1` is the mean of the F1 scores of the labels that occur, in the texts or in the
    predictions. The confidence in a prediction is its probability; `calibration_error` is how far
    confidence and the share of right predictions lie apart within a row of `reliability`, on
    average over all texts (the expected calibration error).
    """

    labels: list[str]
    accuracy: float
    macro_f1: float
    log_loss: float
    calibration_error: float
    precision: np.ndarray  # (L,)
    recall: np.ndarray  # (L,)
    f1: np.ndarray  # (L,)
    support: np.ndarray  # (L,) how many texts have the label
    confusion: np.ndarray  # (L, L): how many texts of a label (row) were given another (column)
    reliability: np.ndarray  # (BINS, 3): texts, their mean confidence, the share predicted right
    noun: str = "texts"  # what has labels

    @property
    def majority(self) -> tuple[str, float]:
        """The most common label, and the accuracy of always naming it."""
        most = int(self.support.argmax())
        return self.labels[most], float(self.support[most] / self.support.sum())

    def headline(self) -> dict[str, str]:
        """The scores that are compared, by name."""
        return {"accuracy": f"{self.accuracy:.1%}", "macro F1": f"{self.macro_f1:.1%}"}

    def as_json(self) -> dict[str, Any]:
        """All of it in numbers, strings and lists."""
        columns = ("precision", "recall", "f1", "support")
        by_label = zip(*(getattr(self, name).tolist() for name in columns), strict=True)
        return {
            self.noun: int(self.support.sum()),
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "calibration_error": self.calibration_error,
            "by_label": {
                label: dict(zip(columns, row, strict=True))
                for label, row in zip(self.labels, by_label, strict=True)
            },
            "confusion": {"labels": self.labels, "true_by_predicted": self.confusion.tolist()},
            "reliability": [
                {
                    "above": number / BINS,
                    self.noun: int(texts),
                    "confidence": confidence,
                    "accuracy": right,
                }
                for number, (texts, confidence, right) in enumerate(self.reliability.tolist())
                if texts
            ],
        }


def evaluate(
    truth: Iterable[str], probabilities: np.ndarray, labels: Sequence[str], noun: str = "texts"
) -> Evaluation:
    """Compare the label of each text, (B,), with the probabilities of all labels, (B, L).

    >>> right = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    >>> found = evaluate(["a", "b", "a"], right, ["a", "b"])
    >>> round(found.accuracy, 3), found.confusion.tolist()
    (0.667, [[1, 1], [0, 1]])
    """
    code = {label: number for number, label in enumerate(labels)}
    true = np.array([code[label] for label in truth], np.int64)
    predicted, confidence = probabilities.argmax(1), probabilities.max(1).astype(np.float64)
    right = predicted == true
    numbers = np.arange(len(labels))
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=numbers, zero_division=0.0
    )
    where = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    texts, sure, correct = (
        np.bincount(where, weights, BINS) for weights in (np.ones(len(true)), confidence, right)
    )
    filled = np.maximum(texts, 1)
    return Evaluation(
        list(labels),
        accuracy=float(right.mean()),
        macro_f1=float(f1_score(true, predicted, average="macro", zero_division=0.0)),
        log_loss=float(log_loss(true, _sum_to_one(probabilities), labels=numbers)),
        calibration_error=float(np.abs(sure - correct).sum() / len(true)),
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        confusion=confusion_matrix(true, predicted, labels=numbers),
        reliability=np.stack([texts, sure / filled, correct / filled], 1),
        noun=noun,
    )


def _sum_to_one(probabilities: np.ndarray) -> np.ndarray:
    """In float64: scikit-learn warns of what float32 leaves to a sum of one."""
    exact = probabilities.astype(np.float64)
    return exact / exact.sum(1, keepdims=True)
