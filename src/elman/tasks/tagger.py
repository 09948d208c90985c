"""`SequenceTagger`: texts and the spans in them, with scikit-learn's conventions, over skorch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skorch.callbacks import Callback

from .checks import refuse_unseen
from .data.features import COLUMNS
from .data.fingerprint import fingerprint
from .data.schemes import Span, labels_of, read_tags
from .data.tagged import Text, as_texts, read_rows_of_tags
from .data.text import Vocabulary, check_known
from .errors import TaskError
from .estimator import SequenceEstimator
from .models.tagger import TrainedTagger, both_forms
from .networks.crf import PathLoss
from .networks.layers import Backend, CellLike
from .report.entities import compare
from .training.tagnet import TagNet

STEPS = 150  # that an epoch has at least, if there are as many texts


class SequenceTagger(SequenceEstimator, TrainedTagger):
    """A recurrent network that reads texts and tags their tokens: names in a text, words, ...

    A text is a string or, cut into tokens already, a list of strings. Its tags are a list of one
    string for each token, in BIO, BIOES (BILOU), IOB1 or IO: "B-city", "I-city", "O"; or labels
    that each belong to a single token. `fit` also takes spans, see `Span`.

    Args:
        cell, hidden_size, num_layers, bidirectional, recurrent: as of `SequenceClassifier`.
        n_estimators: as of `SequenceClassifier`.
        token_dropout, dropout, min_count, epochs, lr: as of `SequenceClassifier`.
        patience, random_state, backend, verbose, warm_start: as of `SequenceClassifier`.
        tokens: what a string is cut into: "characters" or "words". Also says what is known of a
            token: of characters the pairs they are part of, of words beginning, end and shape.
        embedding_size: features of a token; of a pair half as many, of an affix a quarter.
        repeats: whether a text's tokens also score the tags of the same tokens elsewhere in it (of
            characters: of the same pairs). This helps where texts repeat names, as articles do.
        auxiliary_weight: how much the loss of an auxiliary tag counts beside that of a tag, where
            `fit` is given auxiliary tags.
        scheme: that of the tags: "BIO", "BIOES", "IOB1", "IO", or "tags" for labels of single
            tokens; "auto" goes by the tags that occur. `predict` answers in it.
        batch_size: texts a step, at most: where an epoch would have less than 150 steps, fewer.

    After `fit`: `labels_` (the tags inside, as BIOES), `auxiliary_` (the auxiliary ones),
    `scheme_`, `vocabularies_`, `seed_`, `training_`, and `net_`, the `skorch.NeuralNet` with its
    `history`.

    The guide is docs/guides/tag.md.

    >>> texts = ["Ann met Bob", "Bob saw Eve", "Eve and Ann", "we met them"] * 4
    >>> tags = [["B-name" if word[0].isupper() else "O" for word in t.split()] for t in texts]
    >>> model = SequenceTagger(tokens="words", hidden_size=8, embedding_size=8, lr=0.05)
    >>> model.fit(texts, tags).predict(["they saw Ann", ["Bob", "ran"]])
    [['O', 'O', 'B-name'], ['B-name', 'O']]
    >>> [[found[:3] for found in row] for row in model.predict_spans(["they saw Ann"])]
    [[(9, 12, 'name')]]
    """

    NET = TagNet

    def __init__(
        self,
        *,
        cell: CellLike = "gru",
        tokens: str = "characters",
        embedding_size: int = 64,
        hidden_size: int | Sequence[int] = 128,
        num_layers: int = 1,
        bidirectional: bool = True,
        recurrent: Mapping[str, Any] | None = None,
        n_estimators: int = 1,
        token_dropout: float = 0.15,
        dropout: float = 0.55,
        repeats: bool = False,
        auxiliary_weight: float = 0.1,
        scheme: str = "auto",
        min_count: int = 2,
        epochs: int = 12,
        batch_size: int = 32,
        lr: float = 4e-3,
        patience: int | None = None,
        random_state: Any = 0,
        backend: Backend = "elman",
        verbose: int = 1,
        warm_start: bool = False,
    ) -> None:
        self._keep(locals())

    def fit(
        self,
        X: Iterable[Text],
        y: Iterable[Sequence[str]] | Iterable[Sequence[Span]],
        auxiliary: Iterable[Any] | None = None,
        *,
        valid: tuple[Iterable[Text], Iterable[Any]] | None = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        folder: str | Path | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> SequenceTagger:
        """Train on the texts `X` and their tags or spans `y`; the rest is as of the classifier.

        `auxiliary` are further tags or spans of these texts, such as the parts of speech of all
        words, or None; their scheme is found by itself. The recurrent layers learn them beside `y`,
        and so more of the language (R. Caruana, *Multitask learning*, 1997). Answers have none.
        Of the `valid` texts an epoch's figures leave out those with a label that `y` hasn't.
        """
        self._may_begin(valid, folder, resume)
        texts = as_texts(X)
        goes_on = self._goes_on()
        scheme = self.scheme_ if goes_on else self.scheme
        self.scheme_, tags = read_rows_of_tags(texts, self.tokens, y, scheme)
        if goes_on:
            refuse_unseen("y", _unknown(tags, self.labels_), self.labels_, "tags")
        else:
            self._begin(texts, tags)
        further = self._read_auxiliary(texts, auxiliary, goes_on)
        self._draw_seed()
        train, data = self._encode(texts, tags, further), {"train": fingerprint(texts, tags)}
        if further is not None:
            data["auxiliary"] = fingerprint(texts, further)
        held_out = None
        if valid is not None:
            others = as_texts(valid[0], "valid[0]")
            names = ("valid[0]", "valid[1]")
            _, known = read_rows_of_tags(others, self.tokens, valid[1], self.scheme, *names)
            held_out = self._encode(*self._known(others, known))
            data["valid"] = fingerprint(others, known)
        how = (held_out, callbacks, folder, checkpoint_seconds, further is not None)
        self._train(train, data, *how)
        return self

    def score(self, X: Iterable[Text], y: Iterable[Any]) -> float:
        """The F1 score of the spans: found with the same ends and label."""
        self._check_fitted()
        texts = as_texts(X)
        _, tags = read_rows_of_tags(texts, self.tokens, y, self.scheme)
        truth = [read_tags(row, "BIOES") for row in tags]
        return compare(truth, self._tag(texts, scored=False)).all.f1

    # -- what the estimator asks for

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _net_options(self, auxiliary: bool = False) -> dict[str, Any]:
        return {
            "criterion": PathLoss,
            "labels": tuple(self.labels_),
            "auxiliary_weight": self.auxiliary_weight,
            "iterator_train__auxiliary": auxiliary,
        }

    def _texts_a_step(self, texts: int) -> int:
        return min(self.batch_size, max(1, texts // STEPS))

    def _begin(self, texts: Sequence[Text], tags: Sequence[Sequence[str]]) -> None:
        """What the texts and their tags decide."""
        self.labels_ = self._labels_of(tags, "y", whole=self.scheme_ != "tags")
        self.vocabularies_ = [
            Vocabulary.build(
                (column.values(*both_forms(self._tokens(text))) for text in texts), self.min_count
            )
            for column in COLUMNS[self.tokens]
        ]
        check_known(self.tokens, self.min_count, *self.vocabularies_)

    def _read_auxiliary(
        self, texts: Sequence[Text], given: Iterable[Any] | None, goes_on: bool
    ) -> list[list[str]] | None:
        """The auxiliary tags of each text's tokens in BIOES, if there are any."""
        if given is None:
            if not goes_on:
                self.auxiliary_ = []
            return None
        if goes_on and not self.auxiliary_:
            raise TaskError(
                "auxiliary: the model that this training goes on from has learned no auxiliary "
                "tags; leave them out, or train a new model."
            )
        _, tags = read_rows_of_tags(texts, self.tokens, given, name_y="auxiliary")
        if goes_on:
            unknown = _unknown(tags, self.auxiliary_)
            refuse_unseen("auxiliary", unknown, self.auxiliary_, "tags")
        else:
            self.auxiliary_ = self._labels_of(tags, "auxiliary")
        return tags

    def _labels_of(
        self, tags: Sequence[Sequence[str]], name: str, whole: bool = False
    ) -> list[str]:
        """The labels in some tags, two at least."""
        labels = labels_of(tags, whole)
        if len(labels) < 2:
            raise TaskError(
                f"{name} has one tag only, {', '.join(labels)}: there is nothing to learn; "
                "expected at least one span."
            )
        return labels

    def _known(
        self, texts: Sequence[Text], tags: Sequence[Sequence[str]]
    ) -> tuple[list[Text], list[Sequence[str]]]:
        """Held-out texts whose tags are all known; no loss could be given for the others."""
        names = set(self.labels_)
        rows = [number for number, row in enumerate(tags) if names.issuperset(row)]
        if not rows:
            raise TaskError("valid has no text whose labels all occur in training.")
        return [texts[row] for row in rows], [tags[row] for row in rows]


def _unknown(tags: Sequence[Sequence[str]], labels: Sequence[str]) -> list[str]:
    """The tags that are none of some labels."""
    return sorted({tag for row in tags for tag in row} - set(labels))
