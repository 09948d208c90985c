"""A saved model is opened for use without what only training needs, and answers the same."""

import inspect
import json
from typing import NamedTuple

import numpy as np
import pytest

from elman.tasks import (
    LanguageModel,
    SequenceClassifier,
    SequenceForecaster,
    SequenceRegressor,
    SequenceTagger,
    SeriesClassifier,
    SeriesRegressor,
    TaskError,
)
from elman.tasks.models.base import TrainedModel
from elman.tasks.models.config import NEEDED
from elman.tasks.models.opening import load_model
from tests.tasks.plain_rows import make_text
from tests.tasks.rows import make_rows
from tests.tasks.series_rows import make_series
from tests.tasks.started import each_loaded
from tests.tasks.tagged_rows import make_tagged
from tests.tasks.wave_rows import make_waves

SMALL = {"hidden_size": 4, "epochs": 1, "verbose": 0}
TEXTS = {**SMALL, "embedding_size": 4}
SERIES, LABELS = make_series(20)


class Kind(NamedTuple):
    """An estimator, what it learns, what it answers, and the commands that use it."""

    model: object
    learn: tuple
    answer: object  # of a model
    commands: tuple[tuple[str, ...], ...]


KINDS = {
    "classify": Kind(
        SequenceClassifier(**TEXTS),
        make_rows(40),
        lambda model: model.predict_proba(["很好", "很差的"]),
        (("predict", "很好"),),
    ),
    "classify with numbers": Kind(
        SequenceRegressor(**TEXTS),
        (make_rows(40)[0], [float(number % 7) for number in range(40)]),
        lambda model: model.predict(["很好", "很差的"]),
        (("predict", "很好"),),
    ),
    "tag": Kind(
        SequenceTagger(**TEXTS),
        make_tagged(30),
        lambda model: model.predict_spans(["我在北京", "书"]),
        (("predict", "我在北京"),),
    ),
    "lm": Kind(
        LanguageModel(**TEXTS, num_layers=1),
        ([make_text(40)],),
        lambda model: [model.bits(["a dog"]), [*model.generate(length=5, seed=0)]],
        (("generate", "--length", "3"), ("score", "a dog")),
    ),
    "series": Kind(
        SeriesClassifier(**SMALL),
        (SERIES, LABELS),
        lambda model: model.predict_proba(SERIES[:3]),
        (("predict", "1,2,3:4,5,6"),),
    ),
    "regression": Kind(
        SeriesRegressor(**SMALL),
        (SERIES, np.arange(20.0)),
        lambda model: model.predict(SERIES[:3]),
        (("predict", "1,2,3:4,5,6"),),
    ),
    "forecast": Kind(
        SequenceForecaster(**SMALL, horizon=3),
        (make_waves(2, 40),),
        lambda model: model.predict_quantiles(make_waves(3, 31)),
        (("predict", "1,2,3,4"),),
    ),
}
#: What only training and reports need; each takes a tenth of a second or more.
NOT_NEEDED = {"sklearn", "skorch", "scipy", "pandas", "torch._dynamo", "matplotlib", "snownlp"}


@pytest.fixture(scope="module", params=KINDS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def kind(name):
    return KINDS[name]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of all kinds, trained."""
    folders = {name: tmp_path_factory.mktemp("opened") / "model" for name in KINDS}
    for name, kind in KINDS.items():
        kind.model.fit(*kind.learn, folder=folders[name])
    return folders


@pytest.fixture
def folder(folders, name):
    return folders[name]


@pytest.fixture(scope="module")
def used(folders):
    """By kind, what each of its commands says and loads."""
    runs = [
        (name, (command, folders[name], *arguments))
        for name, kind in KINDS.items()
        for command, *arguments in (*kind.commands, ("inspect",))
    ]
    found = each_loaded(*(arguments for _, arguments in runs))
    used = {name: [] for name in KINDS}
    for (name, _), one in zip(runs, found, strict=True):
        used[name].append(one)
    return used


def test_it_answers_as_the_estimator_does(kind, folder):
    opened = load_model(folder)
    assert isinstance(opened, TrainedModel)
    assert not hasattr(opened, "fit")
    expected = kind.answer(kind.model)
    for model in (opened, type(kind.model).load(folder)):
        np.testing.assert_equal(kind.answer(model), expected)
        assert model.about() == kind.model.about()
        assert model.training_ == kind.model.training_ | {"epochs": model.training_["epochs"]}


def test_answers_load_only_what_they_need(name, used):
    assert len(used[name]) == len(KINDS[name].commands) + 1
    for out, modules in used[name]:
        assert out
        assert {"torch", "elman.nn"} <= modules
        assert not modules & NOT_NEEDED


def test_its_parameters_are_those_of_the_estimator(kind, folder):
    given = sorted(inspect.signature(type(kind.model)).parameters)
    assert type(kind.model)._parameter_names() == given
    assert type(load_model(folder))._parameter_names() == given


def test_what_only_training_needs_may_be_missing(kind, folder, tmp_path):
    written = json.loads((folder / "config.json").read_bytes())
    needed = NEEDED | type(kind.model).NEEDED
    kept = {name: value for name, value in written["parameters"].items() if name in needed}
    assert len(kept) < len(written["parameters"])
    (tmp_path / "config.json").write_text(json.dumps({**written, "parameters": kept}))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    np.testing.assert_equal(kind.answer(load_model(tmp_path)), kind.answer(kind.model))


@pytest.mark.parametrize("parameter", ["cell", "backend"])
def test_what_cannot_be_is_refused(folder, tmp_path, parameter):
    written = json.loads((folder / "config.json").read_bytes())
    written["parameters"][parameter] = "abacus"
    (tmp_path / "config.json").write_text(json.dumps(written))
    with pytest.raises(TaskError, match=f"config.json: {parameter} must be one of .* Got 'abacus'"):
        load_model(tmp_path)
