"""Several labels for a text, in Python: forms of `y`, thresholds, scores, folders."""

import json

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_score

from elman.tasks import SequenceClassifier, TaskError
from elman.tasks.report.several import evaluate_several
from elman.tasks.several import as_several
from tests.tasks.labelled_rows import SETTINGS, make_labelled

NAMES = ["food", "music", "sport"]


def flags_of(labels):
    return np.array([[name in row for name in NAMES] for row in labels], np.int64)


@pytest.fixture(scope="module")
def rows():
    return make_labelled(240)[:2]


@pytest.fixture(scope="module")
def unseen():
    return make_labelled(60, seed=1)[:2]


@pytest.fixture(scope="module", params=[0, 2], ids=["network alone", "with n-grams"])
def fitted(request, rows):
    return SequenceClassifier(**SETTINGS, ngrams=request.param).fit(*rows)


def test_it_learns_every_label(fitted, unseen):
    texts, labels = unseen
    assert fitted.classes_.tolist() == NAMES
    found = fitted.predict(texts)
    assert found.dtype == np.int64
    assert f1_score(flags_of(labels), found, average="micro") > 0.95
    chances = fitted.predict_proba(texts)
    assert np.array_equal(chances > 0.5, found)
    assert (chances.sum(1) > 1.5).any()  # they don't add up to one
    assert fitted.score(texts, labels) == (found == flags_of(labels)).all(1).mean()
    named = fitted.predict_labels(texts)
    assert [sorted(row) for row in named] == [
        [name for name, one in zip(NAMES, row, strict=True) if one] for row in found.tolist()
    ]
    likeliest = [chances[row, NAMES.index(names[0])] for row, names in enumerate(named) if names]
    assert likeliest == [max(chances[row]) for row, names in enumerate(named) if names]


def test_forms_of_y_that_mean_the_same(rows):
    texts, labels = rows
    flags = flags_of(labels)
    model = SequenceClassifier(**{**SETTINGS, "epochs": 1}, ngrams=0)
    expected = model.fit(texts, labels).predict_proba(texts[:9])
    forms = [[set(row) for row in labels], [tuple(row) for row in labels]]
    forms += [flags, flags.tolist(), list(flags), csr_array(flags), flags.astype(float)]
    for form in forms:
        assert np.array_equal(model.fit(texts, form).predict_proba(texts[:9]), expected)
    assert model.classes_.tolist() == [0, 1, 2]  # of a matrix nothing else is known


def test_the_threshold_decides_what_is_named(fitted, unseen):
    chances = fitted.predict_proba(unseen[0])
    other = SequenceClassifier(**SETTINGS, threshold=0.9)
    vars(other).update({k: v for k, v in vars(fitted).items() if k.endswith("_")})
    other.ngrams = fitted.ngrams
    assert np.array_equal(other.predict(unseen[0]), chances > 0.9)
    with pytest.raises(TaskError, match=r"threshold must be at least 0 and below 1. Got 1.5"):
        SequenceClassifier(threshold=1.5).fit(*unseen)


def test_a_folder_says_that_texts_have_several_labels(fitted, unseen, tmp_path):
    fitted.save(tmp_path)
    loaded = SequenceClassifier.load(tmp_path)
    assert loaded.several_
    assert np.array_equal(loaded.predict_proba(unseen[0]), fitted.predict_proba(unseen[0]))
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["version"], config["several"]) == (4, True)
    config["several"] = "yes"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(TaskError, match="'several' is 'yes'; expected true or false"):
        SequenceClassifier.load(tmp_path)


def test_class_weights_shift_what_is_named(rows):
    texts, labels = rows
    model = SequenceClassifier(**{**SETTINGS, "epochs": 1}, ngrams=0)
    plain = model.fit(texts, labels).net_.history[0, "batches", 0, "train_loss"]
    weighed = model.set_params(class_weight={"food": 3.0}).fit(texts, labels)
    first = weighed.net_.history[0, "batches", 0, "train_loss"]
    assert first == pytest.approx(plain * 5 / 3, rel=0.1)  # nothing is learned yet: 1 + 1 + 3
    assert model.set_params(class_weight="balanced")._weights(as_several(labels)).shape == (3,)


def test_passes_of_several_labels(rows, unseen):
    model = SequenceClassifier(**SETTINGS)
    for _ in range(6):
        model.partial_fit(*rows, classes=NAMES)
    assert model.score(*unseen) > 0.8
    with pytest.raises(TaskError, match=r"^y must hold several labels, as in training. Got one la"):
        model.partial_fit(rows[0], ["food"] * len(rows[0]))


def test_cross_validation_takes_a_matrix(rows):
    texts, labels = rows
    model = SequenceClassifier(**SETTINGS, ngrams=0)
    scores = cross_val_score(model, texts, flags_of(labels), cv=2, scoring="f1_micro")
    assert scores.min() > 0.7


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["a"], "b"], "y[1] must be a list of labels, as others are. Got 'b'; write ['b']."),
        ([["a"], None], "y has no value in row 1, counted from 0; leave them out"),
        ([["a"], [1]], "y must hold labels of one type. Got 2: int (1), str ('a')."),
        ([["a"], []], "y has 1 class; there must be at least 2 different labels."),
        ([[], []], "y has 0 classes; there must be at least 2 different labels."),
        ([["a"], ["b"], []], "y must have a list of labels for each text in X. Got 3 for 2 texts."),
        ([[1.5], [2.5]], "y must hold strings, whole numbers or booleans."),
        (np.array([[1, 2], [0, 1]]), "y must have one label for each text, or be a matrix of zero"),
    ],
)
def test_what_is_wrong_with_y(y, message):
    with pytest.raises(TaskError) as error:
        SequenceClassifier().fit(["aa", "bb"], y)
    assert message in str(error.value)


def test_labels_and_columns_that_training_had_not(fitted):
    with pytest.raises(
        TaskError, match=r"y has labels that were not there in training: 'x', 'y'; "
    ):
        fitted.score(["a", "b"], [["x"], ["y", "food"]])
    with pytest.raises(
        TaskError, match=r"y must have a column for each of the 3 labels. Got shape"
    ):
        fitted.score(["a", "b"], np.eye(2))


def test_scores_beside_those_of_scikit_learn(fitted, unseen):
    texts, labels = unseen
    chances = fitted.predict_proba(texts)
    found = evaluate_several([*labels[:-1], ["new", "food"]], chances, NAMES, 0.4)
    true = flags_of([*labels[:-1], ["food"]])
    strange = np.zeros((len(texts), 1))
    true = np.hstack([true, strange])
    true[-1, -1] = 1
    named = np.hstack([chances > 0.4, strange])
    assert found.labels == [*NAMES, "new"]
    assert found.micro_f1 == pytest.approx(f1_score(true, named, average="micro"))
    expected = f1_score(true, named, average="macro", zero_division=0.0)
    assert found.macro_f1 == pytest.approx(expected)
    assert found.subset_accuracy == (true == named).all(1).mean()
    assert found.best_micro_f1 >= found.micro_f1
    json.dumps(found.as_json())
