"""`TrainedLanguageModel`: goes on with a text, and says how surprising one is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from ..checks import Rule, check_texts, one_of, or_none, whole
from ..data.plain import BOUNDARY, PIECES, Corpus, Tokens, corpus_of
from ..data.text import RESERVED, Vocabulary
from ..errors import TaskError
from ..networks.language import LanguageRNN
from ..report.surprise import Scores, Surprise, surprises
from .base import SHARED, TrainedModel
from .chain import Chain, linear, on_kernels
from .config import read_vocabulary
from .generation import Sampler

LIKELIEST = 5  # tokens that `look` names
WEIGHTS = {"float32": None, "bfloat16": torch.bfloat16, "int8": torch.int8}
PRECISIONS = ("auto", "float32", "bfloat16")


class TrainedLanguageModel(TrainedModel):
    """What a `LanguageModel` knows and answers.

    Beside what every model has: `vocabulary_`.
    """

    FORMAT = "elman sequence language model"
    NEEDED = frozenset({"adaptive_from"})
    NETWORK = (
        *(*SHARED, "adaptive_from"),
        *("embedding_dropout", "input_dropout", "hidden_dropout"),
    )
    RULES: ClassVar[Mapping[str, Rule]] = {
        "adaptive_from": whole(least=1000),
        "window": whole(),
        "epochs": or_none(whole()),
        "precision": one_of(PRECISIONS),
    }
    MODULE = LanguageRNN

    tokens: str
    embedding_size: int
    embedding_dropout: float = 0.0
    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    weight_decay: float
    averaging: float
    adaptive_from: int
    min_count: int
    window: int
    precision: str

    vocabulary_: Vocabulary

    def generate(
        self,
        prompt: str = "",
        *,
        length: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        weights: str = "float32",
    ) -> Iterator[str]:
        """The tokens of a text that goes on from `prompt`, one after another as they are drawn.

        Args:
            prompt: what the text begins with; it isn't repeated.
            length: tokens; None for as many as come before the end of the text, which may never be.
            temperature: below 1 likely tokens become more likely, above 1 less; 0 takes always
                the likeliest.
            top_k: draw among so many likeliest tokens only.
            top_p: draw among the likeliest tokens that together have this probability only.
            seed: equal seeds, equal texts; None draws one.
            weights: what weight matrices are read as: "float32", or "bfloat16" or "int8", which
                are faster from some hundred units on and change a text in the long run.

        Raises:
            TaskError: an argument that can't be.
        """
        self._check_fitted()
        known = self.vocabulary_
        if weights not in WEIGHTS:
            raise TaskError(f"weights must be one of {', '.join(WEIGHTS)}. Got {weights!r}.")
        drawing = (temperature, top_k, top_p, seed, WEIGHTS[weights])
        sampler = Sampler(self.network, known.tokens, self.tokens, *drawing)
        return sampler.run(known.encode(PIECES[self.tokens](prompt)).tolist(), length)

    def surprise(self, text: str) -> Surprise:
        """The tokens of a text, and how surprising each is after all those before it, in bits."""
        self._check_fitted()
        corpus = corpus_of(check_texts([text]))
        found = surprises(self.network, self._encode(corpus).ids)[:-1]
        pieces = PIECES[self.tokens](text)
        return Surprise([*pieces], found, len(text))

    def scores(self, X: Iterable[str] | Corpus) -> Scores:
        """How well texts are foretold: bits a character and a token, perplexity, unknown tokens."""
        self._check_fitted()
        corpus = as_corpus(X)
        ids = self._encode(corpus).ids
        return Scores.of(surprises(self.network, ids), ids, corpus.characters, self.tokens)

    def bits(self, X: Iterable[str] | Corpus) -> float:
        """The bits that a character of texts takes, on average; the ends of texts count."""
        return self.scores(X).bits_per_character

    def perplexity(self, X: Iterable[str] | Corpus) -> float:
        """Of a token: among how many equally likely ones it would be as surprising."""
        return self.scores(X).perplexity

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[str, float]]]:
        """The tokens of a text, and which are likeliest to be next."""
        network = self.network
        ids = self._ids(text)
        with torch.inference_mode():
            features, _ = network(torch.from_numpy(ids.astype(np.int64))[:, None], network.begin())
            chances = network.log_chances(features[-1, 0]).exp()
        best = chances.topk(min(LIKELIEST, len(chances)))
        found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        tokens = ["", *PIECES[self.tokens](text)]
        return tokens, [(self.name(number), chance) for number, chance in found]

    def name(self, number: int) -> str:
        """An id as it can be shown."""
        if number < RESERVED:
            return "(the end)" if number == BOUNDARY else "(unknown)"
        return repr(self.vocabulary_.tokens[number - RESERVED])

    def about(self) -> dict[str, str]:
        return {"reads": f"{self.tokens}, and knows {len(self.vocabulary_.tokens):,}"}

    def chain(self) -> Chain:
        network = self.network
        if network.adaptive is not None:
            raise TaskError(
                f"A model of {len(self.vocabulary_):,} tokens has an adaptive softmax, which can't "
                "be exported; train with a higher --adaptive-from, or a higher --min-count."
            )
        inner, outer = network.projection, network.embedding.weight
        between = [inner]
        if isinstance(inner, nn.Linear) and len(outer) <= len(inner.weight):
            # Few tokens: one matrix is less than both.
            outer, between = (outer.double() @ inner.weight.double()).to(outer.dtype), []
        head = linear(outer, network.bias)
        modules = [network.embedding, *on_kernels(network.rnn), *between, head]
        known = self.tokens, self.vocabulary_.tokens
        return Chain(modules, "scores of the next token", *known, ids=self._ids)

    def _ids(self, text: str) -> np.ndarray:
        """What the network reads to foretell each token of a text, and its end."""
        return self._encode(corpus_of([text])).ids[:-1]

    def _encode(self, corpus: Corpus) -> Tokens:
        return Tokens(corpus, self.vocabulary_, self.tokens)

    def _learned(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary_.tokens}

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        self.vocabulary_ = read_vocabulary(field("vocabulary", list), self.tokens)

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        return {"vocabulary": RESERVED + 1 if smallest else len(self.vocabulary_)}

    def _check_parameters(self) -> None:
        further = self.recurrent if isinstance(self.recurrent, Mapping) else {}
        if given := sorted({"residual", "merge"} & set(further)):
            raise TaskError(
                f"recurrent has {', '.join(given)}, which a language model's layers can't have; "
                "leave it out."
            )
        super()._check_parameters()


def as_corpus(X: Iterable[str] | Corpus, name: str = "X") -> Corpus:
    """Texts as a corpus."""
    return X if isinstance(X, Corpus) else corpus_of(check_texts(X, name))
