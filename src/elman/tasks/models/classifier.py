"""`TrainedClassifier`: says the label of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from ..checks import check_texts
from ..data.batches import Batches
from ..data.text import TOKENS, Ragged, Vocabulary
from ..errors import TaskError
from ..networks.ngrams import NGrams, check_count
from ..networks.text import TextRNN
from .base import BOTH_WAYS, TrainedModel
from .config import read_labels, read_vocabulary

AT_ONCE = 256  # texts that are predicted together


class TrainedClassifier(TrainedModel):
    """What a `SequenceClassifier` knows and answers.

    Beside what every model has: `classes_`, `vocabulary_` and `ngrams_`.
    """

    FORMAT, VERSION = "elman sequence classifier", 3
    OLDER: ClassVar[Mapping[int, Mapping[str, Any]]] = {2: {"ngrams": 0}}
    NEEDED = frozenset({"pooling", "max_length", "bidirectional", "ngrams"})
    NETWORK = (*BOTH_WAYS, "pooling", "ngrams")
    MODULE = TextRNN

    tokens: str
    embedding_size: int
    bidirectional: bool
    pooling: str
    ngrams: int
    token_dropout: float = 0.0
    class_weight: Mapping[Any, float] | str | None
    max_length: int
    min_count: int

    classes_: np.ndarray
    vocabulary_: Vocabulary
    ngrams_: NGrams | None
    truncated_: int

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """The probability of each label: (texts, labels), in the order of `classes_`."""
        self._check_fitted()
        texts = check_texts(X)
        rows = self._scored(self._encode(texts)[0])
        # Texts of similar length side by side: long ones don't hold up short ones.
        order = np.argsort(-rows.lengths, kind="stable")
        probabilities = np.empty((len(texts), len(self.classes_)), np.float32)
        network, done = self.network, 0
        with torch.inference_mode():
            for batch, _ in Batches(rows.take(order), AT_ONCE):
                part = order[done : done + len(batch)]
                probabilities[part] = network(batch.packed, batch.scores).softmax(1).numpy()
                done += len(batch)
        if beyond := int(np.isnan(probabilities).any(1).sum()):
            raise TaskError(
                f"The network's states grow beyond all bounds on {beyond} of the {len(texts)} "
                "texts; train with another cell, or a lower learning rate."
            )
        return probabilities

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The likeliest label of each text."""
        probabilities = self.predict_proba(X)  # first: it checks that there is a model
        return self.classes_[probabilities.argmax(1)]

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[Any, float]]]:
        """The tokens of a text that are read, and the probability of each label."""
        (chances,) = self.predict_proba([text]).tolist()
        tokens = TOKENS[self.tokens](text)[: self.max_length]
        return tokens, list(zip(self.classes_.tolist(), chances, strict=True))

    def about(self) -> dict[str, str]:
        """What there is to say of the model, by name."""
        labels = self.classes_.tolist()
        return {
            "labels": f"{len(labels)}: {', '.join(map(str, labels[:10]))}"
            + (", ..." if len(labels) > 10 else ""),
            "reads": f"at most {self.max_length} {self.tokens} of a text, and knows "
            f"{len(self.vocabulary_.tokens):,}",
            **self._about_ngrams(),
        }

    def _about_ngrams(self) -> dict[str, str]:
        if self.ngrams_ is None:
            return {}
        known = len(self.ngrams_.keys)
        return {"weighs": f"{known:,} n-grams of up to {self.ngrams} {self.tokens}"}

    def _learned(self) -> dict[str, Any]:
        labels = self.classes_.tolist()
        read_labels(labels)
        known = 0 if self.ngrams_ is None else len(self.ngrams_.keys)
        return {"labels": labels, "vocabulary": self.vocabulary_.tokens, "ngrams": known}

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        self.classes_ = read_labels(field("labels", list))
        self.vocabulary_ = read_vocabulary(field("vocabulary", list), self.tokens)
        self.ngrams_ = None
        if self.ngrams:
            with torch.device("meta"):  # sizes alone
                known = check_count(field("ngrams", int), len(self.classes_))
                self.ngrams_ = NGrams(known, len(self.classes_), self.ngrams)
        self.truncated_ = 0

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        if smallest:
            return {"vocabulary": 3, "labels": 2}
        return {"vocabulary": len(self.vocabulary_), "labels": len(self.classes_)}

    def _beside(self) -> dict[str, torch.nn.Module]:
        return {} if self.ngrams_ is None else {"ngrams": self.ngrams_}

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
