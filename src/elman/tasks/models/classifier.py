"""`TrainedClassifier`: says the label of texts, or all labels that a text has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import nn

from .chain import Chain
from .config import read_labels
from .texts import TrainedTextModel


class TrainedClassifier(TrainedTextModel):
    """What a `SequenceClassifier` knows and answers.

    Beside what every model of texts has: `classes_`, and whether a text has several of them,
    `several_`.
    """

    FORMAT, VERSION = "elman sequence classifier", 4
    OLDER: ClassVar[Mapping[int, Mapping[str, Any]]] = {2: {"ngrams": 0}, 3: {}}

    class_weight: Mapping[Any, float] | str | None
    threshold: float = 0.5

    classes_: np.ndarray
    several_: bool

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """The probability of each label: (texts, labels), in the order of `classes_`.

        Where a text has one label, those of a text add up to one.
        """
        scores = self._outputs(X)
        return (scores.sigmoid() if self.several_ else scores.softmax(1)).numpy()

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The likeliest label of each text, (B,).

        If texts have several labels: ones and zeros (B, labels), one where the probability is
        above `threshold`; see also `predict_labels`.
        """
        probabilities = self.predict_proba(X)  # first: it checks that there is a model
        if self.several_:
            return (probabilities > self.threshold).astype(np.int64)
        return self.classes_[probabilities.argmax(1)]

    def predict_labels(self, X: Iterable[str]) -> list[list[Any]]:
        """The labels of each text, the likeliest first; where texts have one, that one."""
        return [
            [label for label, _ in self.named(chances)]
            for chances in self.predict_proba(X).tolist()
        ]

    def named(self, chances: Sequence[float]) -> list[tuple[Any, float]]:
        """The labels that probabilities (labels,) stand for, the likeliest first, with those."""
        pairs = zip(self.classes_.tolist(), chances, strict=True)
        best = sorted(pairs, key=lambda pair: -pair[1])
        if not self.several_:
            return best[:1]
        return [pair for pair in best if pair[1] > self.threshold]

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[Any, float]]]:
        """The tokens of a text that are read, and the probability of each label."""
        (chances,) = self.predict_proba([text]).tolist()
        return self.read(text), list(zip(self.classes_.tolist(), chances, strict=True))

    def about(self) -> dict[str, str]:
        """What there is to say of the model, by name."""
        labels = self.classes_.tolist()
        more = ", ..." if len(labels) > 10 else ""
        several = f"; a text has those above {self.threshold:g}" if self.several_ else ""
        listed = f"{len(labels)}: {', '.join(map(str, labels[:10]))}{more}{several}"
        return {"labels": listed, **super().about()}

    def chain(self) -> Chain:
        """The network as modules one after another, and what their numbers mean."""
        chances = nn.Sigmoid() if self.several_ else nn.Softmax(-1)
        chain = self._chained("probabilities of the labels", lambda last: [last, chances])
        return chain._replace(labels=self.classes_.tolist())

    def _learned(self) -> dict[str, Any]:
        labels = self.classes_.tolist()
        read_labels(labels, ordered=not self.several_)
        return {"labels": labels, "several": self.several_, **super()._learned()}

    def _recall(self, field: Callable[..., Any]) -> None:
        self.several_ = field("several", bool, False)  # older versions have none
        self.classes_ = read_labels(field("labels", list), ordered=not self.several_)
        super()._recall(field)

    def _outputs_a_text(self) -> int:
        return len(self.classes_)
