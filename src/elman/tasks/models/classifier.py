"""`TrainedClassifier`: says the label of texts, or all labels that a text has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from .answers import Labelled
from .texts import TrainedTextModel


class TrainedClassifier(Labelled, TrainedTextModel):
    """What a `SequenceClassifier` knows and answers.

    Beside what every model of texts has: `classes_`, and whether a text has several of them,
    `several_`.
    """

    FORMAT, VERSION = "elman sequence classifier", 4
    OLDER: ClassVar[Mapping[int, Mapping[str, Any]]] = {2: {"ngrams": 0}, 3: {}}

    class_weight: Mapping[Any, float] | str | None
    threshold: float = 0.5

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The likeliest label of each text, (B,).

        If texts have several labels: ones and zeros (B, labels), one where the probability is
        above `threshold`; see also `predict_labels`.
        """
        if not self.several_:
            return super().predict(X)
        return (self.predict_proba(X) > self.threshold).astype(np.int64)

    def predict_labels(self, X: Iterable[str]) -> list[list[Any]]:
        """The labels of each text, the likeliest first; where texts have one, that one."""
        return [
            [label for label, _ in self.named(chances)]
            for chances in self.predict_proba(X).tolist()
        ]

    def named(self, chances: Sequence[float]) -> list[tuple[Any, float]]:
        if not self.several_:
            return super().named(chances)
        pairs = zip(self.classes_.tolist(), chances, strict=True)
        above = [pair for pair in pairs if pair[1] > self.threshold]
        return sorted(above, key=lambda pair: -pair[1])

    def about(self) -> dict[str, str]:
        found = super().about()
        if self.several_:
            found["labels"] += f"; a text has those above {self.threshold:g}"
        return found

    def _learned(self) -> dict[str, Any]:
        found = super()._learned()
        return {"labels": found["labels"], "several": self.several_, **found}

    def _recall(self, field: Callable[..., Any]) -> None:
        self.several_ = field("several", bool, False)  # older versions have none
        super()._recall(field)
