"""Labels and numbers: what models of texts and models of series answer alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.batches import Batches
from ..data.text import Ragged
from .base import TrainedModel
from .chain import Chain, on_kernels, pooling, scaled
from .config import read_labels, read_target

AT_ONCE = 256  # rows that are read together


class Answering(TrainedModel):
    """A model that answers on each text or series by some numbers of its network."""

    def _width(self) -> int:
        """How many numbers the network makes of a row."""
        raise NotImplementedError

    def _outputs(self, X: Any) -> Tensor:
        """What the network makes of texts or series: (n, width)."""
        raise NotImplementedError

    def _read(self, text: str) -> tuple[Sequence[Any], Any]:
        """What is read of a text, step by step, and as `predict` takes it."""
        raise NotImplementedError

    def _entrance(self) -> tuple[nn.Module, dict[str, Any]]:
        """What is in front of the recurrent layers, and what a `Chain` says of the input."""
        raise NotImplementedError

    def _chained(self, meaning: str, head: Callable[[nn.Linear], Sequence[nn.Module]]) -> Chain:
        """The network up to its last layer, and what a head makes of that."""
        behind, network = pooling(self), self.network
        first, facts = self._entrance()
        modules = [first, *on_kernels([network.rnn]), *behind, *head(network.output)]
        return Chain(modules, meaning, **facts)

    def _run(self, rows: Ragged) -> Tensor:
        """What the network makes of rows: (n, width)."""
        # Rows of similar length side by side: long ones don't hold up short ones.
        order = np.argsort(-rows.lengths, kind="stable")
        found = torch.empty(len(rows), self._width())
        network, done = self.network, 0
        with torch.inference_mode():
            for batch, _ in Batches(rows.take(order), AT_ONCE):
                part = torch.from_numpy(order[done : done + len(batch)])
                given = (batch.packed,) if batch.scores is None else (batch.packed, batch.scores)
                found[part] = network(*given)
                done += len(batch)
        return found


class Labelled(Answering):
    """Says the label of each text or series; its labels are `classes_`."""

    classes_: np.ndarray
    several_: bool = False  # whether a row may have several

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each label: (n, labels), in the order of `classes_`.

        Where a row has one label, those of a row add up to one.
        """
        scores = self._outputs(X)
        return (scores.sigmoid() if self.several_ else scores.softmax(1)).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest label of each row, (n,)."""
        chances = self.predict_proba(X)  # first: it checks that there is a model
        return self.classes_[chances.argmax(1)]

    def named(self, chances: Sequence[float]) -> list[tuple[Any, float]]:
        """The labels that probabilities (labels,) stand for, the likeliest first, with those."""
        best = int(np.argmax(chances))
        return [(self.classes_.tolist()[best], chances[best])]

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[Any, float]]]:
        """What is read of a text, and the probability of each label."""
        steps, row = self._read(text)
        (chances,) = self.predict_proba([row]).tolist()
        return steps, list(zip(self.classes_.tolist(), chances, strict=True))

    def about(self) -> dict[str, str]:
        labels = self.classes_.tolist()
        more = ", ..." if labels[10:] else ""
        listed = f"{len(labels)}: {', '.join(map(str, labels[:10]))}{more}"
        return {"labels": listed, **super().about()}

    def chain(self) -> Chain:
        chances = nn.Sigmoid() if self.several_ else nn.Softmax(-1)
        chain = self._chained("probabilities of the labels", lambda last: [last, chances])
        return chain._replace(labels=self.classes_.tolist())

    def _learned(self) -> dict[str, Any]:
        labels = self.classes_.tolist()
        read_labels(labels, ordered=not self.several_)
        return {"labels": labels, **super()._learned()}

    def _recall(self, field: Callable[..., Any]) -> None:
        self.classes_ = read_labels(field("labels", list), ordered=not self.several_)
        super()._recall(field)

    def _width(self) -> int:
        return len(self.classes_)


class Numbered(Answering):
    """Says a number of each text or series."""

    target_: tuple[float, float]  # mean and deviation of the numbers that were learned

    def predict(self, X: Any) -> np.ndarray:
        """The number of each row, (n,)."""
        outputs = self._outputs(X)  # first: it checks that there is a model
        mean, scale = self.target_
        return outputs[:, 0].double().numpy() * scale + mean

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[Any, float | None]]]:
        """What is read of a text, and its number."""
        steps, row = self._read(text)
        return steps, [(f"{self.predict([row])[0]:.6g}", None)]

    def chain(self) -> Chain:
        return self._chained("a number", lambda last: [scaled(last, *self.target_)])

    def _take_target(self, values: np.ndarray) -> None:
        self.target_ = float(values.mean()), float(values.std()) or 1.0

    def _standardised(self, values: np.ndarray) -> np.ndarray:
        """Numbers as the net learns them."""
        mean, scale = self.target_
        return ((values - mean) / scale).astype(np.float32)

    def _learned(self) -> dict[str, Any]:
        return {"target": [*self.target_], **super()._learned()}

    def _recall(self, field: Callable[..., Any]) -> None:
        self.target_ = read_target(field("target", list))
        super()._recall(field)

    def _width(self) -> int:
        return 1
