"""How good and how fast: a trained model, a baseline, and the same model on `torch.nn`."""

import math
import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from ..classifier import SequenceClassifier
from ..networks.layers import layer_name
from .evaluation import Evaluation, evaluate

Rows = tuple[Collection[str], Collection[Any]]  # texts and their labels


@dataclass(frozen=True)
class Run:
    """What a method scored on held-out texts, and what its training took."""

    name: str
    evaluation: Evaluation
    epoch_seconds: float = math.nan  # of an epoch's training steps, in the median
    first_loss: float = math.nan  # of the first step; NaN for what has no steps


def train(
    model: SequenceClassifier,
    train_rows: Rows,
    valid_rows: Rows,
    callbacks: Iterable[tuple[str, Callback]] = (),
    **saving: Any,
) -> Run:
    """Fit the model and score it on the held-out rows; `saving` says where `fit` saves it."""
    model.fit(*train_rows, valid=valid_rows, callbacks=callbacks, **saving)
    return run_of(model, _score(model, valid_rows))


def run_of(model: SequenceClassifier, evaluation: Evaluation) -> Run:
    """The run of a model that has been trained and scored."""
    history = model.net_.history
    return Run(
        layer_name(model.cell, model.backend),
        evaluation,
        epoch_seconds=statistics.median(history[:, "train_seconds"]),
        first_loss=history[0, "batches", 0, "train_loss"],
    )


def train_baseline(train_rows: Rows, valid_rows: Rows) -> Run:
    """TF-IDF of one and two characters, and logistic regression: hard to beat on few texts."""
    baseline = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=5.0, max_iter=1000),
    )
    baseline.fit(*train_rows)
    return Run("TF-IDF + logistic regression", _score(baseline, valid_rows))


def _score(model: Any, rows: Rows) -> Evaluation:
    texts, labels = rows
    return evaluate(labels, model.predict_proba(texts), model.classes_.tolist())
