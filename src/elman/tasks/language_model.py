"""`LanguageModel`: what comes next in a text, with scikit-learn's conventions, over skorch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from elman.compiler.isa import available

from .data.plain import Corpus
from .data.text import Vocabulary, check_known
from .estimator import SequenceEstimator
from .models.language import TrainedLanguageModel, as_corpus
from .networks.layers import Backend, CellLike
from .training.averaging import averaged
from .training.languagenet import LanguageNet

READ = 25_000_000  # tokens that a training reads, about, if `epochs` is None
MOST_EPOCHS = 12  # with more, 370,000 characters of English are learned by heart
STEPS = 150  # that an epoch has at least, if there is as much text
FEWEST = 4  # streams that there are all the same


class LanguageModel(SequenceEstimator, TrainedLanguageModel):
    """A recurrent network that reads texts token by token, and says which will be next.

    Args:
        cell, recurrent, patience, random_state, backend, verbose, warm_start: as of
            `SequenceClassifier`; `recurrent` are further arguments of each layer.
        tokens: what is read one after another: "characters", "bytes" in UTF-8, or "words" (with
            the space before them). Nothing is changed in a text.
        embedding_size: features of a token, on the way in and on the way out.
        hidden_size: units of each recurrent layer; or a list, one for each layer.
        num_layers: recurrent layers on top of one another.
        embedding_dropout: share of the tokens without features for a whole step of training.
        input_dropout, hidden_dropout, dropout: share of the features set to zero in training, for
            a whole window: on the way into the first layer, between layers, after the last.
        weight_decay: how far weights fall towards zero, as of `torch.optim.AdamW`.
        averaging: share that a mean of all weights so far keeps at each step; that mean is the
            model. 0: the last weights are.
        adaptive_from: for a vocabulary of this size or more the last layer is an adaptive softmax.
        min_count: a token that occurs less often in training shares the id "unknown".
        window: tokens that are read, on average, before a step of training goes back through them.
        batch_size: places in the text at which training reads at once, at most: where an epoch
            would have less than 150 steps, fewer.
        epochs: passes over the text; None for as many as read 25 million tokens, 12 at most.
        lr: the highest learning rate. It is reached after a tenth of all steps, and then falls to
            nothing along a cosine; `patience` as of `SequenceClassifier`.
        precision: numbers that products in training are of: "float32", "bfloat16", or "auto" for
            the latter where the processor multiplies such. All else is float32, and so are answers.

    After `fit`: `vocabulary_`, `seed_`, `training_`, and `net_`, the `skorch.NeuralNet` with its
    `history`.

    The guide is docs/guides/generate.md.

    >>> small = {"embedding_size": 16, "hidden_size": 16, "num_layers": 1, "lr": 0.02}
    >>> model = LanguageModel(**small, dropout=0.0, input_dropout=0.0, epochs=40)
    >>> model.fit(["the cat sat on the mat. " * 40]).bits(["the cat sat on "]) < 2
    True
    >>> "".join(model.generate("the c", length=2, temperature=0.1))
    'at'
    """

    NET = LanguageNet

    def __init__(
        self,
        *,
        cell: CellLike = "lstm",
        tokens: str = "characters",
        embedding_size: int = 256,
        hidden_size: int | Sequence[int] = 400,
        num_layers: int = 2,
        recurrent: Mapping[str, Any] | None = None,
        embedding_dropout: float = 0.1,
        input_dropout: float = 0.2,
        hidden_dropout: float = 0.2,
        dropout: float = 0.3,
        weight_decay: float = 0.01,
        averaging: float = 0.998,
        adaptive_from: int = 20_000,
        min_count: int = 2,
        window: int = 64,
        batch_size: int = 16,
        epochs: int | None = None,
        lr: float = 4e-3,
        patience: int | None = None,
        precision: str = "auto",
        random_state: Any = 0,
        backend: Backend = "elman",
        verbose: int = 1,
        warm_start: bool = False,
    ) -> None:
        self._keep(locals())

    def fit(
        self,
        X: Iterable[str] | Corpus,
        y: Any = None,
        *,
        valid: Iterable[str] | Corpus | None = None,
        callbacks: Iterable[tuple[str, Callback]] = (),
        folder: str | Path | None = None,
        resume: bool = False,
        checkpoint_seconds: float = 30.0,
    ) -> LanguageModel:
        """Train on the texts `X`, a list of strings or what `read_corpus` has read.

        `y` is there for scikit-learn's sake. The rest is as of the classifier.
        """
        self._may_begin(valid, folder, resume)
        corpus = as_corpus(X)
        if not self._goes_on():
            tokens = chain.from_iterable(corpus.tokens(self.tokens))
            self.vocabulary_ = Vocabulary.build(tokens, self.min_count)
            check_known(self.tokens, self.min_count, self.vocabulary_)
        self._draw_seed()
        train, data = self._encode(corpus), {"train": corpus.fingerprint()}
        counts = train.counts(len(self.vocabulary_))
        held_out = None
        if valid is not None:
            others = as_corpus(valid, "valid")
            held_out, data["valid"] = self._encode(others), others.fingerprint()
        self._train(train, data, held_out, callbacks, folder, checkpoint_seconds, counts)
        return self

    # -- use

    def score(self, X: Iterable[str] | Corpus, y: Any = None) -> float:
        """Minus the bits that a character takes: the higher, the better."""
        return -self.bits(X)

    # -- what the estimator asks for

    def _texts_a_step(self, texts: int) -> int:
        enough = texts // (STEPS * self.window)
        return max(1, min(self.batch_size, max(FEWEST, enough)))

    def _passes(self, texts: int) -> int:
        if self.epochs is not None:
            return self.epochs
        return max(1, min(MOST_EPOCHS, round(READ / texts)))

    def _net_options(self, counts: np.ndarray | None = None) -> dict[str, Any]:
        narrow = self.precision == "bfloat16"
        if self.precision == "auto":
            narrow = any(row.bf16_pairs for row in available()[:1])
        return {
            "criterion": torch.nn.Identity,  # the network has the loss
            "module__counts": counts,
            "tokens": self.tokens,
            **averaged(self.averaging, self.weight_decay),
            "narrow": narrow,
            "optimizer__betas": (0.9, 0.99),
            "iterator_train__window": self.window,
            "iterator_valid__window": 2 * self.window,
        }
