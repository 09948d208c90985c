"""SequenceClassifier: it learns, it repeats itself, it keeps scikit-learn's conventions."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback, EarlyStopping

import elman
from elman.tasks import SequenceClassifier, TaskError

SMALL = {"embedding_size": 12, "hidden_size": 12, "epochs": 6, "batch_size": 16, "lr": 0.02}
SMALL |= {"token_dropout": 0.0, "dropout": 0.3}


@pytest.fixture(scope="module")
def fitted(rows):
    return SequenceClassifier(**SMALL).fit(*rows)


def test_it_learns(fitted, unseen):
    texts, labels = unseen
    assert fitted.classes_.tolist() == ["negative", "positive"]
    assert fitted.score(texts, labels) > 0.95
    probabilities = fitted.predict_proba(texts)
    assert probabilities.shape == (100, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (fitted.classes_[probabilities.argmax(1)] == fitted.predict(texts)).all()


def test_a_text_gets_the_same_answer_alone_and_in_company(fitted, unseen):
    texts = [*unseen[0], "x" * 150]
    alone = np.concatenate([fitted.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(fitted.predict_proba(texts), alone, atol=1e-6)


def test_characters_never_seen_and_no_texts_at_all(fitted):
    assert fitted.predict_proba(["☃☃"]).shape == (1, 2)
    assert fitted.predict_proba([]).shape == (0, 2)


def test_the_seed_decides(rows, fitted, unseen):
    texts = unseen[0]
    with torch.random.fork_rng():
        torch.manual_seed(99)  # of no interest to the classifier
        before = torch.random.get_rng_state()
        again = SequenceClassifier(**SMALL).fit(*rows)
        assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))
    other = SequenceClassifier(**SMALL, random_state=1).fit(*rows)
    assert not np.array_equal(other.predict_proba(texts), fitted.predict_proba(texts))


def test_both_backends_learn_the_same(rows, fitted, unseen):
    theirs = clone(fitted).set_params(backend="torch").fit(*rows)
    first = [model.net_.history[0, "batches", 0, "train_loss"] for model in (fitted, theirs)]
    assert first[0] == pytest.approx(first[1], abs=1e-5)
    np.testing.assert_allclose(
        fitted.predict_proba(unseen[0]), theirs.predict_proba(unseen[0]), atol=0.02
    )


def test_held_out_texts_are_measured_and_change_nothing(rows, fitted, unseen):
    measured = SequenceClassifier(**SMALL).fit(*rows, valid=unseen)
    assert measured.net_.history[-1, "valid_acc"] == pytest.approx(measured.score(*unseen))
    assert np.array_equal(measured.predict_proba(unseen[0]), fitted.predict_proba(unseen[0]))


def test_what_is_too_long_is_cut_and_counted(rows, unseen):
    texts, labels = rows
    model = SequenceClassifier(**SMALL, ngrams=0, max_length=10).fit(texts, labels)
    assert model.truncated_ == sum(len(text) > 10 for text in texts) > 0
    cut = [text[:10] for text in unseen[0]]
    np.testing.assert_allclose(model.predict_proba(unseen[0]), model.predict_proba(cut), atol=1e-6)


def test_layers_dropout_and_one_direction(rows, unseen):
    model = SequenceClassifier(**SMALL, num_layers=2, bidirectional=False).fit(*rows)
    assert model.score(*unseen) > 0.9
    assert model.net_.module_.rnn.num_layers == 2


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "tokens": "bytes", "pooling": "last"},
        {"cell": elman.cells.LightGRU, "hidden_size": [16, 8], "num_layers": 2},
        {"cell": {"name": "leaky", "leak": 0.5}, "recurrent": {"merge": "sum"}, "pooling": "max"},
        {"cell": elman.cells.LSTM(), "backend": "torch", "pooling": "mean"},
    ],
    ids=str,
)
def test_any_cell_inside(rows, unseen, options):
    model = SequenceClassifier(**{**SMALL, **options})
    assert clone(model).fit(*rows).score(*unseen) > 0.9


def test_words():
    texts = ["the good, the bad", "Bad.", "good!", "what goodness"] * 10
    model = SequenceClassifier(**SMALL, tokens="words").fit(texts, [0, 0, 1, 1] * 10)
    assert model.vocabulary_.tokens[:4] == ["bad", "good", "the", "!"]
    assert model.predict(["GOOD !", "bad, what"]).tolist() == [1, 0]


def test_class_weights(rows):
    # A seventh of the texts is positive; nothing in them tells which.
    texts, labels = ["same"] * 70, ["negative"] * 60 + ["positive"] * 10
    chances = {
        name: SequenceClassifier(**{**SMALL, "epochs": 20}, class_weight=weight)
        .fit(texts, labels)
        .predict_proba(["same"])[0, 1]
        for name, weight in (("none", None), ("balanced", "balanced"), ("dict", {"positive": 6.0}))
    }
    assert chances["none"] < 0.3
    assert chances["balanced"] == pytest.approx(0.5, abs=0.1)
    assert chances["dict"] == pytest.approx(0.5, abs=0.1)
    with pytest.raises(TaskError, match=r"class_weight has labels that y has not: \['posi'\]"):
        SequenceClassifier(class_weight={"posi": 2.0}).fit(*rows)


@pytest.mark.parametrize("labels", [[0, 1], [True, False], np.array([3, -3]), ["b", "a"]], ids=str)
def test_labels_of_any_sensible_type(labels):
    model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(["aa", "bb"] * 4, list(labels) * 4)
    assert model.classes_.tolist() == sorted(set(np.asarray(labels).tolist()))
    assert model.predict(["aa"]).dtype == np.asarray(labels).dtype


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (
            [1, "1"],
            r"2: int (1), str ('1'). Convert them to one type, strings for example, or leave",
        ),
        (np.array([True, 2], object), "2: bool (True), int (2). Conv"),
    ],
    ids=str,
)
def test_labels_of_two_types(labels, found):
    with pytest.raises(TaskError) as error:
        SequenceClassifier(**SMALL).fit(["aa", "bb"], labels)
    assert str(error.value).startswith(f"y must hold labels of one type. Got {found}")


def test_one_type_of_numpy_and_of_python():
    model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(["aa", "bb"] * 2, [np.int64(0), 1] * 2)
    assert model.classes_.tolist() == [0, 1]


# -- further passes


def test_training_in_parts(rows, unseen):
    model = SequenceClassifier(**SMALL)
    for begin in [0, 100, 200] * 4:
        part = slice(begin, begin + 100)
        model.partial_fit(rows[0][part], rows[1][part], classes=["positive", "negative"])
    assert model.score(*unseen) > 0.9
    assert len(model.net_.history) == 12
    assert set(model.net_.history[:, "lr"]) == {SMALL["lr"]}
    vocabulary = model.vocabulary_.tokens
    model.set_params(lr=0.001).partial_fit(["new words"], ["negative"])
    assert model.vocabulary_.tokens == vocabulary
    assert model.net_.history[-1, "lr"] == 0.001


def test_training_goes_on_after_fit_and_load(rows, fitted, unseen, tmp_path):
    model = clone(fitted).fit(*rows)
    before = model.net_.history[-1, "train_loss"]
    model.partial_fit(*rows)
    assert model.net_.history[-1, "train_loss"] < 2 * before
    fitted.save(tmp_path)
    loaded = SequenceClassifier.load(tmp_path).partial_fit(*rows)
    assert loaded.score(*unseen) > 0.95
    assert not np.array_equal(loaded.predict_proba(unseen[0]), fitted.predict_proba(unseen[0]))


def test_patience_and_epochs_do_not_count_in_a_pass(rows, unseen):
    model = SequenceClassifier(**{**SMALL, "epochs": 1}, patience=1)
    model.fit(*rows, valid=unseen)
    for _ in range(3):
        model.partial_fit(*rows)
    assert len(model.net_.history) == 4


@pytest.mark.parametrize(
    ("parameters", "arguments", "message"),
    [
        ({}, {}, "The first partial_fit needs classes: all labels there will be."),
        ({}, {"classes": [1]}, "classes has 1 class; there must be at least 2 different labels."),
        ({}, {"classes": [0.5, 1.5]}, "classes must hold strings, whole numbers or booleans."),
        (
            {},
            {"classes": [1, 2]},
            "y has labels that were not there in training: 0; expected 1, 2.",
        ),
        ({"class_weight": "balanced"}, {"classes": [0, 1]}, "class_weight='balanced' needs all te"),
        ({"class_weight": {2: 1.0}}, {"classes": [0, 1]}, "class_weight has labels that y has not"),
    ],
)
def test_mistakes_in_a_first_pass(parameters, arguments, message):
    with pytest.raises(TaskError) as error:
        SequenceClassifier(**parameters).partial_fit(["aa", "bb"], [0, 1], **arguments)
    assert str(error.value).startswith(message)


def test_mistakes_in_a_later_pass(fitted):
    with pytest.raises(TaskError, match=r"classes must be those of the first call: \['negative'"):
        fitted.partial_fit(["a"], ["negative"], classes=["negative"])
    with pytest.raises(TaskError, match=r"y has labels that .* 'c', 'd'; expected 'negative', 'p"):
        fitted.partial_fit(["a", "a", "b"], ["d", "c", "negative"])


def test_scores_of_labels_never_seen(fitted):
    with pytest.raises(TaskError, match=r"y has labels that were not there in training: 1; expect"):
        fitted.score(["a"], [1])


class InterruptThePass(Callback):
    def on_batch_end(self, net, **kwargs):
        if net.steady:
            raise KeyboardInterrupt


def test_an_interrupted_pass(rows, unseen):
    model = SequenceClassifier(**SMALL).fit(*rows, callbacks=[("stop", InterruptThePass())])
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(*rows)
    assert len(model.net_.history) == SMALL["epochs"]
    assert model.score(*unseen) > 0.9


# -- scikit-learn's conventions


@pytest.mark.parametrize(
    "options", [{"cell": elman.cells.Leaky(leak=0.5)}, {"cell": "gru"}], ids=str
)
def test_pickles_and_copies_answer_as_the_model(rows, unseen, options):
    model = SequenceClassifier(**{**SMALL, **options}).fit(rows[0][:60], rows[1][:60])
    expected = model.predict_proba(unseen[0])
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(other.predict_proba(unseen[0]), expected)


def test_searching_in_processes(rows):
    model = SequenceClassifier(**{**SMALL, "epochs": 1})
    search = GridSearchCV(model, {"cell": ["rnn", "gru"], "lr": [0.01, 0.02]}, cv=2, n_jobs=2)
    alone = GridSearchCV(model, {"cell": ["rnn", "gru"], "lr": [0.01, 0.02]}, cv=2)
    scores = [
        one.fit(rows[0][:60], rows[1][:60]).cv_results_["mean_test_score"]
        for one in (search, alone)
    ]
    assert np.array_equal(*scores)


def test_parameters_are_stored_as_given_and_cloned():
    model = SequenceClassifier(hidden_size=7, random_state=3)
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(lr=0.5).lr == 0.5
    assert "hidden_size=7" in repr(model)
    assert model.__sklearn_tags__().input_tags.string


def test_cross_validation_search_and_pipeline(rows):
    texts, labels = rows[0][:120], rows[1][:120]
    model = SequenceClassifier(**SMALL)
    assert cross_val_score(model, texts, labels, cv=2).mean() > 0.7
    search = GridSearchCV(model, {"hidden_size": [4, 8]}, cv=2).fit(texts, labels)
    assert search.best_params_["hidden_size"] in (4, 8)
    strip = FunctionTransformer(lambda texts: [text.strip() for text in texts])
    pipeline = Pipeline([("strip", strip), ("model", model)])
    assert pipeline.fit(texts, labels).score(texts, labels) > 0.9


def test_columns_of_pandas(rows):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": rows[0][:50], "label": rows[1][:50]})
    model = SequenceClassifier(**{**SMALL, "epochs": 1}).fit(frame["text"], frame["label"])
    assert model.predict(frame["text"]).shape == (50,)
    with pytest.raises(TaskError, match=r"one-dimensional. Got shape \(50, 1\)"):
        model.predict(frame[["text"]])


def test_an_unfitted_model_says_so():
    with pytest.raises(ValueError, match="not fitted yet"):
        SequenceClassifier().predict(["a"])


# -- mistakes


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("embedding_size", 0, "embedding_size must be a whole number from 1 to 65,536. Got 0."),
        ("num_layers", True, "num_layers must be a whole number from 1 to 256. Got True."),
        ("epochs", 1.5, "epochs must be a whole number from 1 to 2,147,483,647. Got 1.5."),
        ("token_dropout", -0.1, "token_dropout must be at least 0 and below 1. Got -0.1."),
        ("dropout", 1.0, "dropout must be at least 0 and below 1. Got 1.0."),
        ("lr", -1, "lr must be a positive number. Got -1."),
        ("bidirectional", "yes", "bidirectional must be True or False. Got 'yes'."),
        ("backend", "jax", "backend must be one of elman, torch. Got 'jax'."),
        ("hidden_size", [8, 0], "hidden_size must be a whole number from 1 to 65,536, or a list"),
        ("hidden_size", [], "hidden_size must be a whole number from 1 to 65,536, or a list of"),
        ("num_layers", 257, "num_layers must be a whole number from 1 to 256. Got 257."),
        ("lr", 10**400, "lr must be a positive number. Got 1000"),
        ("tokens", "letters", "tokens must be one of characters, bytes, words. Got 'letters'."),
        ("pooling", ["max"], "pooling must be one of max_mean, max, mean, last. Got ['max']."),
        ("class_weight", {"a": 0}, "class_weight must be None, 'balanced', or a dict of a posi"),
        ("recurrent", {"bias": 1}, "recurrent must be None, or by name some of bias (bool), resi"),
        ("recurrent", {"merge": "add"}, "The recurrent layers can't be made: Recurrent: merge mus"),
        ("cell", "transformer", "cell must be one of rnn, "),
    ],
)
def test_wrong_parameters(parameter, value, message):
    with pytest.raises(TaskError) as error:
        SequenceClassifier(**{parameter: value}).fit(["a", "b"], [0, 1])
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("abc", [0, 1, 0], "X must be a list of texts. Got one text; write [text]."),
        (["a", 5], [0, 1], "X[1] must be a text. Got int: 5."),
        (["a", " ", "b", ""], [0, 1, 0, 1], "2 of the 4 texts in X are empty (numbers 1, 3)"),
        (["a", "b"], [0], "y must have one label for each text in X. Got labels of shape (1,)"),
        (
            ["a", "b"],
            [0.5, 1.5],
            "y must hold strings, whole numbers or booleans. Unknown label",
        ),
        (
            ["a", "b"],
            [None, "x"],
            "y has no value in row 0, counted from 0; leave them out, of X and y alike, or fill th",
        ),
        (["a", "b"], [1, 1], "y has 1 class; there must be at least 2 different labels."),
    ],
)
def test_wrong_data(texts, labels, message):
    with pytest.raises(TaskError) as error:
        SequenceClassifier().fit(texts, labels)
    assert message in str(error.value)


def test_tokens_that_are_all_too_rare():
    with pytest.raises(
        TaskError, match=r"^X has no character that occurs 1,000 times; lower min_c"
    ):
        SequenceClassifier(min_count=1000).fit(["a", "b"], [0, 1])


def test_a_held_out_label_that_training_has_not():
    with pytest.raises(TaskError, match=r"valid\[1\] has labels that .*: 'c'; expected 'a', 'b'"):
        SequenceClassifier().fit(["aa", "bb"], ["a", "b"], valid=(["c"], ["c"]))


class Poison(Callback):
    def on_train_begin(self, net, **kwargs):
        torch.nn.init.constant_(net.module_.output.bias, float("nan"))


def test_a_loss_that_is_no_number_stops_the_training(rows):
    with pytest.raises(TaskError, match=r"^The loss became nan in epoch 1 at step 1\. Nothing"):
        SequenceClassifier(**SMALL).fit(*rows, callbacks=[("poison", Poison())])


class Interrupt(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_half_a_training_is_no_result(rows):
    with pytest.raises(KeyboardInterrupt):
        SequenceClassifier(**SMALL).fit(*rows, callbacks=[("interrupt", Interrupt())])


def test_a_callback_may_end_the_training_early(rows, unseen):
    stop = EarlyStopping(monitor="valid_loss", patience=1, threshold=10.0, sink=lambda text: None)
    model = SequenceClassifier(**SMALL).fit(*rows, valid=unseen, callbacks=[("stop", stop)])
    assert len(model.net_.history) < SMALL["epochs"]
