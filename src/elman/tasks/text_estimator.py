"""`TextEstimator`: what is trained on texts, whatever is learned of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from skorch.callbacks import Callback

from .checks import check_texts
from .data.fingerprint import fingerprint
from .data.split import identities
from .data.text import TOKENS, Ragged, Vocabulary, check_known
from .estimator import SequenceEstimator
from .models.texts import TrainedTextModel
from .networks.layers import Backend, CellLike
from .networks.linear import Linear
from .networks.ngrams import NGrams
from .training.progress import ProgressBar
from .training.run import run_pass, surroundings

Self = TypeVar("Self", bound="TextEstimator")


class TextEstimator(SequenceEstimator, TrainedTextModel):
    """What reads texts; a subclass says what is learned of them. Beside what it learns itself,
    `fit` gives `vocabulary_`, `ngrams_`, `truncated_`, `seed_`, `training_` and `net_`."""

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

    # -- what a subclass says

    #: How n-grams learn it.
    LINEAR: Linear

    def _given(self, y: Any, texts: int, names: tuple[str, str], fewest: int = 1) -> Any:
        """What is known of so many texts, checked; `names` are those of the arguments."""
        raise NotImplementedError

    def _begin(self, known: Any) -> None:
        """Take up what the known labels or numbers decide."""
        raise NotImplementedError

    def _targets(self, known: Any, name: str) -> np.ndarray:
        """What is known, as the net takes it."""
        raise NotImplementedError

    def _written(self, known: Any) -> list[Any]:
        """What is known of each text, as JSON."""
        found: list[Any] = known.tolist()
        return found

    def _weights(self, known: Any) -> np.ndarray | None:
        """How much each output counts; None for equally much."""
        return None

    # -- training

    def fit(
        self: Self,
        X: Iterable[str],
        y: Iterable[Any],
        *,
        valid: tuple[Iterable[str], Iterable[Any]] | None = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        folder: str | Path | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> Self:
        """Train on the texts `X` and what is known of them, `y`.

        Both may be lists, arrays, or columns of pandas, datasets or pyarrow.

        With `valid`, further texts and what is known of them, every epoch is also measured on
        those; unless there is a `patience`, they change nothing in the model. `callbacks` are named
        skorch callbacks.

        With `folder` the model is saved there in the end, and the training's state meanwhile: every
        `checkpoint_seconds` and after each epoch. If the process is killed, the same call with
        `resume=True` goes on from there, and ends with the same model, bit for bit.
        Ctrl-C ends the training after the step under way with a KeyboardInterrupt; what has been
        learned so far can be used, is saved in the folder, and can be resumed as well.
        """
        self._may_begin(valid, folder, resume)
        texts = check_texts(X)
        goes_on = self._goes_on()
        known = self._given(y, len(texts), ("X", "y"), fewest=1 if goes_on else 2)
        if not goes_on:
            self._begin(known)
        targets = self._targets(known, "y")
        if not goes_on:
            self._learn_vocabulary(texts)
        self._draw_seed()
        train, self.truncated_ = self._encode(texts, targets)
        weights = self._weights(known)
        data = {"train": fingerprint(texts, self._written(known))}
        with self._shown(callbacks) as shown:
            if goes_on:
                train = self._scored(train)
            else:
                train = self._learn_ngrams(texts, train, weights, shown)
            held_out = None
            if valid is not None:
                held_out, data["valid"] = self._held_out(*valid)
            self._train(train, data, held_out, shown, folder, checkpoint_seconds, weights)
        return self

    def partial_fit(self: Self, X: Iterable[str], y: Iterable[Any]) -> Self:
        """Train for one pass over the texts `X` and what is known of them, at the rate `lr`.

        The first call fixes what `fit` learns beside the network: tokens and n-grams that its texts
        don't have stay unknown. After `fit` or `load` training goes on from there. `epochs` and
        `patience` don't count here.
        """
        self._check_parameters()
        texts = check_texts(X)
        known = self._given(y, len(texts), ("X", "y"))
        return self._pass(texts, known, known)

    def _pass(self: Self, texts: Collection[str], known: Any, every: Any) -> Self:
        """One pass; if it is the first, `every` is all that there will be to know."""
        first = not hasattr(self, "net_")
        if first:
            self._begin(every)
        targets = self._targets(known, "y")
        if first:
            self._learn_vocabulary(texts)
            self._draw_seed()
        rows, self.truncated_ = self._encode(texts, targets)
        if first:
            weights = self._weights(every)
            rows = self._learn_ngrams(texts, rows, weights)
            self.net_ = self._net(weights=weights)
            self.training_ = surroundings()
        else:
            rows = self._scored(rows)
        self.net_.lr, self.net_.batch_size = self.lr, self.batch_size
        run_pass(self.net_, rows)
        self.training_["epochs"] = self.net_.summary()
        return self

    def _learn_vocabulary(self, texts: Collection[str]) -> None:
        self.vocabulary_ = Vocabulary.build(map(TOKENS[self.tokens], texts), self.min_count)
        check_known(self.tokens, self.min_count, self.vocabulary_)

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
        sizes = (self._width(), self.ngrams, self.LINEAR)
        self.ngrams_, rows.scores = NGrams.fit(
            rows, identities(texts), *sizes, weights=weights, seed=self.seed_, told=told
        )
        return rows.cut(self.max_length)

    def _held_out(self, X: Iterable[str], y: Iterable[Any]) -> tuple[Ragged, dict[str, Any]]:
        """Held-out texts, whose labels must all occur in training."""
        texts = check_texts(X, "valid[0]")
        known = self._given(y, len(texts), ("valid[0]", "valid[1]"))
        rows, _ = self._encode(texts, self._targets(known, "valid[1]"))
        return self._scored(rows), fingerprint(texts, self._written(known))
