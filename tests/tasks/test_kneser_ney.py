"""Kneser-Ney n-grams, beside numbers worked out by hand and a direct evaluation of the formula."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from elman.tasks.jobs.kneser_ney import KneserNey, discounts, mixed

A, B, C = 0, 1, 2


def test_bigrams_by_hand():
    # a b a b a c: bigrams ab 2, ba 2, ac 1. Too few for estimates: 1 loses 0.5, 2 loses 1.
    model = KneserNey(np.array([A, B, A, B, A, C]), 3, 2)
    # Before b stands a, before a stands b, before c stands a: each has one token before it.
    unigram = (1 - 0.5) / 3 + (3 * 0.5 / 3) * (1 / 3)
    assert unigram == pytest.approx(1 / 3)
    after_a = {B: (2 - 1) / 3, C: (1 - 0.5) / 3, A: 0.0}
    left = (1 + 0.5) / 3
    for token, own in after_a.items():
        found = model.chances(np.array([A, token]))
        assert found[0] == pytest.approx(own + left * unigram)
    # c has nothing after it: the unigrams are all there is.
    assert model.chances(np.array([C, A]))[0] == pytest.approx(unigram)


def test_discounts_by_hand():
    counts = np.repeat([1, 2, 3, 4, 9], [10, 5, 4, 2, 1])
    share = 10 / (10 + 2 * 5)
    expected = [0, 1 - 2 * share * 5 / 10, 2 - 3 * share * 4 / 5, 3 - 4 * share * 2 / 4]
    np.testing.assert_allclose(discounts(counts), expected)
    assert discounts(np.array([1, 1, 2])).tolist() == [0.0, 0.5, 1.0, 1.5]


def direct(ids, vocabulary, order, context, token):
    """The formula, as it stands."""
    context = tuple(context[-(order - 1) :]) if order > 1 else ()
    grams = [
        Counter(tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)) for n in range(order + 2)
    ]

    def counts(n):
        if n == order:
            return grams[n]
        before = defaultdict(set)
        for gram in grams[n + 1]:
            before[gram[1:]].add(gram[0])
        return Counter({gram: len(before[gram]) for gram in grams[n]})

    def chance(context):
        n = len(context) + 1
        shorter = chance(context[1:]) if n > 1 else 1 / vocabulary
        found = counts(n)
        off = discounts(np.array(list(found.values())))
        after = {gram: count for gram, count in found.items() if gram[:-1] == context}
        total = sum(after.values())
        if not total:
            return shorter
        lost = sum(min(count, off[min(count, 3)]) for count in after.values())
        count = after.get((*context, token), 0)
        return max(count - off[min(count, 3)], 0) / total + lost / total * shorter

    return chance(context)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_any_order_is_the_formula(order):
    draw = np.random.default_rng(order)
    ids = draw.zipf(1.5, 300).clip(max=6) - 1
    text = draw.integers(0, 7, 40)  # 6 never occurs
    found = KneserNey(ids, 7, order).chances(text)
    for at in range(1, len(text)):
        expected = direct(ids.tolist(), 7, order, text[:at].tolist(), int(text[at]))
        # Contexts at the beginning of the text are as long as there are tokens.
        assert found[at - 1] == pytest.approx(expected, rel=1e-12)


def test_probabilities_add_up_to_one():
    ids = np.random.default_rng(0).integers(0, 5, 200)
    model = KneserNey(ids, 6, 3)
    for context in ([1, 2], [5, 1], [3, 5], [5, 5]):
        total = sum(model.chances(np.array([*context, token]))[-1] for token in range(6))
        assert total == pytest.approx(1)


def test_two_models_together_are_better_than_either():
    # Each knows half of the tokens: the best fixed weights are halves.
    draw = np.random.default_rng(0)
    knows = draw.random(4000) < 0.5
    one, other = np.where(knows, 0.9, 0.1), np.where(knows, 0.1, 0.9)
    assert np.log2(mixed(one, other)).mean() == pytest.approx(-1, abs=0.01)
    # One is always better: its weight goes to 1, and nothing that comes after counts.
    good, bad = np.full(4000, 0.5), np.full(4000, 0.01)
    found = mixed(good, bad)
    assert np.log2(found).mean() > -1.1
    assert np.array_equal(found[:50], mixed(good[:50], bad[:50]))
