"""Texts as numbers: tokens, their vocabulary, and rows of ids without padding."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import Dataset

from ..errors import TaskError
from .spool import Rows, Spool

PADDING, UNKNOWN = 0, 1  # ids that no token has
RESERVED = 2

WORD = re.compile(r"\w+|[^\w\s]")  # letters and digits in a row, or one mark


def normalise(text: str) -> str:
    r"""The form in which a text is read: full-width characters, case and spacing made one.

    >>> normalise("  \uff27ood\u3000 value\uff01")
    'good value!'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


#: How a text is cut into tokens, by the name that `SequenceClassifier(tokens=...)` has for it.
TOKENS: dict[str, Callable[[str], Sequence[Any]]] = {
    "characters": normalise,
    "bytes": lambda text: text.encode("utf-8", "surrogatepass"),  # as they are: numbers below 256
    "words": lambda text: WORD.findall(normalise(text)),
}

ONE = {"characters": "character", "bytes": "byte", "words": "word"}


class Vocabulary:
    """Tokens and their ids; 0 is padding, 1 any token that is not listed.

    >>> vocabulary = Vocabulary.build([["a", "b", "b", "a"], ["a", "c"]], min_count=2)
    >>> vocabulary.tokens
    ['a', 'b']
    >>> vocabulary.encode(["c", "a", "b"]).tolist()
    [1, 2, 3]
    """

    def __init__(self, tokens: Iterable[Any]) -> None:
        self.tokens = list(tokens)
        self._ids = _Ids({token: i for i, token in enumerate(self.tokens, RESERVED)})
        if len(self._ids) != len(self.tokens):
            raise ValueError("A vocabulary lists each token once.")

    @classmethod
    def build(cls, texts: Iterable[Sequence[Any]], min_count: int = 1) -> "Vocabulary":
        """The tokens that occur at least `min_count` times in the texts, commonest first."""
        counts: Counter[Any] = Counter()
        for tokens in texts:
            counts.update(tokens)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(token for token, count in ordered if count >= min_count)

    def __len__(self) -> int:
        """How many ids there are, reserved ones included."""
        return len(self.tokens) + RESERVED

    def encode(self, tokens: Sequence[Any]) -> np.ndarray:
        """The ids of a text's tokens: (T,) int32."""
        return np.fromiter(map(self._ids.__getitem__, tokens), np.int32, len(tokens))


def check_known(kind: str, min_count: int, *vocabularies: Vocabulary) -> None:
    """Refuses vocabularies without any token: to the network all texts would be the same."""
    if not any(one.tokens for one in vocabularies):
        raise TaskError(
            f"X has no {ONE[kind]} that occurs {min_count:,} times; lower min_count, or give more "
            "text."
        )


class _Ids(dict[Any, int]):
    """Ids by token; what is not there is unknown."""

    def __missing__(self, token: Any) -> int:
        return UNKNOWN


class Ragged(Dataset[Any]):
    """Rows of ids of different lengths, end to end in a file that is mapped into memory.

    `starts` and `lengths` (B,) say where each row lies in `ids`. `targets` (B,) are what skorch
    hands to the criterion; zeros where nothing is known, as in prediction. With `columns` every
    place has so many ids. `scores` (B, labels), where there are any, are what is known of the rows
    beside their ids.
    """

    stored: ClassVar[Any] = np.int32
    packed: ClassVar[Any] = np.int64

    def __init__(
        self,
        rows: Iterable[np.ndarray],
        targets: np.ndarray | None = None,
        columns: int | None = None,
    ) -> None:
        with Spool(self.stored, columns) as spool:
            for row in rows:
                spool.append(row)
            self._set(spool.finish(), targets)

    def _set(self, rows: Rows, targets: np.ndarray | None) -> None:
        self._rows = rows
        self.ids, self.starts, self.lengths = rows.values, rows.starts, rows.lengths
        self.targets = np.zeros(len(rows), np.int64) if targets is None else targets
        self.scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> np.ndarray:
        return self._rows[row]

    def take(self, rows: np.ndarray) -> "Ragged":
        """The rows with the given numbers, in that order; their ids are not copied."""
        taken = type(self).__new__(type(self))
        taken._set(self._rows.take(rows), self.targets[rows])
        if self.scores is not None:
            taken.scores = self.scores[rows]
        return taken

    def cut(self, longest: int) -> "Ragged":
        """The beginnings of the rows; nothing is copied.

        >>> [row.tolist() for row in Ragged([np.array([5]), np.array([6, 7, 8])]).cut(2)]
        [[5], [6, 7]]
        """
        short = Ragged.__new__(Ragged)
        rows = Rows(self.ids, self.starts, np.minimum(self.lengths, longest))
        short._set(rows, self.targets)
        short.scores = self.scores
        return short

    def pack(self, rows: np.ndarray) -> PackedSequence:
        """The rows with the given numbers, as `torch.nn.utils.rnn.pack_sequence` would pack them.

        >>> packed = Ragged([np.array([5]), np.array([6, 7, 8])]).pack(np.array([0, 1]))
        >>> packed.data.tolist(), packed.batch_sizes.tolist(), packed.unsorted_indices.tolist()
        ([6, 5, 7, 8], [2, 1, 1], [1, 0])
        """
        order = np.argsort(-self.lengths[rows], kind="stable")
        lengths, starts = self.lengths[rows][order], self.starts[rows][order]
        time = np.arange(lengths[0])[:, None]
        there = time < lengths  # (T, B): row b has a character at time t
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return PackedSequence(
            torch.from_numpy(self.ids[(starts + time)[there]].astype(self.packed)),
            torch.from_numpy(there.sum(1)),
            torch.from_numpy(order),
            torch.from_numpy(back),
        )
