"""`SeriesClassifier` and `SeriesRegressor`: series of numbers, as sktime and aeon have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from .checks import NOT_NEGATIVE, SHARE, Rule, as_labels, as_targets, check_labels, or_none, whole
from .data.findings import count
from .data.fingerprint import fingerprint
from .data.series import Reading, as_series, numbers, read_line
from .errors import BEYOND, TaskError
from .estimator import LAYERS, SequenceEstimator
from .model import Backend, CellLike
from .saved import read_labels
from .series_model import SeriesRNN
from .training.batches import Batches
from .training.net import SequenceNet
from .training.seriesnet import SeriesLabelNet, SeriesNumberNet

AT_ONCE = 256  # series that are predicted together
STEPS = 1500  # of a training, about, if `epochs` is None
EPOCHS = (20, 300)  # the fewest and the most that this may be
Self = TypeVar("Self", bound="SeriesEstimator")


class SeriesEstimator(SequenceEstimator):
    """What reads series; a subclass says what is learned of them."""

    VERSION = 1
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
    averaging: float
    weight_decay: float
    reading_: Reading

    def __init__(
        self,
        *,
        cell: CellLike = "gru",
        patch: int | None = None,
        hidden_size: int | Sequence[int] = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        recurrent: Mapping[str, Any] | None = None,
        pooling: str = "max_mean",
        noise: float = 0.1,
        dropout: float = 0.3,
        weight_decay: float = 0.01,
        averaging: float = 0.99,
        epochs: int | None = None,
        batch_size: int = 16,
        lr: float = 4e-3,
        patience: int | None = None,
        random_state: Any = 0,
        backend: Backend = "elman",
        verbose: int = 1,
    ) -> None:
        self.cell = cell
        self.patch = patch
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.recurrent = recurrent
        self.pooling = pooling
        self.noise = noise
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.averaging = averaging
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.patience = patience
        self.random_state = random_state
        self.backend = backend
        self.verbose = verbose

    # -- what a subclass says

    def _begin(self, y: Any, series: int) -> None:
        """Check what is to be learned of so many series, and take up what it decides."""
        raise NotImplementedError

    def _targets(self, y: Any, series: int, name: str) -> np.ndarray:
        """What is to be learned, as the net takes it; `name` is that of the argument."""
        raise NotImplementedError

    def _outputs_a_series(self) -> int:
        """How many numbers the network makes of a series."""
        raise NotImplementedError

    # -- use

    def fit(
        self: Self,
        X: Any,
        y: Iterable[Any],
        *,
        valid: tuple[Any, Iterable[Any]] | None = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        folder: str | Path | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> Self:
        """Train on the series `X` and their labels or numbers `y`.

        Args:
            X: an array (n, channels, T), an array (n, T) of one channel, or a list of arrays
                (channels, T) or (T,) of any lengths. NaN is a missing value.
            y: (n,), one for each series.
            valid, callbacks, folder, resume, checkpoint_seconds: as of `SequenceClassifier.fit`.
        """
        self._may_begin(valid, folder, resume)
        series = as_series(X)
        y = as_labels(y)
        self._begin(y, len(series))
        self.reading_ = Reading.of(series, self.patch)
        self._draw_seed()
        train = self.reading_.encode(series, self._targets(y, len(series), "y"))
        data, held_out = {"train": fingerprint(series, y.tolist(), "series")}, None
        if valid is not None:
            others, known = as_series(valid[0], "valid[0]", series[0].shape[1]), as_labels(valid[1])
            held_out = self.reading_.encode(others, self._targets(known, len(others), "valid[1]"))
            data["valid"] = fingerprint(others, known.tolist(), "series")
        self._train(train, data, held_out, callbacks, folder, checkpoint_seconds)
        return self

    def _outputs(self, X: Any) -> np.ndarray:
        """What the network makes of each series: (n, outputs)."""
        check_is_fitted(self, "net_")
        rows = self.reading_.encode(as_series(X, channels=self.reading_.channels))
        # Series of similar length side by side: long ones don't hold up short ones.
        order = np.argsort(-rows.lengths, kind="stable")
        found = np.empty((len(rows), self._outputs_a_series()), np.float32)
        network, done = self.net_.module_.eval(), 0
        with torch.inference_mode():
            for batch, _ in Batches(rows.take(order), AT_ONCE):
                found[order[done : done + len(batch)]] = network(batch.packed).numpy()
                done += len(batch)
        if not np.isfinite(found).all():
            raise TaskError(BEYOND)
        return found

    # -- what the estimator asks for

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

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        if smallest:
            return {"features": 1, "outputs": 1}
        return {"features": self.reading_.features, "outputs": self._outputs_a_series()}

    def _passes(self, texts: int) -> int:
        if self.epochs is not None:
            return self.epochs
        fewest, most = EPOCHS
        return max(fewest, min(most, round(STEPS / -(-texts // self.batch_size))))

    def _net_options(self) -> dict[str, Any]:
        return {
            "averaging": float(self.averaging),
            "optimizer": torch.optim.AdamW,
            "optimizer__weight_decay": float(self.weight_decay),
        }

    def __sklearn_tags__(self) -> Any:
        """Series, not a matrix of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags


