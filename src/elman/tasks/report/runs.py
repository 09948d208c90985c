"""How good and how fast: a trained model, a baseline, and the same model on `torch.nn`."""

import math
import statistics
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer

from ..data.values import LABEL, LABELS, NUMBER
from ..networks.layers import layer_name
from ..text_estimator import TextEstimator
from .deviation import Deviation
from .evaluation import Evaluation, evaluate
from .several import SeveralLabels, evaluate_several

Rows = tuple[Collection[str], Collection[Any]]  # texts and their labels


@dataclass(frozen=True)
class Run:
    """What a method scored on held-out texts, and what its training took."""

    name: str
    evaluation: Evaluation | SeveralLabels | Deviation
    epoch_seconds: float = math.nan  # of an epoch's training steps, in the median
    first_loss: float = math.nan  # of the first step; NaN for what has no steps


def run_of(model: TextEstimator, evaluation: Evaluation | SeveralLabels | Deviation) -> Run:
    """The run of a model that has been trained and scored."""
    history = model.net_.history
    return Run(
        layer_name(model.cell, model.backend),
        evaluation,
        epoch_seconds=statistics.median(history[:, "train_seconds"]),
        first_loss=history[0, "batches", 0, "train_loss"],
    )


def train_baseline(
    train_rows: Rows, valid_rows: Rows, kind: str = LABEL, threshold: float = 0.5
) -> Run:
    """TF-IDF of one and two characters, and a linear model: hard to beat on few texts.

    Of labels that is logistic regression, of several one for each label; of numbers ridge.
    """
    texts, known = train_rows
    tfidf = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
    if kind == NUMBER:
        ridge = make_pipeline(tfidf, Ridge()).fit(texts, known)
        truth = np.asarray(valid_rows[1], np.float64)
        found = Deviation(truth, ridge.predict(valid_rows[0]), "texts")
        return Run("TF-IDF + ridge regression", found)
    logistic = LogisticRegression(C=5.0, max_iter=1000)
    if kind == LABELS:
        names = MultiLabelBinarizer()
        baseline = make_pipeline(tfidf, OneVsRestClassifier(logistic))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a label that all texts have
            baseline.fit(texts, names.fit_transform(known))
        chances = baseline.predict_proba(valid_rows[0])
        several = evaluate_several(valid_rows[1], chances, names.classes_.tolist(), threshold)
        return Run("TF-IDF + logistic regressions", several)
    baseline = make_pipeline(tfidf, logistic).fit(texts, known)
    chances, names = baseline.predict_proba(valid_rows[0]), baseline.classes_.tolist()
    return Run("TF-IDF + logistic regression", evaluate(valid_rows[1], chances, names))
