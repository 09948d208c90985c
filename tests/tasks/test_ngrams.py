"""What n-grams say of a text, beside scikit-learn's TF-IDF, and what they have seen."""

from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from elman.tasks import SequenceClassifier
from elman.tasks.data.split import identities
from elman.tasks.data.text import Ragged, Vocabulary
from elman.tasks.networks import linear, ngrams
from elman.tasks.networks.linear import LABEL, LABELS, NUMBER
from elman.tasks.networks.ngrams import NGrams, grams
from tests.tasks.rows import make_rows


def encode(texts, labels=None):
    vocabulary = Vocabulary.build(texts)
    return Ragged(map(vocabulary.encode, texts), labels)


def cut(text, longest):
    """A text's n-grams, with its ends as tokens; single tokens are never ends."""
    ended = ["<", *text, ">"]
    more = [
        tuple("<" if one == ">" else one for one in ended[at : at + n])
        for n in range(2, longest + 1)
        for at in range(len(ended) - n + 1)
    ]
    return [(one,) for one in text] + more


@pytest.fixture
def learned():
    """A fit of some texts, their own scores, and both."""
    texts, labels = make_rows(120)
    rows = encode(texts, np.unique(labels, return_inverse=True)[1])
    return *NGrams.fit(rows, identities(texts), 2, 3), rows, texts


@pytest.mark.parametrize("longest", [1, 2, 3, 8])
def test_equal_ngrams_alone_have_equal_numbers(longest):
    texts = ["abcab", "b", "ca", "abab" * 3]
    rows = encode(texts)
    owner, keys = grams(np.concatenate(list(rows)), rows.lengths, longest)
    assert (keys >= 0).all()
    for number, text in enumerate(texts):
        expected, found = Counter(cut(text, longest)), Counter(keys[owner == number].tolist())
        assert sorted(expected.values()) == sorted(found.values())
    every = {one for text in texts for one in cut(text, longest)}
    assert len(every) == len(set(keys.tolist()))


@pytest.mark.parametrize("at_once", [1, 50, 1 << 18])
def test_features_are_those_of_scikit_learn(learned, monkeypatch, at_once):
    model, _, rows, texts = learned
    monkeypatch.setattr(ngrams, "AT_ONCE", at_once)
    theirs = TfidfVectorizer(analyzer=lambda text: cut(text, 3), sublinear_tf=True, min_df=2)
    expected, found = theirs.fit_transform(texts), model._matrix(rows)
    assert found.shape == expected.shape
    # Columns are in another order: products of texts don't depend on it.
    products = (found @ found.T).toarray()
    np.testing.assert_allclose(products, (expected @ expected.T).toarray(), atol=1e-5)


def test_a_text_scores_the_same_alone_and_in_company(learned):
    model, _, rows, _ = learned
    together = model(rows)
    alone = np.concatenate([model(rows.take(np.array([row]))) for row in range(len(rows))])
    assert np.array_equal(together, alone)
    assert model(rows.take(np.array([], np.int64))).shape == (0, 2)


def test_texts_are_scored_by_what_has_not_seen_them():
    # Labels by chance: what has seen a text knows its label, nothing else does.
    texts = [text for text in dict.fromkeys(make_rows(400)[0]) if len(text) > 6]
    labels = np.random.default_rng(0).integers(0, 2, len(texts))
    rows = encode(texts, labels)
    model, own = NGrams.fit(rows, identities(texts), 2, 4)
    model_right = (model(rows).argmax(1) == labels).mean()
    own_right = (own.argmax(1) == labels).mean()
    assert model_right > 0.75
    assert own_right < 0.6
    # The same text elsewhere counts as seen.
    pairs = [text for text in texts for _ in range(2)]
    twice = encode(pairs, labels.repeat(2))
    own = NGrams.fit(twice, identities(pairs), 2, 4)[1]
    assert (own.argmax(1) == twice.targets).mean() < 0.6


