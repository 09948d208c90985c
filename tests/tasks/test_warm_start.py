"""Trainings that go on from what was learned before."""

import json

import numpy as np
import pytest
import torch

from elman.tasks import (
    LanguageModel,
    SequenceClassifier,
    SequenceForecaster,
    SequenceRegressor,
    SequenceTagger,
    SeriesClassifier,
    TaskError,
)
from tests.tasks import labelled_rows, plain_rows, tagged_rows
from tests.tasks.rows import make_rows
from tests.tasks.trainings import PoisonAt

TEXTS, LABELS, NUMBERS = labelled_rows.make_labelled(60)
WAVE = np.sin(np.arange(90) / 3)
SERIES = [WAVE[at : at + 9] for at in range(20)]
SMALL = {"hidden_size": 8, "epochs": 2, "verbose": 0}
OF_TEXTS = {**labelled_rows.SETTINGS, "epochs": 2}
OF_CHARACTERS = {**OF_TEXTS, "tokens": "characters"}
#: An estimator, and what its `fit` takes.
MODELS = {
    "classifier": (SequenceClassifier(**OF_CHARACTERS), make_rows(60)),
    "several labels": (SequenceClassifier(**OF_TEXTS, ngrams=0), (TEXTS, LABELS)),
    "regressor": (SequenceRegressor(**OF_TEXTS), (TEXTS, NUMBERS)),
    "tagger": (SequenceTagger(**tagged_rows.SETTINGS, verbose=0), tagged_rows.make_tagged(40)),
    "tagger with auxiliary tags": (
        SequenceTagger(**tagged_rows.SETTINGS, repeats=True, verbose=0),
        (*tagged_rows.make_tagged(40), tagged_rows.make_auxiliary(tagged_rows.make_tagged(40)[0])),
    ),
    "several taggers": (
        SequenceTagger(**tagged_rows.SETTINGS, n_estimators=2, verbose=0),
        tagged_rows.make_tagged(40),
    ),
    "language model": (
        LanguageModel(**{**plain_rows.SETTINGS, "verbose": 0}),
        ([plain_rows.make_text(20)],),
    ),
    "series": (SeriesClassifier(**SMALL), (SERIES, ["up", "down"] * 10)),
    "forecaster": (SequenceForecaster(**SMALL, horizon=3), (WAVE,)),
    "distribution": (SequenceForecaster(**SMALL, horizon=3, distribution="student-t"), (WAVE,)),
}


@pytest.fixture(scope="module", params=MODELS, ids=str)
def begun(request, tmp_path_factory):
    """A trained model, its folder, and the data it was trained on."""
    model, data = MODELS[request.param]
    folder = tmp_path_factory.mktemp("begun")
    model.fit(*data).save(folder)
    return model, folder, data


def test_a_warm_start_begins_with_the_weights_and_keeps_what_is_known(begun):
    model, folder, data = begun
    warm = type(model).load(folder).set_params(warm_start=True, lr=1e-30, epochs=1)
    learned = warm._learned()
    warm.fit(*data)
    assert warm._learned() == learned
    before = model.net_.module_.state_dict()
    for name, tensor in warm.net_.module_.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-6)
    assert warm.training_["began_from"]["data"] == model.training_["data"]
    cold = type(model).load(folder).set_params(lr=1e-30, epochs=1).fit(*data)
    apart = [
        float((tensor - before[name]).abs().max())
        for name, tensor in cold.net_.module_.state_dict().items()
    ]
    assert max(apart) > 1e-3
    assert "began_from" not in cold.training_


def test_a_first_fit_is_as_without_a_warm_start():
    data = make_rows(60)
    one, other = (SequenceClassifier(**OF_CHARACTERS, warm_start=warm) for warm in (True, False))
    expected = other.fit(*data).predict_proba(data[0])
    assert np.array_equal(one.fit(*data).predict_proba(data[0]), expected)
    assert "warm_start" not in one._as_json()


def test_other_data_may_have_fewer_labels_but_no_new_ones(tmp_path):
    texts, labels = make_rows(60)
    model = SequenceClassifier(**OF_CHARACTERS, warm_start=True).fit(texts, labels)
    model.fit(["很好", "喜欢"] * 4, ["positive"] * 8)
    assert model.classes_.tolist() == ["negative", "positive"]
    with pytest.raises(
        TaskError, match=r"not there in training: 'new'; .* Correct them, or train a"
    ):
        model.fit(["很好"], ["new"])
    tagger = SequenceTagger(**tagged_rows.SETTINGS, verbose=0, warm_start=True)
    tagger.fit(*tagged_rows.make_tagged(40))
    with pytest.raises(TaskError, match=r"^y has tags that were not there in training: S-new; exp"):
        tagger.fit(["北京"], [[(0, 1, "new")]])


def test_another_network_is_no_warm_start():
    model = SequenceClassifier(**OF_CHARACTERS, warm_start=True).fit(*make_rows(60))
    with pytest.raises(
        TaskError, match=r"^warm_start: the network would have another rnn.weight_i"
    ):
        model.set_params(hidden_size=9).fit(*make_rows(60))
    assert model.set_params(hidden_size=8).predict(["很好"]).shape == (1,)  # the one before


def test_a_warm_start_that_diverges_leaves_the_model_as_it_was():
    data = make_rows(60)
    model = SequenceClassifier(**OF_CHARACTERS, warm_start=True).fit(*data)
    expected = model.predict_proba(data[0])
    with pytest.raises(TaskError, match="The loss became nan"):
        model.fit(*data, callbacks=[("poison", PoisonAt(1))])
    assert np.array_equal(model.predict_proba(data[0]), expected)


def test_a_warm_start_is_resumed_bit_for_bit(tmp_path):
    from tests.tasks.trainings import At, interrupt

    data = make_rows(60)
    SequenceClassifier(**OF_CHARACTERS).fit(*data).save(tmp_path / "begun")

    def go_on(**given):
        model = SequenceClassifier.load(tmp_path / "begun").set_params(warm_start=True)
        return model.fit(*data, **given)

    expected = go_on().predict_proba(data[0])
    with pytest.raises(KeyboardInterrupt):
        go_on(folder=tmp_path / "on", callbacks=[("stop", At(3, interrupt))], checkpoint_seconds=0)
    resumed = go_on(folder=tmp_path / "on", resume=True)
    assert np.array_equal(resumed.predict_proba(data[0]), expected)
    config = json.loads((tmp_path / "on/config.json").read_text())
    assert config["training"]["began_from"]["data"]["train"]["texts"] == 60
