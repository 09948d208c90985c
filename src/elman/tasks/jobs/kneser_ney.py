"""Interpolated modified Kneser-Ney n-grams: what a language model has to beat.

S. F. Chen and J. Goodman, *An Empirical Study of Smoothing Techniques for Language Modeling*
(1998), with a uniform distribution below the unigrams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class _Level(NamedTuple):
    """The n-grams of one length: sorted keys, and for each what it is worth.

    A key is the number of the n-gram without its last token, times the vocabulary, plus that token.
    """

    keys: np.ndarray  # (G,)
    gain: np.ndarray  # (G,): the n-gram's own share of the probability
    left: np.ndarray  # of each context, by its number: the share of the next shorter n-gram


class KneserNey:
    """The probabilities of tokens after up to `order` - 1 others, from counts in a row of ids.

    Args:
        ids: (N,), numbers below `vocabulary`.
        vocabulary: how many there may be.
        order: tokens of the longest n-gram.
        told: is called with how many lengths of n-grams are counted, and how many there are.

    >>> model = KneserNey(np.array([0, 1, 2, 0, 1, 1, 0]), 3, 2)
    >>> model.chances(np.array([0, 1, 0])).shape
    (2,)
    """

    def __init__(
        self,
        ids: np.ndarray,
        vocabulary: int,
        order: int = 5,
        told: Callable[[int, int], None] = lambda done, all_of_them: None,
    ) -> None:
        self.vocabulary = vocabulary
        numbers = np.zeros(len(ids), np.int64)  # of the context that ends before each place
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        place = np.arange(len(ids))  # where the n-grams of this length end
        for length in range(order):
            told(length, order)
            raw = numbers * vocabulary + ids[place]
            keys, first, inverse, counts = np.unique(
                raw, return_index=True, return_inverse=True, return_counts=True
            )
            found.append((keys, place[first], inverse, counts))
            # The context of the next place is the n-gram that ends here.
            numbers, place = inverse[:-1], place[1:]
        told(order, order)
        self._levels: list[_Level] = []
        for length, (keys, _, inverse, often) in enumerate(found):
            counts = often
            if length + 1 < order:  # after how many tokens it stands, not how often
                ends = found[length + 1][1]
                counts = np.bincount(inverse[ends - length], minlength=len(keys))
            contexts = len(found[length - 1][0]) if length else 1
            self._levels.append(_level(keys, counts, vocabulary, contexts))

    def chances(self, ids: np.ndarray) -> np.ndarray:
        """The probability of each of `ids` but the first, after those before it: (N - 1,)."""
        ids = ids.astype(np.int64)
        chance = np.full(len(ids), 1.0 / self.vocabulary)
        number = np.zeros(len(ids), np.int64)  # of the context before each place, -1 if unknown
        for level in self._levels:
            context = number
            known = context >= 0
            left = np.where(known, level.left[np.maximum(context, 0)], 1.0)
            key = np.where(known, context * self.vocabulary + ids, -1)
            at = np.minimum(level.keys.searchsorted(key), len(level.keys) - 1)
            there = level.keys[at] == key
            chance = left * chance + np.where(there, level.gain[at], 0.0)
            ended = np.where(there, at, -1)
            number = np.concatenate([[-1], ended[:-1]])
        return chance[1:]


def mixed(first: np.ndarray, second: np.ndarray, patience: int = 100) -> np.ndarray:
    """What two models say of tokens in a row, weighed by their shares in what came before: (N,).

    The first weight is a half, and counts like `patience` tokens. Nothing is tuned on the text.

    >>> mixed(np.array([0.5, 0.5, 0.5]), np.array([0.1, 0.1, 0.1]), 1).round(2).tolist()
    [0.3, 0.37, 0.4]
    """
    weight, found = 0.5, np.empty(len(first))
    for at, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        found[at] = both = weight * one + (1 - weight) * other
        weight += (weight * one / both - weight) / (patience + at + 1)
    return found


def _level(keys: np.ndarray, counts: np.ndarray, vocabulary: int, contexts: int) -> _Level:
    """Discount the counts; what they lose goes to shorter n-grams."""
    context = keys // vocabulary
    off = discounts(counts)[np.minimum(counts, 3)]
    total = np.bincount(context, counts, contexts)
    lost = np.bincount(context, np.minimum(off, counts), contexts)
    seen = np.maximum(total, 1)
    gain = np.maximum(counts - off, 0) / seen[context]
    return _Level(keys, gain, np.where(total > 0, lost / seen, 1.0))


def discounts(counts: np.ndarray) -> np.ndarray:
    """What counts of 0, 1, 2, and 3 or more lose.

    Where there are too few n-grams to estimate that, it is 0.5, 1 and 1.5.

    >>> discounts(np.repeat([1, 2, 3, 4], [8, 4, 2, 1])).round(3).tolist()
    [0.0, 0.5, 1.25, 2.0]
    """
    many = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(np.float64)
    if not many.all():
        return np.array([0.0, 0.5, 1.0, 1.5])
    share = many[0] / (many[0] + 2 * many[1])
    found = [k - (k + 1) * share * many[k] / many[k - 1] for k in (1, 2, 3)]
    return np.array([0.0, *np.clip(found, 0.05, [1, 2, 3])])
