"""Series of numbers: their labels, or a number of each."""

import json
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from elman.tasks import SeriesClassifier, SeriesRegressor, TaskError
from elman.tasks.data.series import Reading, as_series
from elman.tasks.training.numbernet import NumberBatches
from tests.tasks.series_rows import SETTINGS, make_series

NAN = np.nan


@pytest.fixture(scope="module")
def rows():
    return make_series(60)


@pytest.fixture(scope="module")
def unseen():
    return make_series(40, seed=1)


@pytest.fixture(scope="module")
def model(rows):
    return SeriesClassifier(**SETTINGS).fit(*rows)


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        (np.zeros((3, 2, 5)), [(5, 2)] * 3),
        (np.zeros((3, 5)), [(5, 1)] * 3),
        ([np.zeros((2, 5)), np.zeros((2, 7))], [(5, 2), (7, 2)]),
        ([[1, 2, 3], np.zeros(4)], [(3, 1), (4, 1)]),
        ((one for one in np.zeros((2, 1, 3), int)), [(3, 1)] * 2),
    ],
)
def test_series_come_as_sktime_and_aeon_have_them(given, shapes):
    found = as_series(given)
    assert [one.shape for one in found] == shapes
    assert {one.dtype for one in found} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "X has no series; expected at least one."),
        (np.zeros(5), "X must be a list of series. Got one; write [series]."),
        ([np.zeros((2, 3)), np.zeros((1, 3))], "X[1] has 1 channels, X[0] has 2; expected arrays"),
        ([np.zeros(0), [1.0]], "1 of the 2 series in X are empty (number 0); leave them out."),
        ([np.zeros((1, 2, 3))], "X[0] must be an array (channels, T), or (T,) of one channel. Got"),
        ([["a", "b"]], "X[0] must be an array of numbers (could not convert"),
        ([[1.0, np.inf]], "X[0] has an infinite value; a missing one is NaN."),
    ],
)
def test_what_is_no_series_is_told(given, message):
    with pytest.raises(TaskError, match="^" + re.escape(message)):
        as_series(given)


def test_inputs_are_standardised_and_several_steps_at_once():
    series = [np.array([[1.0, 7.0], [3.0, NAN], [5.0, 7.0]], np.float32)]
    reading = Reading.of(series, patch=2)
    scale = np.sqrt(8 / 3)
    expected = [
        [-2 / scale, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],  # channel after channel, then the flags
        [2 / scale, 2 / scale, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # the last step, twice
    ]
    np.testing.assert_allclose(reading.inputs(series[0]), expected, rtol=1e-6)
    assert Reading.of([np.zeros((150, 1)), np.zeros((101, 1))], None).patch == 2
    assert Reading.of([np.zeros((100, 1))], None).patch == 1
    assert not Reading.of([np.zeros((3, 1))], None).missing


@pytest.mark.parametrize(
    "settings",
    [{}, {"cell": "lightgru", "patch": 3}, {"backend": "torch", "pooling": "last"}],
    ids=["defaults", "another cell", "torch.nn"],
)
def test_labels_are_learned(rows, unseen, settings):
    found = SeriesClassifier(**SETTINGS, **settings).fit(*rows)
    assert found.score(*unseen) > 0.9
    chances = found.predict_proba(unseen[0])
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-5)


def test_numbers_are_learned():
    series, labels = make_series(80, gaps=0.0)
    quick = np.array(labels) == "quick"
    truth = 1000 + 50 * quick + [one[1].mean() for one in series]
    found = SeriesRegressor(**SETTINGS).fit(series[:60], truth[:60])
    assert found.score(series[60:], truth[60:]) > 0.9


def test_a_series_is_judged_alone_as_among_others(model, unseen):
    together = model.predict_proba(unseen[0])
    alone = np.concatenate([model.predict_proba([one]) for one in unseen[0]])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_both_backends_learn_the_same(rows):
    settings = {**SETTINGS, "epochs": 2}
    models = [SeriesClassifier(**settings, backend=one).fit(*rows) for one in ("elman", "torch")]
    losses = [[epoch["train_loss"] for epoch in model.net_.summary()] for model in models]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_scikit_learn_can_use_it(rows):
    small = clone(SeriesClassifier(**{**SETTINGS, "epochs": 10, "verbose": 0}))
    series = np.empty(len(rows[0]), object)
    series[:] = rows[0]
    assert cross_val_score(small, series, np.array(rows[1]), cv=2).mean() > 0.7


@pytest.mark.parametrize("kind", [SeriesClassifier, SeriesRegressor])
def test_a_saved_model_says_the_same(kind, tmp_path):
    series, labels = make_series(20)
    y = labels if kind is SeriesClassifier else [float(len(one[0])) for one in series]
    found = kind(**{**SETTINGS, "epochs": 2}, patch=2).fit(series, y)
    found.save(tmp_path)
    again = kind.load(tmp_path)
    np.testing.assert_array_equal(again.predict(series), found.predict(series))
    assert again.get_params() == found.get_params()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reading": {}}, "'reading' must have lists of numbers"),
        ({"reading": {"mean": [0, 0], "scale": [1, 0], "patch": 1, "missing": True}}, "positive"),
        ({"reading": {"mean": [0, 0], "scale": [1, 1], "patch": 0, "missing": True}}, "a 'patch'"),
        ({"reading": {"mean": [0] * 3, "scale": [1] * 3, "patch": 1, "missing": True}}, "expected"),
        ({"labels": ["a", "b", "c"]}, "expected"),
        ({"labels": None}, "'labels' is 'None'; expected a list"),
        ({"format": "elman sequence series regressor"}, "this model is of another task"),
    ],
)
def test_a_folder_that_does_not_hold_together(model, tmp_path, change, message):
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(TaskError, match=message):
        SeriesClassifier.load(tmp_path)


@pytest.mark.parametrize(
    ("settings", "y", "message"),
    [
        ({}, ["a", "a"], "y has 1 class; there must be at least 2"),
        ({}, ["a"], "y must have one label for each series in X. Got labels of shape (1,) for 2"),
        ({"patch": 0}, ["a", "b"], "patch must be None, or a whole number from 1"),
        ({"noise": -1}, ["a", "b"], "noise must be a number of at least 0. Got -1."),
        ({"cell": "gruu"}, ["a", "b"], "Did you mean 'gru'?"),
        ({"patience": 2}, ["a", "b"], "patience needs held-out data"),
    ],
)
def test_what_cannot_be_learned_is_told(settings, y, message):
    with pytest.raises(TaskError, match=re.escape(message)):
        SeriesClassifier(**settings).fit([[1, 2], [2, 1]], y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b"], "y must hold numbers. Got"),
        ([1.0, NAN], "y has no value in row 1"),
        ([1.0, np.inf], "1 of them not finite"),
    ],
)
def test_what_is_no_number_is_told(y, message):
    with pytest.raises(TaskError, match=re.escape(message)):
        SeriesRegressor().fit([[1, 2], [2, 1]], y)


def test_series_of_other_channels_are_told(model):
    with pytest.raises(TaskError, match=re.escape("X[0] has 1 channels, in training there were 2")):
        model.predict([[1.0, 2.0]])


def test_a_rank_without_a_series_learns_no_number():
    dataset = Reading.of([np.zeros((2, 1))], 1).encode([np.zeros((2, 1))], np.array([3.0]))
    batch, numbers = NumberBatches(dataset, 4).batch(np.array([0]), rank=1, ranks=2)
    assert (len(batch), numbers.isnan().tolist()) == (1, [True])
    assert NumberBatches(dataset, 4).batch(np.array([0]), 0, 2)[1].tolist() == [3.0]
