"""`SequenceTagger`: texts and the spans in them, with scikit-learn's conventions, over skorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from .chain import PathLoss, best_path, chances
from .data.columns import COLUMNS, normal
from .data.fingerprint import fingerprint
from .data.schemes import OUTSIDE, Span, labels_of, read_tags, write_tags
from .data.tagged import Text, as_texts, in_characters, read_rows_of_tags, to_tokens
from .data.text import Ragged, Vocabulary, check_known
from .decode import cut
from .errors import BEYOND, TaskError
from .estimator import BOTH_WAYS, SequenceEstimator
from .model import Backend, CellLike
from .report.entities import compare
from .saved import read_tags_of_model, read_vocabularies
from .tagging import TagRNN
from .training.checkpoint import check_folder
from .training.tagnet import TagNet

STEPS = 150  # that an epoch has at least, if there are as many texts
AT_ONCE = 1 << 14  # tokens that are tagged together, about


class Found(NamedTuple):
    """A span that was found, and how likely it is there, with these ends and this label."""

    start: int
    end: int
    label: str
    score: float


class SequenceTagger(SequenceEstimator):
    """A recurrent network that reads texts and tags their tokens: names in a text, words, ...

    A text is a string or, cut into tokens already, a list of strings. Its tags are a list of one
    string for each token, in BIO, BIOES (BILOU), IOB1 or IO: "B-city", "I-city", "O"; or labels
    that each belong to a single token. `fit` also takes spans, see `Span`.

    Args:
        cell, hidden_size, num_layers, bidirectional, recurrent, token_dropout, dropout, min_count,
        epochs, lr, patience, random_state, backend, verbose: as of `SequenceClassifier`.
        tokens: what a string is cut into: "characters" or "words". Also says what is known of a
            token: of characters the pairs they are part of, of words beginning, end and shape.
        embedding_size: features of a token; of a pair half as many, of an affix a quarter.
        scheme: that of the tags: "BIO", "BIOES", "IOB1", "IO", or "tags" for labels of single
            tokens; "auto" goes by the tags that occur. `predict` answers in it.
        batch_size: texts a step, at most: where an epoch would have less than 150 steps, fewer.

    After `fit`: `labels_` (the tags inside, as BIOES), `scheme_`, `vocabularies_`, `seed_`,
    `training_`, and `net_`, the `skorch.NeuralNet` with its `history`.

    >>> texts = ["Ann met Bob", "Bob saw Eve", "Eve and Ann", "we met them"] * 4
    >>> tags = [["B-name" if word[0].isupper() else "O" for word in t.split()] for t in texts]
    >>> model = SequenceTagger(tokens="words", hidden_size=8, embedding_size=8, lr=0.05)
    >>> model.fit(texts, tags).predict(["they saw Ann", ["Bob", "ran"]])
    [['O', 'O', 'B-name'], ['B-name', 'O']]
    >>> [[found[:3] for found in row] for row in model.predict_spans(["they saw Ann"])]
    [[(9, 12, 'name')]]
    """

    FORMAT, VERSION, NEEDED = "elman sequence tagger", 1, frozenset({"bidirectional"})
    NETWORK = (*BOTH_WAYS, "tokens")
    NET, MODULE = TagNet, TagRNN

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
        token_dropout: float = 0.15,
        dropout: float = 0.55,
        scheme: str = "auto",
        min_count: int = 2,
        epochs: int = 12,
        batch_size: int = 32,
        lr: float = 4e-3,
        patience: int | None = None,
        random_state: Any = 0,
        backend: Backend = "elman",
        verbose: int = 1,
    ) -> None:
        self.cell = cell
        self.tokens = tokens
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.recurrent = recurrent
        self.token_dropout = token_dropout
        self.dropout = dropout
        self.scheme = scheme
        self.min_count = min_count
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.patience = patience
        self.random_state = random_state
        self.backend = backend
        self.verbose = verbose

    def fit(
        self,
        X: Iterable[Text],
        y: Iterable[Sequence[str]] | Iterable[Sequence[Span]],
        *,
        valid: tuple[Iterable[Text], Iterable[Any]] | None = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        folder: str | Path | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> SequenceTagger:
        """Train on the texts `X` and their tags or spans `y`; the rest is as of the classifier.

        Of the `valid` texts an epoch's figures leave out those with a label that `y` hasn't.
        """
        self._check_parameters()
        if self.patience is not None and valid is None:
            raise TaskError("patience needs held-out texts to be measured on; give fit valid=.")
        check_folder(folder, resume)
        texts = as_texts(X)
        self.scheme_, tags = read_rows_of_tags(texts, self.tokens, y, self.scheme)
        self._begin(texts, tags)
        train, data = self._encode(texts, tags), {"train": fingerprint(texts, tags)}
        held_out = None
        if valid is not None:
            others = as_texts(valid[0], "valid[0]")
            names = ("valid[0]", "valid[1]")
            _, known = read_rows_of_tags(others, self.tokens, valid[1], self.scheme, *names)
            held_out = self._encode(*self._known(others, known))
            data["valid"] = fingerprint(others, known)
        self._train(train, data, held_out, callbacks, folder, checkpoint_seconds)
        return self

    def predict(self, X: Iterable[Text]) -> list[list[str]]:
        """The tags of each text's tokens, in the scheme that `fit` was given."""
        check_is_fitted(self, "net_")
        texts = as_texts(X)
        found = self._tag(texts, scored=False)
        return [
            write_tags((Span(*span[:3]) for span in spans), length, self.scheme_)
            for length, spans in zip(map(len, map(self._tokens, texts)), found, strict=True)
        ]

    def predict_spans(self, X: Iterable[Text]) -> list[list[Found]]:
        """The spans of each text in order; they count tokens, and in strings characters.

        A span's score is the probability, in the model's view, that it is there as it is.
        """
        check_is_fitted(self, "net_")
        texts = as_texts(X)
        found = self._tag(texts, scored=True)
        if self.tokens == "characters":
            return found
        return [
            _in_characters(text, spans) if isinstance(text, str) else spans
            for text, spans in zip(texts, found, strict=True)
        ]

    def score(self, X: Iterable[Text], y: Iterable[Any]) -> float:
        """The F1 score of the spans: found with the same ends and label."""
        check_is_fitted(self, "net_")
        texts = as_texts(X)
        _, tags = read_rows_of_tags(texts, self.tokens, y, self.scheme)
        truth = [read_tags(row, "BIOES") for row in tags]
        return compare(truth, self._tag(texts, scored=False)).all.f1

    def tag(self, X: Iterable[Text]) -> list[list[Found]]:
        """The spans of each text, which count its tokens, without scores (all are 1)."""
        check_is_fitted(self, "net_")
        return self._tag(as_texts(X), scored=False)

    def _tokens(self, text: Text) -> Sequence[str]:
        return to_tokens(text, self.tokens)

    def __sklearn_tags__(self) -> Any:
        """Texts, not a matrix of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags

    # -- what the estimator asks for

    def look(self, text: str) -> tuple[Sequence[str], list[tuple[str, float]]]:
        """The tokens of a text, and the spans in it with their probabilities."""
        (spans,) = self.predict_spans([text])
        found = [(f"{s.label}  {text[s.start : s.end]}", s.score) for s in spans]
        return self._tokens(text), found

    def about(self) -> dict[str, str]:
        """What there is to say of the model, by name."""
        names = sorted({tag[2:] for tag in self.labels_ if tag[2:]})
        known = ", ".join(
            f"{len(vocabulary.tokens):,} of the column {column.name!r}"
            for column, vocabulary in zip(COLUMNS[self.tokens], self.vocabularies_, strict=True)
        )
        return {
            "labels": f"{len(names)}: {', '.join(names[:10])}" + (", ..." if names[10:] else ""),
            "reads": f"{self.tokens}, and knows {known}",
        }

    def _learned(self) -> dict[str, Any]:
        return {
            "labels": self.labels_,
            "scheme": self.scheme_,
            "vocabularies": {
                column.name: vocabulary.tokens
                for column, vocabulary in zip(COLUMNS[self.tokens], self.vocabularies_, strict=True)
            },
        }

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        self.scheme_ = field("scheme", str)
        self.labels_ = read_tags_of_model(field("labels", list), self.scheme_)
        names = [column.name for column in COLUMNS[self.tokens]]
        self.vocabularies_ = read_vocabularies(field("vocabularies", dict), names)

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        if smallest:
            return {"vocabularies": (2,) * len(COLUMNS[self.tokens]), "labels": (OUTSIDE,)}
        return {"vocabularies": tuple(map(len, self.vocabularies_)), "labels": tuple(self.labels_)}

    def _net_options(self) -> dict[str, Any]:
        return {"criterion": PathLoss, "labels": tuple(self.labels_)}

    def _texts_a_step(self, texts: int) -> int:
        return min(self.batch_size, max(1, texts // STEPS))

    def _check_parameters(self) -> None:
        if self.tokens not in tuple(COLUMNS):
            raise TaskError(f"tokens must be one of {', '.join(COLUMNS)}. Got {self.tokens!r}.")
        super()._check_parameters()

    def _begin(self, texts: Sequence[Text], tags: Sequence[Sequence[str]]) -> None:
        """What the texts and their tags decide."""
        self.labels_ = labels_of(tags, whole=self.scheme_ != "tags")
        if len(self.labels_) < 2:
            raise TaskError(
                f"y has one tag only, {', '.join(self.labels_)}: there is nothing to learn; "
                "expected at least one span."
            )
        self.vocabularies_ = [
            Vocabulary.build(
                (column.values(*_both(self._tokens(text))) for text in texts), self.min_count
            )
            for column in COLUMNS[self.tokens]
        ]
        check_known(self.tokens, self.min_count, *self.vocabularies_)
        self._draw_seed()

    def _known(
        self, texts: Sequence[Text], tags: Sequence[Sequence[str]]
    ) -> tuple[list[Text], list[Sequence[str]]]:
        """Held-out texts whose tags are all known; no loss could be given for the others."""
        names = set(self.labels_)
        rows = [number for number, row in enumerate(tags) if names.issuperset(row)]
        if not rows:
            raise TaskError("valid has no text whose labels all occur in training.")
        return [texts[row] for row in rows], [tags[row] for row in rows]

    def _encode(
        self,
        texts: Sequence[Text],
        tags: Sequence[Sequence[str]] | None = None,
    ) -> Ragged:
        """The texts as ids, those of each column and, where they are known, of the tags."""
        columns = COLUMNS[self.tokens]
        codes = {label: number for number, label in enumerate(self.labels_)}

        def rows() -> Iterator[np.ndarray]:
            for number, text in enumerate(texts):
                both = _both(self._tokens(text))
                ids = [
                    vocabulary.encode(column.values(*both))
                    for column, vocabulary in zip(columns, self.vocabularies_, strict=True)
                ]
                if tags is not None:
                    ids.append(np.array([codes[tag] for tag in tags[number]], np.int32))
                yield np.stack(ids, 1)

        return Ragged(rows(), columns=len(columns) + (tags is not None))

    def _tag(self, texts: Sequence[Text], scored: bool) -> list[list[Found]]:
        """The spans of each text, which count tokens."""
        rows = self._encode(texts)
        # Texts of similar length side by side: long ones don't hold up short ones.
        order = np.argsort(-rows.lengths, kind="stable")
        filled = np.cumsum(rows.lengths[order]) // AT_ONCE
        cuts = [0, *(np.flatnonzero(np.diff(filled)) + 1).tolist(), len(order)]
        found: list[list[Found]] = [[] for _ in texts]
        network = self.net_.module_.eval()
        with torch.inference_mode():
            for begin, end in pairwise(cuts):
                if begin < end:
                    self._tag_batch(network, rows, order[begin:end], found, scored)
        return found

    def _tag_batch(
        self,
        network: torch.nn.Module,
        rows: Ragged,
        numbers: np.ndarray,
        found: list[list[Found]],
        scored: bool,
    ) -> None:
        packed = rows.pack(numbers)
        lattice = network(packed)
        if not bool(lattice.scores.isfinite().all()):
            raise TaskError(BEYOND)
        tags = best_path(lattice)
        chance = chances(lattice, tags) if scored else None
        assert packed.sorted_indices is not None
        order = numbers[packed.sorted_indices.numpy()]
        for row, start, end, label, score in cut(tags, chance, packed.batch_sizes, self.labels_):
            found[order[row]].append(Found(start, end, label, score))


def _both(text: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    return list(map(normal, text)), text


def _in_characters(text: str, spans: Sequence[Found]) -> list[Found]:
    """Spans of words as spans of the text's characters."""
    places = in_characters([Span(*span[:3]) for span in spans], text)
    return [
        Found(start, end, span.label, span.score)
        for (start, end), span in zip(places, spans, strict=True)
    ]