class SeriesClassifier(ClassifierMixin, SeriesEstimator):
    """A recurrent network that reads series of numbers and names their label.

    Args:
        cell, hidden_size, num_layers, bidirectional, recurrent, pooling, patience, random_state,
        backend, verbose: as of `SequenceClassifier`.
        patch: steps that are read together; None for as few as make at most 100 of the longest
            series.
        noise: deviation of the noise that is added to the standardised values in training.
        dropout: share of the features set to zero in training, between layers and before the last.
        weight_decay: how far weights fall towards zero, as of `torch.optim.AdamW`.
        averaging: share that a mean of all weights so far keeps at each step; that mean is the
            model. 0: the last weights are.
        epochs: passes over the series; None for as many as make 1500 steps, 20 to 300.
        batch_size: series a step.
        lr: the highest learning rate, as of `SequenceClassifier`.

    Each channel is standardised by its mean and deviation over all series of `fit`. If values are
    missing there, the network reads beside each value whether it is.

    After `fit`: `classes_`, `reading_`, `seed_`, `training_`, and `net_`, the
    `skorch.NeuralNetClassifier` with its `history`.

    >>> X = [[0, 1, 0, 1], [1, 0, 1], [0, 0, 1, 1], [1, 1, 0]] * 4  # one channel
    >>> y = ["swift", "swift", "slow", "slow"] * 4
    >>> small = SeriesClassifier(hidden_size=8, epochs=30, lr=0.05, dropout=0.0, averaging=0.0)
    >>> small.fit(X, y).predict([[0, 1, 0, 1], [1, 1, 0, 0]])
    array(['swift', 'slow'], dtype='<U5')
    """

    FORMAT = "elman sequence series classifier"
    NET = SeriesLabelNet

    classes_: np.ndarray

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each label: (n, labels), in the order of `classes_`."""
        return torch.from_numpy(self._outputs(X)).softmax(1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest label of each series."""
        chances = self.predict_proba(X)  # first: it checks that there is a model
        return self.classes_[chances.argmax(1)]

    def score(self, X: Any, y: Iterable[Any], sample_weight: Any = None) -> float:
        """The share of series whose label is predicted; all labels must occur in training."""
        check_is_fitted(self, "net_")
        labels = as_labels(y)
        as_targets(labels, self.classes_)
        return super().score(X, labels, sample_weight)

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

    def _begin(self, y: Any, series: int) -> None:
        check_labels(y, series, nouns=("series", "series"))
        self.classes_ = np.unique(y)

    def _targets(self, y: Any, series: int, name: str) -> np.ndarray:
        check_labels(y, series, name.replace("1", "0"), name, 1, ("series", "series"))
        return as_targets(y, self.classes_, name)

    def _learned(self) -> dict[str, Any]:
        labels = self.classes_.tolist()
        read_labels(labels)
        return {"labels": labels, "reading": self.reading_.as_json()}

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        super()._recall(field)
        self.classes_ = read_labels(field("labels", list))

    def _outputs_a_series(self) -> int:
        return len(self.classes_)

    def _net_options(self) -> dict[str, Any]:
        return {
            **super()._net_options(),
            "criterion": torch.nn.CrossEntropyLoss,
            "criterion__reduction": "sum",
            "classes": np.arange(len(self.classes_)),
        }


class SeriesRegressor(RegressorMixin, SeriesEstimator):
    """A recurrent network that reads series of numbers and says a number of each.

    Parameters are those of `SeriesClassifier`. What is learned is standardised, and compared by the
    mean square.

    >>> X = np.random.default_rng(0).normal(size=(40, 1, 8))
    >>> y = X.mean((1, 2))
    >>> small = SeriesRegressor(hidden_size=8, epochs=30, lr=0.02, dropout=0.0)
    >>> small.fit(X, y).score(X, y) > 0.8
    True
    """

    FORMAT = "elman sequence series regressor"
    NET: ClassVar[type[SequenceNet]] = SeriesNumberNet

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

    def _begin(self, y: Any, series: int) -> None:
        values = self._numbers(y, series, "y")
        self.target_ = float(values.mean()), float(values.std()) or 1.0

    def _targets(self, y: Any, series: int, name: str) -> np.ndarray:
        mean, scale = self.target_
        return ((self._numbers(y, series, name) - mean) / scale).astype(np.float32)

    def _numbers(self, y: Any, series: int, name: str) -> np.ndarray:
        try:
            values = np.asarray(y, np.float64)
        except (TypeError, ValueError):
            raise TaskError(f"{name} must hold numbers. Got {y[:1]!r}.") from None
        if values.shape != (series,) or not np.isfinite(values).all():
            raise TaskError(
                f"{name} must have one finite number for each series. Got shape {values.shape} for "
                f"{series} series, {int((~np.isfinite(values)).sum())} numbers of it not finite."
            )
        return values

    def _learned(self) -> dict[str, Any]:
        return {"target": [*self.target_], "reading": self.reading_.as_json()}

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        super()._recall(field)
        target = field("target", list)
        if not numbers(target) or len(target) != 2 or target[1] <= 0:
            raise TaskError("'target' must be a mean and a positive deviation.")
        self.target_ = float(target[0]), float(target[1])

    def _outputs_a_series(self) -> int:
        return 1

    def _net_options(self) -> dict[str, Any]:
        return {**super()._net_options(), "criterion": torch.nn.MSELoss}
