"""`SequenceClassifier`: texts and their labels, with scikit-learn's conventions, over skorch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight

from .checks import as_labels, as_targets, check_labels, check_texts
from .errors import TaskError
from .models.classifier import TrainedClassifier
from .networks.layers import Backend, CellLike
from .networks.linear import LABEL, LABELS, Linear
from .several import Several, as_several
from .text_estimator import TextEstimator
from .training.net import SequenceNet
from .training.textnet import TextLabelsNet, TextNet, of_labels


class SequenceClassifier(ClassifierMixin, TextEstimator, TrainedClassifier):
    """A recurrent network that reads texts and names their label, or all labels that each has.

    Where `y` holds lists of labels, or a matrix of ones and zeros with a column for each label, a
    text may have several labels, or none. `predict` then gives such a matrix, `predict_labels`
    lists.

    Args:
        cell: the recurrence: a name of `elman.cells.CATALOGUE` ("gru", "lstm", "lightgru", ...) or
            "rnn"; a mapping of a name and the cell's arguments, `{"name": "leaky", "leak": 0.5}`;
            or an `elman.Cell` or its class.
        tokens: what the network reads one after another: "characters", "words" (runs of letters
            and digits, and single marks), or the text's "bytes" in UTF-8. Characters and words
            are taken without differences of case and width.
        embedding_size: features of a token.
        hidden_size: units of each recurrent layer and direction; or a list, one for each layer.
        num_layers: recurrent layers on top of one another.
        bidirectional: whether the texts are also read from the end.
        recurrent: further arguments of `elman.Recurrent` by name, such as `{"residual": True}`.
        n_estimators: networks that learn side by side and answer with their mean. Three are mostly
            better than one, and take three times as long.
        pooling: how a text's steps become one: "max", "mean", "max_mean" (both, side by side), or
            "last", what each direction puts out at the end of its way.
        ngrams: besides, a logistic regression over TF-IDF of n-grams, of up to so many tokens,
            weighs up the whole text; the network adds to its scores. 0: the network alone.
        token_dropout: share of the tokens that are read as unknown in training.
        dropout: share of the features set to zero in training, at the network's entrance, between
            its layers, and before its last layer.
        class_weight: how much a text of each label counts in training: None for equally much,
            "balanced" for all labels together equally much, or a dict of labels and weights, 1
            where a label isn't named.
        threshold: where texts have several labels: the probability above which one is named.
        max_length: tokens of a text that the network reads; what comes after them it doesn't. How
            many texts were cut short in `fit`, `truncated_` says.
        min_count: a token that occurs less often in training shares the id "unknown".
        epochs: passes over the training texts.
        batch_size: texts a step.
        lr: the highest learning rate. It is reached after a fifth of all steps, and then falls to
            nothing along a cosine; with `patience` it is halved after each epoch without progress.
        patience: end after so many epochs without a lower loss on the held-out texts, and keep the
            weights of the best epoch; `epochs` is then the most there may be. None: never.
        random_state: seed of everything random; None draws one. Equal seeds, equal models.
        backend: "elman", or "torch" for the same model on `torch.nn.RNN`, `LSTM` or `GRU`.
        verbose: 1: `fit` shows its progress on standard error, a line for each epoch and on a
            terminal a bar; 0: nothing.
        warm_start: whether `fit` goes on from what an earlier `fit` or `load` has learned: labels,
            vocabulary and n-grams stay, the network's weights are where it begins. What the network
            is made of can't change then.

    After `fit`: `classes_`, `several_` (whether texts have several labels), `vocabulary_`,
    `ngrams_`, `truncated_`, `seed_`, `training_` (command, data and epochs), and `net_`, skorch's
    net with its `history`.

    The guide is docs/guides/classify.md.

    >>> texts = ["good", "so good", "good!", "bad", "too bad", "bad!"] * 4
    >>> model = SequenceClassifier(hidden_size=8, embedding_size=8, epochs=8, dropout=0.0, lr=0.05)
    >>> model.fit(texts, [text.replace("so ", "")[0] == "g" for text in texts]).score
    <bound method ...>
    >>> model.predict(["very good", "very bad"])
    array([ True, False])
    >>> small = model.set_params(ngrams=0, epochs=20, token_dropout=0.0)
    >>> marks = [["good"] * ("good" in text) + ["loud"] * ("!" in text) for text in texts]
    >>> small.fit(texts, marks).predict_labels(["good!", "bad"])
    [['good', 'loud'], []]
    >>> small.predict(["good!", "bad"]).tolist()
    [[1, 1], [0, 0]]
    """

    def __init__(
        self,
        *,
        cell: CellLike = "gru",
        tokens: str = "characters",
        embedding_size: int = 128,
        hidden_size: int | Sequence[int] = 96,
        num_layers: int = 1,
        bidirectional: bool = True,
        recurrent: Mapping[str, Any] | None = None,
        n_estimators: int = 1,
        pooling: str = "max_mean",
        ngrams: int = 4,
        token_dropout: float = 0.3,
        dropout: float = 0.5,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        threshold: float = 0.5,
        max_length: int = 200,
        min_count: int = 2,
        epochs: int = 4,
        batch_size: int = 64,
        lr: float = 3e-3,
        patience: int | None = None,
        random_state: Any = 0,
        backend: Backend = "elman",
        verbose: int = 1,
        warm_start: bool = False,
    ) -> None:
        self._keep(locals())

    def partial_fit(
        self, X: Iterable[str], y: Iterable[Any], classes: Iterable[Any] | None = None
    ) -> SequenceClassifier:
        """Train for one pass over the texts `X` and their labels `y`, at the learning rate `lr`.

        The first call needs `classes`, all labels there will be, and fixes the vocabulary: tokens
        that its texts don't have stay unknown. After `fit` or `load` training goes on from there.
        `epochs` and `patience` don't count here, and "balanced" class weights can't be known.
        """
        self._check_parameters()
        if self.class_weight == "balanced":
            raise TaskError(
                "class_weight='balanced' needs all texts at once; give partial_fit a dict of "
                "weights, or use fit."
            )
        texts = check_texts(X)
        known = every = self._given(y, len(texts), ("X", "y"))
        if not hasattr(self, "net_"):
            if classes is None:
                raise TaskError("The first partial_fit needs classes: all labels there will be.")
            every = as_labels(classes, "classes")
            check_labels(every, len(every), "classes", "classes")
            if isinstance(known, Several):
                every = Several(np.zeros((0, len(every)), bool), np.unique(every))
        elif classes is not None and set(classes) != set(self.classes_.tolist()):
            raise TaskError(f"classes must be those of the first call: {self.classes_.tolist()}.")
        return self._pass(texts, known, every)

    def score(self, X: Iterable[str], y: Iterable[Any], sample_weight: Any = None) -> float:
        """The share of texts whose label is predicted; all labels must occur in training.

        Of several labels all must be right.
        """
        self._check_fitted()
        known = self._given(y, None, ("X", "y"))
        targets = self._targets(known, "y")
        right = targets if isinstance(known, Several) else known
        return super().score(X, right, sample_weight)

    def __sklearn_tags__(self) -> Any:
        """Of a text there may be several labels."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # -- what the estimator asks for

    @property
    def NET(self) -> type[SequenceNet]:  # type: ignore[override]  # noqa: N802
        """The net that trains on one label, or on several."""
        return TextLabelsNet if self.several_ else TextNet

    @property
    def LINEAR(self) -> Linear:  # type: ignore[override]  # noqa: N802
        """The n-grams' regression of one label, or of several."""
        return LABELS if self.several_ else LABEL

    def _given(
        self, y: Any, texts: int | None, names: tuple[str, str], fewest: int = 1
    ) -> np.ndarray | Several:
        several = as_several(y, names[1])
        if several is not None:
            if texts not in (None, len(several)):
                raise TaskError(
                    f"{names[1]} must have a list of labels for each text in {names[0]}. Got "
                    f"{len(several)} for {texts} texts."
                )
            check_labels(several.classes(), len(several.classes()), *names, fewest)
            return several
        labels = as_labels(y, names[1])
        check_labels(labels, len(labels) if texts is None else texts, *names, fewest)
        return labels

    def _begin(self, known: np.ndarray | Several) -> None:
        self.several_ = isinstance(known, Several)
        self.classes_ = known.classes() if isinstance(known, Several) else np.unique(known)

    def _targets(self, known: np.ndarray | Several, name: str) -> np.ndarray:
        if isinstance(known, Several) != self.several_:
            one, several = "one label for each text", "several labels"
            was, given = (several, one) if self.several_ else (one, several)
            raise TaskError(f"{name} must hold {was}, as in training. Got {given}.")
        if isinstance(known, Several):
            return known.of(self.classes_, name)
        return as_targets(known, self.classes_, name)

    def _written(self, known: np.ndarray | Several) -> list[Any]:
        return known.listed() if isinstance(known, Several) else known.tolist()

    def _net_options(self, weights: np.ndarray | None = None) -> dict[str, Any]:
        weight = None if weights is None else torch.tensor(weights).float()
        if self.several_:
            return {
                "criterion": torch.nn.BCEWithLogitsLoss,
                "threshold": float(self.threshold),
                "weights": weight,
            }
        return of_labels(len(self.classes_), weight)

    def _weights(self, known: np.ndarray | Several) -> np.ndarray | None:
        """What `class_weight` means for the labels: (len(classes_),)."""
        if self.class_weight is None:
            return None
        classes = self.classes_
        if isinstance(self.class_weight, Mapping):
            if unknown := sorted(set(self.class_weight) - set(classes.tolist()), key=str):
                raise TaskError(f"class_weight has labels that y has not: {unknown[:5]}.")
            return np.array([self.class_weight.get(label, 1.0) for label in classes.tolist()])
        if isinstance(known, Several):
            labels = np.array([label for row in known.listed() for label in row])
        else:
            labels = known
        weights, there = np.ones(len(classes)), np.isin(classes, labels)
        if there.any():
            weights[there] = compute_class_weight("balanced", classes=classes[there], y=labels)
        return weights