@pytest.mark.parametrize(("limit", "share"), [("ENOUGH", 1), ("WORK", 2)])
def test_the_commonest_are_kept_and_too_many_texts_are_sampled(learned, monkeypatch, limit, share):
    model, _, rows, texts = learned
    monkeypatch.setattr(ngrams, "MOST", 20)
    few = NGrams.fit(rows, identities(texts), 2, 3)[0]
    assert len(few.keys) == 20
    assert set(few.keys.tolist()) < set(model.keys.tolist())
    assert few.idf.max() < model.idf.max()
    monkeypatch.setattr(ngrams, limit, share * int(rows.lengths.sum()) * 3 // 2)
    sampled, scores = NGrams.fit(rows, identities(texts), 2, 3)
    assert not np.array_equal(sampled.weight, few.weight)
    assert scores.shape == (120, 2)
    assert (scores.argmax(1) == rows.targets).mean() > 0.7


def test_labels_that_few_texts_have():
    texts = ["aa", "aaa", "bb", "bbb", "cc"]
    rows = encode(texts, np.array([0, 0, 1, 1, 2]))
    model, own = NGrams.fit(rows, identities(texts), 4, 2)  # of label 3 there is none
    assert np.isfinite(own).all()
    assert (model(rows).argmax(1)[:4] == [0, 0, 1, 1]).all()
    assert (model(rows)[:, 3] < 0).all()
    same = encode(["aa"] * 3, np.array([0, 1, 0]))
    assert np.isfinite(NGrams.fit(same, identities(["aa"] * 3), 2, 2)[1]).all()


def test_the_whole_text_counts(rows):
    texts, labels = rows
    ended = ["的" * 30 + text for text in texts]
    small = {"embedding_size": 4, "hidden_size": 4, "epochs": 1, "max_length": 10}
    model = SequenceClassifier(**small).fit(ended, labels)
    assert model.truncated_ == len(texts)
    assert model.score(ended, labels) > 0.95
    assert SequenceClassifier(**small, ngrams=0).fit(ended, labels).score(ended, labels) < 0.7


def test_the_network_adds_what_ngrams_do_not_tell():
    # What comes first of two that stand apart.
    fill = ["x" * n for n in range(5, 15)]
    texts = [f"{a}{one}{b}{two}" for a, b in ("pq", "qp") for one in fill for two in fill]
    labels = [text[0] for text in texts]
    model = SequenceClassifier(
        embedding_size=8, hidden_size=8, epochs=20, batch_size=16, lr=0.02, dropout=0.0, ngrams=1
    )
    model.set_params(token_dropout=0.0).fit(texts, labels)
    alone = model.ngrams_(model._encode(texts)[0]).argmax(1)
    assert (model.classes_[alone] == labels).mean() < 0.7
    assert model.score(texts, labels) > 0.95


def targets_of(kind, labels):
    """Labels as numbers of them, as flags of three labels, or as a number."""
    number = np.unique(labels, return_inverse=True)[1]
    if kind is LABELS:
        return np.stack([number, 1 - number, np.arange(len(number)) % 5 == 0], 1).astype(np.float32)
    return number.astype(np.float32) - 0.5 if kind is NUMBER else number


@pytest.mark.parametrize("kind", [LABEL, LABELS, NUMBER], ids=["label", "labels", "number"])
def test_weights_sought_in_the_span_of_few_texts_are_the_same(kind, monkeypatch):
    texts, labels = make_rows(90)
    targets = targets_of(kind, labels)
    outputs = {LABEL: 2, LABELS: 3, NUMBER: 1}[kind]
    monkeypatch.setattr(ngrams, "RARE", 1)  # more n-grams than texts
    given = (encode(texts, targets), identities(texts), outputs, 4, kind)
    found = []
    for large in (1 << 40, 1):
        monkeypatch.setattr(linear, "LARGE", large)
        found.append(NGrams.fit(*given))
    (slow, own), (fast, same) = found
    assert len(slow.keys) > 2 * len(texts)
    np.testing.assert_allclose(own, same, atol=0.03)
    np.testing.assert_allclose(slow.weight, fast.weight, atol=0.03)
    assert float(abs(slow.weight).max()) > 0.5


def test_how_far_the_regressions_are_is_told():
    texts, labels = make_rows(90)
    rows, told = encode(texts, targets_of(LABEL, labels)), []
    NGrams.fit(rows, identities(texts), 2, 3, told=lambda *given: told.append(given))
    assert told == [(done, 4) for done in range(5)]
