"""What classifiers and regressors of texts share: how they read, and what they know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_texts
from ..data.text import TOKENS, Ragged, Vocabulary
from ..errors import TaskError
from ..networks.ngrams import NGrams, check_count
from ..networks.text import TextRNN
from .answers import Answering
from .base import BOTH_WAYS
from .config import read_vocabulary


class TrainedTextModel(Answering):
    """A model that reads texts, by a network and by n-grams.

    Beside what every model has: `vocabulary_` and `ngrams_`.
    """

    NEEDED = frozenset({"pooling", "max_length", "bidirectional", "ngrams"})
    NETWORK = (*BOTH_WAYS, "pooling", "ngrams")
    MODULE = TextRNN

    tokens: str
    embedding_size: int
    bidirectional: bool
    pooling: str
    n_estimators: int = 1
    ngrams: int
    token_dropout: float = 0.0
    max_length: int
    min_count: int

    vocabulary_: Vocabulary
    ngrams_: NGrams | None
    truncated_: int

    def _outputs(self, X: Iterable[str]) -> Tensor:
        """What the network and the n-grams make of each text: (B, width)."""
        self._check_fitted()
        texts = check_texts(X)
        found = self._run(self._scored(self._encode(texts)[0]))
        if beyond := int(found.isnan().any(1).sum()):
            raise TaskError(
                f"The network's states grow beyond all bounds on {beyond} of the {len(texts)} "
                "texts; train with another cell, or a lower learning rate."
            )
        return found

    def read(self, text: str) -> Sequence[Any]:
        """The tokens of a text that the network reads."""
        return TOKENS[self.tokens](text)[: self.max_length]

    def _read(self, text: str) -> tuple[Sequence[Any], str]:
        return self.read(text), text

    def about(self) -> dict[str, str]:
        reads = f"at most {self.max_length} {self.tokens} of a text, and knows "
        found = {"reads": f"{reads}{len(self.vocabulary_.tokens):,}"}
        if self.ngrams_ is not None:
            known = len(self.ngrams_.keys)
            found["weighs"] = f"{known:,} n-grams of up to {self.ngrams} {self.tokens}"
        return found

    def _learned(self) -> dict[str, Any]:
        known = 0 if self.ngrams_ is None else len(self.ngrams_.keys)
        return {"vocabulary": self.vocabulary_.tokens, "ngrams": known}

    def _recall(self, field: Callable[..., Any]) -> None:
        self.vocabulary_ = read_vocabulary(field("vocabulary", list), self.tokens)
        self.ngrams_ = None
        if self.ngrams:
            outputs = self._width()
            with torch.device("meta"):  # sizes alone
                known = check_count(field("ngrams", int), outputs)
                self.ngrams_ = NGrams(known, outputs, self.ngrams)
        self.truncated_ = 0

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        if smallest:
            return {"vocabulary": 3, "labels": 2}
        return {"vocabulary": len(self.vocabulary_), "labels": self._width()}

    def _beside(self) -> dict[str, torch.nn.Module]:
        return {} if self.ngrams_ is None else {"ngrams": self.ngrams_}

    def _entrance(self) -> tuple[nn.Module, dict[str, Any]]:
        return self.network.embedding, {
            "tokens": self.tokens,
            "vocabulary": self.vocabulary_.tokens,
            "about": {"max_length": self.max_length},
            "ids": lambda text: self.vocabulary_.encode(self.read(text)),
        }

    def _scored(self, rows: Ragged) -> Ragged:
        """Rows as the network reads them, with the scores of their n-grams."""
        if self.ngrams_ is not None:
            rows.scores = self.ngrams_(rows)
        return rows.cut(self.max_length)

    def _encode(
        self, texts: Iterable[str], targets: np.ndarray | None = None
    ) -> tuple[Ragged, int]:
        """The texts as ids, and how many of them were cut short."""
        truncated = 0

        def rows() -> Iterator[np.ndarray]:
            nonlocal truncated
            for tokens in map(TOKENS[self.tokens], texts):
                truncated += len(tokens) > self.max_length
                yield self.vocabulary_.encode(tokens)

        return Ragged(rows(), targets), truncated
