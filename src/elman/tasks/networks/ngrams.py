"""What n-grams say of a text: a regression over TF-IDF, to which the network adds its own.

Which n-grams a text has is much of what its label depends on, and little of what a network learns
from few texts. So that is learned first, by a convex fit, and the network is trained on top.
A network that saw scores of texts which the regression has learned from would find nothing left
to add. Therefore each training text gets its scores from a regression that hasn't seen it, one of
a few; what all of them say on average is kept for prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..data.text import Ragged
from ..errors import TaskError
from .linear import LABEL, Linear, Span

FOLDS = 4  # regressions, each of which has not seen its part of the texts
RARE = 2  # texts that an n-gram must occur in
MOST = 1 << 18  # n-grams, at most: the most common ones
NUMBERS = 1 << 24  # weights, at most
ENOUGH = 1 << 26  # n-grams to learn from, at most: they take memory
WORK = 1 << 29  # those times the labels, at most: they take time
AT_ONCE = 1 << 18  # tokens that are cut into n-grams together
EDGE = 0  # stands before and after a text

Keys = NDArray[np.uint64]


def _mixed(keys: Keys) -> Keys:
    """Scrambled, one to one (splitmix64)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def grams(ids: np.ndarray, lengths: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The n-grams of texts, end to end in `ids`: whose each is, and a number of 63 bits for it.

    Equal n-grams have equal numbers. Of a million different ones two share theirs with a chance of
    one in ten million.

    >>> owner, keys = grams(np.array([5, 6, 5, 7]), np.array([3, 1]), longest=1)
    >>> owner.tolist(), bool(keys[0] == keys[2])
    ([0, 0, 0, 1], True)
    """
    padded = np.full(len(ids) + 2 * len(lengths), EDGE, np.uint64)
    inside = np.arange(len(ids)) + 1 + 2 * np.arange(len(lengths)).repeat(lengths)
    padded[inside] = ids
    owner = np.arange(len(lengths)).repeat(lengths + 2)
    single = keys = _mixed(padded + np.uint64(1))
    owners, found = [owner[inside]], [keys[inside]]
    for n in range(2, longest + 1):
        keys = _mixed(keys[:-1] * np.uint64(0x9E3779B97F4A7C15) + single[n - 1 :])
        whole = owner[: len(keys)] == owner[n - 1 :]
        owners.append(owner[: len(keys)][whole])
        found.append(keys[whole])
    return np.concatenate(owners), (np.concatenate(found) >> np.uint64(1)).view(np.int64)


def _pieces(texts: Ragged) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The ids and lengths of some texts after another."""
    begin, sizes = 0, np.cumsum(texts.lengths)
    while begin < len(texts):
        before = int(sizes[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(sizes, before + AT_ONCE, "right")))
        ids = np.concatenate([texts[row] for row in range(begin, end)])
        yield ids, texts.lengths[begin:end]
        begin = end


def _counts(
    ids: np.ndarray, lengths: np.ndarray, longest: int, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which text has which of the keys (by number), and how often; texts in order."""
    owner, found = grams(ids, lengths, longest)
    at = np.searchsorted(keys, found)
    at[at == len(keys)] = 0
    known = keys[at] == found
    pairs, counts = np.unique(owner[known] * len(keys) + at[known], return_counts=True)
    rows, columns = np.divmod(pairs, len(keys))
    return rows, columns, counts


def check_count(count: int, labels: int) -> int:
    """How many n-grams a folder says there are, if there may be so many."""
    most = min(MOST, NUMBERS // labels)
    if isinstance(count, bool) or not 1 <= count <= most:
        raise TaskError(f"'ngrams' must be a whole number from 1 to {most:,}. Got {count}.")
    return count


class NGrams(nn.Module):
    """Scores of texts by their n-grams of up to `longest` tokens. Its buffers `fit` learns.

    >>> texts = Ragged([np.array([2, 3]), np.array([3, 2])] * 8, np.array([0, 1] * 8))
    >>> ngrams, scores = NGrams.fit(texts, np.arange(16), labels=2, longest=2)
    >>> scores.argmax(1)[:4].tolist(), ngrams(texts).argmax(1)[:4].tolist()
    ([0, 1, 0, 1], [0, 1, 0, 1])
    """

    keys: Tensor
    idf: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, count: int, labels: int, longest: int) -> None:
        super().__init__()
        self.longest = longest
        self.register_buffer("keys", torch.zeros(count, dtype=torch.int64))  # in ascending order
        self.register_buffer("idf", torch.zeros(count))
        self.register_buffer("weight", torch.zeros(count, labels))
        self.register_buffer("bias", torch.zeros(labels))

    def forward(self, texts: Ragged) -> np.ndarray:
        """The scores of texts: (B, labels)."""
        scores = [np.zeros((0, len(self.bias)), np.float32)]
        for columns, begins, values in self._features(texts):
            bag = functional.embedding_bag(
                torch.from_numpy(columns),
                self.weight,
                torch.from_numpy(begins[:-1]),
                mode="sum",
                per_sample_weights=torch.from_numpy(values),
            )
            scores.append((self.bias + bag).numpy())
        return np.concatenate(scores)

    def _features(self, texts: Ragged) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """TF-IDF of some texts after another: columns, where each text's begin, values."""
        keys, idf = self.keys.numpy(), self.idf.numpy()
        for ids, lengths in _pieces(texts):
            rows, columns, counts = _counts(ids, lengths, self.longest, keys)
            values = (1 + np.log(counts)) * idf[columns]
            norms = np.sqrt(np.bincount(rows, values**2, len(lengths)))
            begins = np.searchsorted(rows, np.arange(len(lengths) + 1))
            yield columns, begins, (values / norms[rows]).astype(np.float32)

    @classmethod
    def fit(
        cls,
        texts: Ragged,
        groups: np.ndarray,
        labels: int,
        longest: int,
        kind: Linear = LABEL,
        weights: np.ndarray | None = None,
        seed: int = 0,
        told: Callable[[int, int], None] = lambda done, all_of_them: None,
    ) -> tuple[NGrams, np.ndarray]:
        """What the texts teach, and their own scores, from regressions that haven't seen them.

        Args:
            texts: with what is known of them as `targets`, in the form that `kind` takes.
            groups: (B,) numbers that equal texts share: one hasn't seen the other.
            labels: how many there are; 1 for a number.
            longest: tokens of an n-gram, at most.
            kind: what is known of a text: one label, several, or a number.
            weights: (labels,) how much a text of each counts; None for equally much.
            seed: decides which texts are read, where there are too many.
            told: is called with how many regressions are done, and how many there are.
        """
        read = np.arange(len(texts))
        enough = min(ENOUGH, WORK // labels)
        if (total := int(texts.lengths.sum()) * longest) > enough:
            read = read[np.random.default_rng(seed).random(len(texts)) < enough / total]
        learned, fold = texts.take(read), groups[read] % FOLDS
        keys, idf = _choose(learned, longest, min(MOST, NUMBERS // labels))
        self = cls(len(keys), labels, longest)
        self.keys, self.idf = torch.from_numpy(keys), torch.from_numpy(idf)
        matrix, own = self._matrix(learned), np.empty((len(read), labels), np.float32)
        counted = np.ones(labels) if weights is None else weights
        targets, strengths = learned.targets, kind.strengths
        span = Span(matrix) if Span.pays(matrix, labels) else None
        for number in range(FOLDS):
            told(number, FOLDS)
            seen = fold != number
            if span is None:
                fits = kind.fit(matrix[seen], targets[seen], counted, strengths)
            else:
                rows, back = span.of(seen)
                found = kind.fit(rows, targets[seen], counted, strengths)
                fits = [(back(weight).astype(np.float32), bias) for weight, bias in found]
            scores = [matrix[~seen] @ weight + bias for weight, bias in fits]
            best = 0
            if len(fits) > 1 and not seen.all():  # the first one chooses for the others
                best = int(np.argmin([kind.loss(one, targets[~seen], counted) for one in scores]))
                strengths = strengths[best : best + 1]
            own[~seen], (weight, bias) = scores[best], fits[best]
            self.weight += torch.from_numpy(weight) / FOLDS
            self.bias += torch.from_numpy(bias) / FOLDS
        told(FOLDS, FOLDS)
        if len(read) == len(texts):
            return self, own
        scores = self(texts)
        scores[read] = own
        return self, scores

    def _matrix(self, texts: Ragged) -> Any:
        """TF-IDF of texts: (B, n-grams)."""
        from scipy.sparse import csr_array  # not where a model is only used

        columns, begins, values = zip(*self._features(texts), strict=True)
        ends = np.cumsum(np.concatenate([[0], *map(np.diff, begins)]))
        return csr_array(
            (np.concatenate(values), np.concatenate(columns), ends),
            shape=(len(texts), len(self.keys)),
        )


def _choose(texts: Ragged, longest: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The most common n-grams of texts, in ascending order, and how much each tells (IDF)."""
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for ids, lengths in _pieces(texts):
        owner, found = grams(ids, lengths, longest)
        order = np.lexsort((owner, found))
        owner, found = owner[order], found[order]
        first = np.ones(len(found), bool)  # of a text's equal ones
        first[1:] = (found[1:] != found[:-1]) | (owner[1:] != owner[:-1])
        new, times = np.unique(found[first], return_counts=True)
        keys, where = np.unique(np.concatenate([keys, new]), return_inverse=True)
        counts = np.bincount(where, np.concatenate([counts, times])).astype(np.int64)
    kept = np.flatnonzero(counts >= min(RARE, counts.max()))
    kept = np.sort(kept[np.argsort(-counts[kept], kind="stable")[:most]])
    idf = np.log((1 + len(texts)) / (1 + counts[kept])) + 1
    return keys[kept], idf.astype(np.float32)
