"""`LanguageModel`: what comes next in a text, with scikit-learn's conventions, over skorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from elman.compiler.isa import available

from .checks import NOT_NEGATIVE, SHARE, Rule, check_texts, one_of, or_none, whole
from .data.plain import BOUNDARY, PIECES, Corpus, Tokens, corpus_of
from .data.text import RESERVED, Vocabulary, check_known
from .errors import TaskError
from .estimator import SHARED, SequenceEstimator
from .generation import Sampler
from .language import LanguageRNN
from .model import Backend, CellLike
from .report.surprise import Scores, Surprise, surprises
from .saved import read_vocabulary
from .training.checkpoint import check_folder
from .training.languagenet import LanguageNet

READ = 25_000_000  # tokens that a training reads, about, if `epochs` is None
MOST_EPOCHS = 12  # with more, 370,000 characters of English are learned by heart
STEPS = 150  # that an epoch has at least, if there is as much text
FEWEST = 4  # streams that there are all the same
LIKELIEST = 5  # tokens that `look` names
PRECISIONS = ("auto", "float32", "bfloat16")


class LanguageModel(SequenceEstimator):
    """A recurrent network that reads texts token by token, and says which will be next.

    Args:
        cell, recurrent, patience, random_state, backend, verbose: as of `SequenceClassifier`;
            `recurrent` are further arguments of each layer.
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
        adaptive_from: size of the vocabulary from which on the last layer is an adaptive softmax.
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

    >>> small = {"embedding_size": 16, "hidden_size": 16, "num_layers": 1, "lr": 0.02}
    >>> model = LanguageModel(**small, dropout=0.0, input_dropout=0.0, epochs=40)
    >>> model.fit(["the cat sat on the mat. " * 40]).bits(["the cat sat on "]) < 2
    True
    >>> "".join(model.generate("the c", length=2, temperature=0.1))
    'at'
    """

    FORMAT, VERSION = "elman sequence language model", 1
    NEEDED = frozenset({"adaptive_from"})
    NETWORK = (
        *(*SHARED, "adaptive_from"),
        *("embedding_dropout", "input_dropout", "hidden_dropout"),
    )
    RULES: ClassVar[Mapping[str, Rule]] = {
        **dict.fromkeys(
            ("embedding_dropout", "input_dropout", "hidden_dropout", "averaging"), SHARE
        ),
        "weight_decay": NOT_NEGATIVE,
        "adaptive_from": whole(least=1000),
        "window": whole(),
        "epochs": or_none(whole()),
        "precision": one_of(PRECISIONS),
    }
    NET, MODULE = LanguageNet, LanguageRNN

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
    ) -> None:
        self.cell = cell
        self.tokens = tokens
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.recurrent = recurrent
        self.embedding_dropout = embedding_dropout
        self.input_dropout = input_dropout
        self.hidden_dropout = hidden_dropout
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.averaging = averaging
        self.adaptive_from = adaptive_from
        self.min_count = min_count
        self.window = window
        self.batch_size = batch_size
        self.epochs = epochs
        self.lr = lr
        self.patience = patience
        self.precision = precision
        self.random_state = random_state
        self.backend = backend
        self.verbose = verbose

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
        self._check_parameters()
        if self.patience is not None and valid is None:
            raise TaskError("patience needs held-out texts to be measured on; give fit valid=.")
        check_folder(folder, resume)
        corpus = _as_corpus(X)
        tokens = chain.from_iterable(corpus.tokens(self.tokens))
        self.vocabulary_ = Vocabulary.build(tokens, self.min_count)
        check_known(self.tokens, self.min_count, self.vocabulary_)
        self._draw_seed()
        train, data = self._encode(corpus), {"train": corpus.fingerprint()}
        counts = train.counts(len(self.vocabulary_))
        held_out = None
        if valid is not None:
            others = _as_corpus(valid, "valid")
            held_out, data["valid"] = self._encode(others), others.fingerprint()
        self._train(train, data, held_out, callbacks, folder, checkpoint_seconds, counts)
        return self

    # -- use

    def generate(
        self,
        prompt: str = "",
        *,
        length: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
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

        Raises:
            TaskError: an argument that can't be.
        """
        check_is_fitted(self, "net_")
        sampler = Sampler(self, temperature, top_k, top_p, seed)
        return sampler.run(prompt, length)

    def surprise(self, text: str) -> Surprise:
        """The tokens of a text, and how surprising each is after all those before it, in bits."""
        check_is_fitted(self, "net_")
        corpus = corpus_of(check_texts([text]))
        found = surprises(self.net_.module_, self._encode(corpus).ids)[:-1]
        pieces = PIECES[self.tokens](text)
        return Surprise([*pieces], found, len(text))

    def scores(self, X: Iterable[str] | Corpus) -> Scores:
        """How well texts are foretold: bits a character and a token, perplexity, unknown tokens."""
        check_is_fitted(self, "net_")
        corpus = _as_corpus(X)
        ids = self._encode(corpus).ids
        return Scores.of(surprises(self.net_.module_, ids), ids, corpus.characters, self.tokens)

    def bits(self, X: Iterable[str] | Corpus) -> float:
        """The bits that a character of texts takes, on average; the ends of texts count."""
        return self.scores(X).bits_per_character

    def perplexity(self, X: Iterable[str] | Corpus) -> float:
        """Of a token: among how many equally likely ones it would be as surprising."""
        return self.scores(X).perplexity

    def score(self, X: Iterable[str] | Corpus, y: Any = None) -> float:
        """Minus the bits that a character takes: the higher, the better."""
        return -self.bits(X)

    def __sklearn_tags__(self) -> Any:
        """Texts, not a matrix of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    # -- what the estimator asks for

    def look(self, text: str) -> tuple[Sequence[Any], list[tuple[str, float]]]:
        """The tokens of a text, and which are likeliest to be next."""
        network = self.net_.module_.eval()
        ids = self._encode(corpus_of([text])).ids[:-1]
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
        """What there is to say of the model, by name."""
        return {"reads": f"{self.tokens}, and knows {len(self.vocabulary_.tokens):,}"}

    def _encode(self, corpus: Corpus) -> Tokens:
        return Tokens(corpus, self.vocabulary_, self.tokens)

    def _learned(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary_.tokens}

    def _recall(self, field: Callable[[str, type[Any]], Any]) -> None:
        self.vocabulary_ = read_vocabulary(field("vocabulary", list), self.tokens)

    def _sizes(self, smallest: bool = False) -> dict[str, Any]:
        return {"vocabulary": RESERVED + 1 if smallest else len(self.vocabulary_)}

    def _texts_a_step(self, texts: int) -> int:
        enough = texts // (STEPS * self.window)
        return max(1, min(self.batch_size, max(FEWEST, enough)))

    def _passes(self, texts: int) -> int:
        if self.epochs is not None:
            return self.epochs
        return max(1, min(MOST_EPOCHS, round(READ / texts)))

    def _check_parameters(self) -> None:
        further = self.recurrent if isinstance(self.recurrent, Mapping) else {}
        if given := sorted({"residual", "merge"} & set(further)):
            raise TaskError(
                f"recurrent has {', '.join(given)}, which a language model's layers can't have; "
                "leave it out."
            )
        super()._check_parameters()

    def _net_options(self, counts: np.ndarray | None = None) -> dict[str, Any]:
        narrow = self.precision == "bfloat16"
        if self.precision == "auto":
            narrow = any(row.couples for row in available()[:1])
        return {
            "criterion": torch.nn.Identity,  # the network has the loss
            "module__counts": counts,
            "tokens": self.tokens,
            "averaging": float(self.averaging),
            "narrow": narrow,
            "optimizer": torch.optim.AdamW,
            "optimizer__weight_decay": float(self.weight_decay),
            "optimizer__betas": (0.9, 0.99),
            "iterator_train__window": self.window,
            "iterator_valid__window": 2 * self.window,
        }


def _as_corpus(X: Iterable[str] | Corpus, name: str = "X") -> Corpus:
    return X if isinstance(X, Corpus) else corpus_of(check_texts(X, name))
