"""`SequenceClassifier`: texts and their labels, with scikit-learn's conventions, over skorch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from skorch.callbacks import Callback

from .checks import as_labels, as_targets, check_labels, check_texts
from .data.fingerprint import fingerprint
from .data.split import identities
from .data.text import TOKENS, Ragged, Vocabulary, check_known
from .errors import TaskError
from .estimator import SequenceEstimator
from .models.classifier import TrainedClassifier
from .networks.layers import Backend, CellLike
from .networks.ngrams import NGrams
from .training.progress import ProgressBar
from .training.run import run_pass, surroundings
from .training.textnet import TextNet


class SequenceClassifier(ClassifierMixin, SequenceEstimator, TrainedClassifier):
    """A recurrent network that reads texts and names their label.

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

    After `fit`: `classes_`, `vocabulary_`, `ngrams_`, `truncated_`, `seed_`, `training_` (command,
    data and epochs), and `net_`, the `skorch.NeuralNetClassifier` with its `history`.

    >>> texts = ["good", "so good", "good!", "bad", "too bad", "bad!"] * 4
    >>> model = SequenceClassifier(hidden_size=8, embedding_size=8, epochs=8, dropout=0.0, lr=0.05)
    >>> model.fit(texts, [text.replace("so ", "")[0] == "g" for text in texts]).score
    <bound method ...>
    >>> model.predict(["very good", "very bad"])
    array([ True, False])
    """

    NET = TextNet

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
        pooling: str = "max_mean",
        ngrams: int = 4,
        token_dropout: float = 0.3,
        dropout: float = 0.5,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        max_length: int = 200,
        min_count: int = 2,
        epochs: int = 4,
        batch_size: int = 64,
        lr: float = 3e-3,
        patience: int | None = None,
        random_state: Any = 0,
        backend: Backend = "elman",
        verbose: int = 1,
    ) -> None:
        self._keep(locals())

    def fit(
        self,
        X: Iterable[str],
        y: Iterable[Any],
        *,
        valid: tuple[Iterable[str], Iterable[Any]] | None = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        folder: str | Path | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> SequenceClassifier:
        """Train on the texts `X` and their labels `y`.

        With `valid`, further texts and labels, every epoch is also measured on those; unless there
        is a `patience`, they change nothing in the model. `callbacks` are named skorch callbacks.

        With `folder` the model is saved there in the end, and the training's state meanwhile: every
        `checkpoint_seconds` and after each epoch. If the process is killed, the same call with
        `resume=True` goes on from there, and ends with the same model, bit for bit.
        Ctrl-C ends the training after the step under way with a KeyboardInterrupt; what has been
        learned so far can be used, is saved in the folder, and can be resumed as well.
        """
        self._may_begin(valid, folder, resume)
        texts = check_texts(X)
        labels = as_labels(y)
        check_labels(labels, len(texts))
        self._begin(texts, labels)
        train, self.truncated_ = self._encode(texts, as_targets(labels, self.classes_))
        weights = self._class_weights(labels)
        data = {"train": fingerprint(texts, labels.tolist())}
        with self._shown(callbacks) as shown:
            train = self._learn_ngrams(texts, train, weights, shown)
            held_out = None
            if valid is not None:
                held_out, data["valid"] = self._known(*valid)
            self._train(train, data, held_out, shown, folder, checkpoint_seconds, weights)
        return self

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
        labels = as_labels(y)
        check_labels(labels, len(texts), fewest=1)
        if not hasattr(self, "net_"):
            if classes is None:
                raise TaskError("The first partial_fit needs classes: all labels there will be.")
            every = as_labels(classes, "classes")
            check_labels(every, len(every), "classes", "classes")
            self._begin(texts, every)
            weights = self._class_weights(every)
            rows, self.truncated_ = self._encode(texts, as_targets(labels, self.classes_))
            rows = self._learn_ngrams(texts, rows, weights)
            self.net_ = self._net(weights=weights)
            self.training_ = surroundings()
        elif classes is not None and set(classes) != set(self.classes_.tolist()):
            raise TaskError(f"classes must be those of the first call: {self.classes_.tolist()}.")
        else:
            rows, self.truncated_ = self._encode(texts, as_targets(labels, self.classes_))
            rows = self._scored(rows)
        self.net_.lr, self.net_.batch_size = self.lr, self.batch_size
        run_pass(self.net_, rows)
        self.training_["epochs"] = self.net_.summary()
        return self

    def score(self, X: Iterable[str], y: Iterable[Any], sample_weight: Any = None) -> float:
        """The share of texts whose label is predicted; all labels must occur in training."""
        self._check_fitted()
        labels = as_labels(y)
        as_targets(labels, self.classes_)
        return super().score(X, labels, sample_weight)

    def _net_options(self, weights: np.ndarray | None = None) -> dict[str, Any]:
        return {
            "criterion": torch.nn.CrossEntropyLoss,
            "criterion__weight": None if weights is None else torch.tensor(weights).float(),
            "criterion__reduction": "sum",
            "classes": np.arange(len(self.classes_)),
        }

    def _begin(self, texts: Iterable[str], labels: np.ndarray) -> None:
        """What the first texts and all labels decide."""
        self.classes_ = np.unique(labels)
        self.vocabulary_ = Vocabulary.build(map(TOKENS[self.tokens], texts), self.min_count)
        check_known(self.tokens, self.min_count, self.vocabulary_)
        self._draw_seed()

    def _learn_ngrams(
        self,
        texts: Collection[str],
        rows: Ragged,
        weights: np.ndarray | None,
        callbacks: Iterable[tuple[str, Callback]] = (),
    ) -> Ragged:
        """Learn what n-grams say; the rows as the network reads them, with their scores.

        A progress bar among the callbacks shows how far that is.
        """

        def told(done: int, total: int) -> None:
            for _, one in callbacks:
                if isinstance(one, ProgressBar):
                    one.prepare("n-grams", done, total)

        if not self.ngrams:
            self.ngrams_ = None
            return self._scored(rows)
        sizes = (len(self.classes_), self.ngrams)
        self.ngrams_, rows.scores = NGrams.fit(
            rows, identities(texts), *sizes, weights=weights, seed=self.seed_, told=told
        )
        return rows.cut(self.max_length)

    def _class_weights(self, labels: np.ndarray) -> np.ndarray | None:
        """What `class_weight` means for the labels: (len(classes_),)."""
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, Mapping):
            unknown = sorted(set(self.class_weight) - set(self.classes_.tolist()), key=str)
            if unknown:
                raise TaskError(f"class_weight has labels that y has not: {unknown[:5]}.")
        return compute_class_weight(self.class_weight, classes=self.classes_, y=labels)

    def _known(self, X: Iterable[str], y: Iterable[Any]) -> tuple[Ragged, dict[str, Any]]:
        """Held-out texts, whose labels must all occur in training."""
        texts, labels = check_texts(X, "valid[0]"), as_labels(y, "valid[1]")
        check_labels(labels, len(texts), "valid[0]", "valid[1]", fewest=1)
        rows, _ = self._encode(texts, as_targets(labels, self.classes_, "valid[1]"))
        return self._scored(rows), fingerprint(texts, labels.tolist())
