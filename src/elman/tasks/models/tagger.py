"""`TrainedTagger`: finds spans in texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from ..checks import Rule, one_of
from ..data.features import COLUMNS, first_places, normal
from ..data.schemes import OUTSIDE, Span, write_tags
from ..data.tagged import Text, as_texts, in_characters, to_tokens
from ..data.text import Ragged, Vocabulary
from ..errors import BEYOND, TaskError
from ..networks.crf import best_path, chances
from ..networks.tagger import TagRNN
from .base import BOTH_WAYS, TrainedModel
from .config import read_tags_of_model, read_vocabularies
from .spans import cut

AT_ONCE = 1 << 14  # tokens that are tagged together, about


class Found(NamedTuple):
    """A span that was found, and how likely it is there, with these ends and this label."""

    start: int
    end: int
    label: str
    score: float


class TrainedTagger(TrainedModel):
    """What a `SequenceTagger` knows and answers.

    Beside what every model has: `labels_` (the tags inside, as BIOES), `auxiliary_` (those that
    helped in training), `scheme_` and `vocabularies_`.
    """

    FORMAT, NEEDED = "elman sequence tagger", frozenset({"bidirectional"})
    NETWORK = (*BOTH_WAYS, "tokens", "repeats")
    RULES: ClassVar[Mapping[str, Rule]] = {"tokens": one_of(COLUMNS)}
    MODULE = TagRNN
    UNCHAINED = "a token has several ids, and a search over all tags finds the spans"

    tokens: str
    embedding_size: int
    bidirectional: bool
    n_estimators: int = 1
    token_dropout: float = 0.0
    repeats: bool = False
    auxiliary_weight: float = 0.1
    scheme: str
    min_count: int

    labels_: list[str]
    auxiliary_: list[str]
    scheme_: str
    vocabularies_: list[Vocabulary]

    def predict(self, X: Iterable[Text]) -> list[list[str]]:
        """The tags of each text's tokens, in the scheme that `fit` was given."""
        self._check_fitted()
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
        self._check_fitted()
        texts = as_texts(X)
        found = self._tag(texts, scored=True)
        if self.tokens == "characters":
            return found
        return [
            _in_characters(text, spans) if isinstance(text, str) else spans
            for text, spans in zip(texts, found, strict=True)
        ]

    def tag(self, X: Iterable[Text]) -> list[list[Found]]:
        """The spans of each text, which count its tokens, without scores (all are 1)."""
        self._check_fitted()
        return self._tag(as_texts(X), scored=False)

    def look(self, text: str) -> tuple[Sequence[str], list[tuple[str, float]]]:
        """The tokens of a text, and the spans in it with their probabilities."""
        (spans,) = self.predict_spans([text])
        found = [(f"{s.label}  {text[s.start : s.end]}", s.score) for s in spans]
        return self._tokens(text), found

    def about(self) -> dict[str, str]:
        beside = {"auxiliary": _labels(self.auxiliary_)} if self.auxiliary_ else {}
        known = ", ".join(
            f"{len(vocabulary.tokens):,} of the column {column.name!r}"
            for column, vocabulary in zip(COLUMNS[self.tokens], self.vocabularies_, strict=True)
        )
        return {
            "labels": _labels(self.labels_),
            **beside,
            "reads": f"{self.tokens}, and knows {known}",
        }

    def _learned(self) -> dict[str, Any]:
        return {
            "labels": self.labels_,
            "auxiliary": self.auxiliary_,
            "scheme": self.scheme_,
            "vocabularies": {
                column.name: vocabulary.tokens
                for column, vocabulary in zip(COLUMNS[self.tokens], self.vocabularies_, strict=True)
            },
        }

    def _recall(self, field: Callable[..., Any]) -> None:
        self.scheme_ = field("scheme", str)
        self.labels_ = read_tags_of_model(field("labels", list), self.scheme_)
        self.auxiliary_ = field("auxiliary", list, [])  # older folders have none
        if self.auxiliary_:
            read_tags_of_model(self.auxiliary_, self.scheme_, "auxiliary")
        names = [column.name for column in COLUMNS[self.tokens]]
        self.vocabularies_ = read_vocabularies(field("vocabularies", dict), names)

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        if smallest:
            return {"vocabularies": (2,) * len(COLUMNS[self.tokens]), "labels": (OUTSIDE,)}
        return {
            "vocabularies": tuple(map(len, self.vocabularies_)),
            "labels": tuple(self.labels_),
            "auxiliary": len(self.auxiliary_),
        }

    def _tokens(self, text: Text) -> Sequence[str]:
        return to_tokens(text, self.tokens)

    def _encode(
        self,
        texts: Sequence[Text],
        tags: Sequence[Sequence[str]] | None = None,
        auxiliary: Sequence[Sequence[str]] | None = None,
    ) -> Ragged:
        """The texts as ids: of each column, of what they repeat, and of the tags that are known."""
        columns = COLUMNS[self.tokens]
        known = [
            ({label: number for number, label in enumerate(labels)}, rows)
            for labels, rows in ((self.labels_, tags), (self.auxiliary_, auxiliary))
            if rows is not None
        ]

        def rows() -> Iterator[np.ndarray]:
            for number, text in enumerate(texts):
                both = both_forms(self._tokens(text))
                values = [column.values(*both) for column in columns]
                ids = [
                    vocabulary.encode(one)
                    for one, vocabulary in zip(values, self.vocabularies_, strict=True)
                ]
                if self.repeats:
                    (repeated,) = (v for v, c in zip(values, columns, strict=True) if c.repeats)
                    ids.append(np.array(first_places(repeated), np.int32))
                for codes, given in known:
                    ids.append(np.array([codes[tag] for tag in given[number]], np.int32))
                yield np.stack(ids, 1)

        return Ragged(rows(), columns=len(columns) + self.repeats + len(known))

    def _tag(self, texts: Sequence[Text], scored: bool) -> list[list[Found]]:
        """The spans of each text, which count tokens."""
        rows = self._encode(texts)
        # Texts of similar length side by side: long ones don't hold up short ones.
        order = np.argsort(-rows.lengths, kind="stable")
        filled = np.cumsum(rows.lengths[order]) // AT_ONCE
        cuts = [0, *(np.flatnonzero(np.diff(filled)) + 1).tolist(), len(order)]
        found: list[list[Found]] = [[] for _ in texts]
        network = self.network
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
        if not all(end.isfinite() for end in lattice.scores.aminmax()):  # in a fifth of the time
            raise TaskError(BEYOND)
        tags = best_path(lattice)
        chance = chances(lattice, tags) if scored else None
        assert packed.sorted_indices is not None
        order = numbers[packed.sorted_indices.numpy()]
        for row, start, end, label, score in cut(tags, chance, packed.batch_sizes, self.labels_):
            found[order[row]].append(Found(start, end, label, score))


def both_forms(text: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """A text's tokens without differences of case and width, and as they are."""
    return list(map(normal, text)), text


def _labels(tags: Sequence[str]) -> str:
    """How many labels there are, and which."""
    names = sorted({tag[2:] for tag in tags if tag[2:]})
    return f"{len(names)}: {', '.join(names[:10])}" + (", ..." if names[10:] else "")


def _in_characters(text: str, spans: Sequence[Found]) -> list[Found]:
    """Spans of words as spans of the text's characters."""
    places = in_characters([Span(*span[:3]) for span in spans], text)
    return [
        Found(start, end, span.label, span.score)
        for (start, end), span in zip(places, spans, strict=True)
    ]
