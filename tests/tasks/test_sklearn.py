"""scikit-learn's own checks of an estimator.

They feed matrices of numbers and leave alone what takes texts. So they are given estimators that
read each row of numbers as a text, and are a `SequenceClassifier` or `SequenceRegressor` in all
else.
"""

from dataclasses import asdict

import numpy as np
import pytest
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from elman.tasks import (
    LanguageModel,
    SequenceClassifier,
    SequenceForecaster,
    SequenceRegressor,
    SequenceTagger,
    SeriesClassifier,
    SeriesRegressor,
)


class OnNumbers:
    """Each number as a word that names its column and its value, to a half."""

    def fit(self, X, y):
        X, y = validate_data(self, X, y, multi_output=True)
        y = column_or_1d(y, warn=True) if y.size == len(y) else y
        return super().fit(texts_of(X), whole(y))

    def partial_fit(self, X, y, **classes):
        X, y = validate_data(self, X, y, reset=not hasattr(self, "net_"))
        return super().partial_fit(texts_of(X), whole(y), **classes)

    def _outputs(self, X):
        check_is_fitted(self)
        return super()._outputs(texts_of(validate_data(self, X, reset=False)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        return tags


def texts_of(rows):
    halves = np.clip(np.rint(2 * rows), -50, 50).astype(int)
    return [" ".join(f"c{c}v{v + 50}" for c, v in enumerate(row)) for row in halves]


def whole(y):
    """Labels such as 1.0 as whole numbers; a `SequenceClassifier` refuses all fractions."""
    return y.astype(int) if y.dtype.kind == "f" and (y == np.rint(y)).all() else y


class Classifier(OnNumbers, SequenceClassifier):
    """Labels of such texts."""


class Regressor(OnNumbers, SequenceRegressor):
    """Numbers of such texts."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # to a half, numbers say too little
        return tags


SMALL = {
    "tokens": "words",
    "embedding_size": 8,
    "hidden_size": 4,
    "min_count": 1,
    "token_dropout": 0.0,
    "dropout": 0.0,
    "epochs": 8,
    "lr": 0.03,
}


@parametrize_with_checks([Classifier(**SMALL), Regressor(**SMALL)])
def test_checks_of_an_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "reads"),
    [
        (SequenceClassifier, {"string", "one_d_array"}),
        (SequenceRegressor, {"string", "one_d_array"}),
        (SequenceTagger, {"string", "one_d_array"}),
        (LanguageModel, {"string", "one_d_array"}),
        (SeriesClassifier, {"three_d_array", "allow_nan"}),
        (SeriesRegressor, {"three_d_array", "allow_nan"}),
        (SequenceForecaster, {"two_d_array"}),
    ],
)
def test_tags_say_what_an_estimator_reads(estimator, reads):
    tags = asdict(get_tags(estimator()).input_tags)
    assert {name for name, holds in tags.items() if holds is True} == reads
