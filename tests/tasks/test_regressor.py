"""`SequenceRegressor`: numbers of texts."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from elman.tasks import SequenceRegressor, TaskError, load_model
from tests.tasks.labelled_rows import SETTINGS, make_labelled


@pytest.fixture(scope="module")
def rows():
    texts, _, numbers = make_labelled(240)
    return texts, numbers


@pytest.fixture(scope="module")
def unseen():
    texts, _, numbers = make_labelled(60, seed=1)
    return texts, numbers


@pytest.fixture(scope="module", params=[0, 2], ids=["network alone", "with n-grams"])
def fitted(request, rows, unseen):
    return SequenceRegressor(**SETTINGS, ngrams=request.param).fit(*rows, valid=unseen)


def test_it_learns(fitted, unseen):
    assert fitted.score(*unseen) > 0.9
    assert fitted.predict(unseen[0]).dtype == np.float64
    _, scale = fitted.target_
    off = (fitted.predict(unseen[0]) - np.array(unseen[1])) / scale
    last = fitted.net_.history[-1, "valid_loss"]
    assert last == pytest.approx(float((off**2).mean()), rel=1e-4)


def test_a_text_gets_the_same_answer_alone_and_in_company(fitted, unseen):
    alone = np.concatenate([fitted.predict([text]) for text in unseen[0][:9]])
    np.testing.assert_allclose(fitted.predict(unseen[0])[:9], alone, rtol=1e-5)
    assert fitted.predict([]).shape == (0,)


def test_a_folder_gives_the_same_numbers(fitted, unseen, tmp_path):
    fitted.save(tmp_path)
    for loaded in (SequenceRegressor.load(tmp_path), load_model(tmp_path)):
        assert np.array_equal(loaded.predict(unseen[0]), fitted.predict(unseen[0]))
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["format"], config["version"]) == ("elman sequence regressor", 1)
    config["target"] = [1.0, 0.0]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(TaskError, match="'target' must be a mean and a positive deviation"):
        SequenceRegressor.load(tmp_path)


def test_conventions_of_scikit_learn(rows):
    model = SequenceRegressor(**SETTINGS, ngrams=0)
    assert clone(model).get_params() == model.get_params()
    assert cross_val_score(model, *rows, cv=2).min() > 0.5
    pipeline = Pipeline([("lower", FunctionTransformer(list)), ("model", model)])
    search = GridSearchCV(pipeline, {"model__lr": [0.03]}, cv=2).fit(*rows)
    assert search.best_score_ > 0.5


def test_passes(rows, unseen):
    model = SequenceRegressor(**{**SETTINGS, "lr": 0.01})
    for _ in range(6):
        model.partial_fit(*rows)
    assert model.score(*unseen) > 0.8


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b"], "y must hold numbers. Got ['a']."),
        ([1.0, None], "y has no value in row 1, counted from 0; leave them out"),
        ([1.0, float("nan")], "y has no value in row 1"),
        ([1.0, float("inf")], "Got shape (2,) where (2,) was expected, 1 of them not finite."),
        ([1.0], "y must have one finite number for each text. Got shape (1,) where (2,) was exp"),
    ],
)
def test_what_is_wrong_with_y(y, message):
    with pytest.raises(TaskError) as error:
        SequenceRegressor().fit(["aa", "bb"], y)
    assert message in str(error.value)
