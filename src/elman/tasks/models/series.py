"""`TrainedSeriesClassifier` and `TrainedSeriesRegressor`: say a label, or a number, of series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from ..checks import NOT_NEGATIVE, SHARE, Rule, or_none, whole
from ..data.batches import Batches
from ..data.findings import count
from ..data.series import Reading, as_series, read_line
from ..errors import BEYOND, TaskError
from ..networks.series import SeriesRNN
from .base import LAYERS, TrainedModel
from .chain import Chain, on_kernels, pooling, scaled, standardising
from .config import read_labels, read_target

AT_ONCE = 256  # series that are predicted together


class TrainedSeriesModel(TrainedModel):
    """What every model of series knows: beside what every model does, `reading_`."""

    NEEDED = frozenset({"pooling", "bidirectional"})
    NETWORK = (*LAYERS, "bidirectional", "pooling", "noise")
    RULES: ClassVar[Mapping[str, Rule]] = {
        "patch": or_none(whole()),
        "epochs": or_none(whole()),
        "averaging": SHARE,
        "noise": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE,
    }
    MODULE = SeriesRNN

    patch: int | None
    bidirectional: bool
    pooling: str
    n_estimators: int = 1
    noise: float = 0.0
    weight_decay: float
    averaging: float

    reading_: Reading

    def _outputs_a_series(self) -> int:
        """How many numbers the network makes of a series."""
        raise NotImplementedError

    def _outputs(self, X: Any) -> np.ndarray:
        """What the network makes of each series: (n, outputs)."""
        self._check_fitted()
        rows = self.reading_.encode(as_series(X, channels=self.reading_.channels))
        # Series of similar length side by side: long ones don't hold up short ones.
        order = np.argsort(-rows.lengths, kind="stable")
        found = np.empty((len(rows), self._outputs_a_series()), np.float32)
        network, done = self.network, 0
        with torch.inference_mode():
            for batch, _ in Batches(rows.take(order), AT_ONCE):
                found[order[done : done + len(batch)]] = network(batch.packed).numpy()
                done += len(batch)
        if not np.isfinite(found).all():
            raise TaskError(BEYOND)
        return found

    def _read(self, text: str) -> tuple[list[str], np.ndarray]:
        """The steps of a series as a line of a .ts file has it, by name, and the series."""
        try:
            series = read_line(text, self.reading_.channels)
        except ValueError as error:
            raise TaskError(
                f"No series: {error}; expected values with commas, and colons between channels."
            ) from None
        return [str(step) for step in range(0, series.shape[1], self.reading_.patch)], series

    def about(self) -> dict[str, str]:
        """What there is to say of the model, by name."""
        reading = self.reading_
        together = f", {reading.patch} steps together" if reading.patch > 1 else ""
        return {"reads": f"series of {count(reading.channels, 'channel')}{together}"}

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        self.reading_ = Reading.read(field("reading", dict))

    def _chained(self, meaning: str, head: Callable[[nn.Linear], Sequence[nn.Module]]) -> Chain:
        """What standardises, the network up to its last layer, and what a head makes of that."""
        behind, network = pooling(self), self.network
        rnn, last = on_kernels([network.rnn]), head(network.output)
        modules = [standardising(self.reading_), *rnn, *behind, *last]
        return Chain(modules, meaning, about={"reading": self.reading_.as_json()})

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        if smallest:
            return {"features": 1, "outputs": 1}
        return {"features": self.reading_.features, "outputs": self._outputs_a_series()}


class TrainedSeriesClassifier(TrainedSeriesModel):
    """What a `SeriesClassifier` knows and answers; its labels are `classes_`."""

    FORMAT = "elman sequence series classifier"

    classes_: np.ndarray

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each label: (n, labels), in the order of `classes_`."""
        return torch.from_numpy(self._outputs(X)).softmax(1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest label of each series."""
        chances = self.predict_proba(X)  # first: it checks that there is a model
        return self.classes_[chances.argmax(1)]

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[Any, float]]]:
        """The steps of a series in text, and the probability of each label."""
        steps, series = self._read(text)
        (chances,) = self.predict_proba([series]).tolist()
        return steps, list(zip(self.classes_.tolist(), chances, strict=True))

    def about(self) -> dict[str, str]:
        """What there is to say of the model, by name."""
        labels = self.classes_.tolist()
        more = ", ..." if labels[10:] else ""
        return {"labels": f"{len(labels)}: {', '.join(map(str, labels[:10]))}{more}"} | (
            super().about()
        )

    def chain(self) -> Chain:
        """The network as modules one after another, and what their numbers mean."""
        chain = self._chained("probabilities of the labels", lambda last: [last, nn.Softmax(-1)])
        return chain._replace(labels=self.classes_.tolist())

    def _learned(self) -> dict[str, Any]:
        labels = self.classes_.tolist()
        read_labels(labels)
        return {"labels": labels, "reading": self.reading_.as_json()}

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        super()._recall(field)
        self.classes_ = read_labels(field("labels", list))

    def _outputs_a_series(self) -> int:
        return len(self.classes_)


class TrainedSeriesRegressor(TrainedSeriesModel):
    """What a `SeriesRegressor` knows and answers."""

    FORMAT = "elman sequence series regressor"

    target_: tuple[float, float]  # mean and deviation

    def predict(self, X: Any) -> np.ndarray:
        """The number of each series, (n,)."""
        outputs = self._outputs(X)  # first: it checks that there is a model
        mean, scale = self.target_
        return outputs[:, 0].astype(np.float64) * scale + mean

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[Any, float | None]]]:
        """The steps of a series in text, and its number."""
        steps, series = self._read(text)
        return steps, [(f"{self.predict([series])[0]:.6g}", None)]

    def chain(self) -> Chain:
        """The network as modules one after another, and what their numbers mean."""
        return self._chained("a number", lambda last: [scaled(last, *self.target_)])

    def _learned(self) -> dict[str, Any]:
        return {"target": [*self.target_], "reading": self.reading_.as_json()}

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        super()._recall(field)
        self.target_ = read_target(field("target", list))

    def _outputs_a_series(self) -> int:
        return 1
