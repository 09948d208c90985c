"""The network that tags: recurrent layers read the tokens' features, a chain weighs them up.

A place has an id in each of a few columns (a character and the pair it begins; a word and its
affixes). Beside the recurrent layers the scores may also read a window of the columns directly,
as a linear chain of features does.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..data.features import COLUMNS, repeated_steps
from ..data.schemes import allowed
from ..data.text import PADDING, UNKNOWN
from .crf import Lattice, masked, previous
from .dropout import Dropout
from .layers import make_encoder
from .repeats import elsewhere, first_rows


def legal_edges(labels: Sequence[str]) -> Tensor:
    """Which tag (row) may follow which (column), with the text's ends as the last of both."""
    names = [*labels, None]
    return torch.tensor([[allowed(b, a) for b in names] for a in names], device="cpu")


def span_ends(labels: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Which BIOES tags begin a span, and which end one.

    >>> [flags.tolist() for flags in span_ends(["O", "B-a", "I-a", "E-a", "S-a"])]
    [[False, True, False, False, True], [False, False, False, True, True]]
    """
    first, last = ([tag[0] in letters for tag in labels] for letters in ("BS", "ES"))
    return torch.tensor(first), torch.tensor(last)


class WithAuxiliary(NamedTuple):
    """What is said of texts in training: the paths, and scores of each token's auxiliary tag."""

    lattice: Lattice
    auxiliary: Tensor  # (N, auxiliary labels)


class TagRNN(nn.Module):
    """Scores of all paths through packed texts: embeddings, recurrent layers, one linear layer.

    With `repeats`, each token also scores the tags of the same token elsewhere in the text, which
    gets the mean; the last column then says where a token first stands.
    With so many `auxiliary` labels, a second linear layer scores those, in training alone.
    `encoder` are the arguments of the recurrent layers, see `make_encoder`.
    The two backends have the same parameters, and draw the same random numbers to fill them.
    """

    legal: Tensor

    def __init__(
        self,
        vocabularies: Sequence[int],
        labels: Sequence[str],
        auxiliary: int = 0,
        *,
        tokens: str,
        embedding_size: int,
        token_dropout: float,
        dropout: float,
        repeats: bool = False,
        **encoder: Any,
    ) -> None:
        super().__init__()
        self.tokens, self.repeats = tokens, repeats
        self.embeddings = nn.ModuleList()
        for column, size in zip(COLUMNS[tokens], vocabularies, strict=True):
            embedding = nn.Embedding(size, column.features(embedding_size), padding_idx=PADDING)
            # As in `TextRNN`: of numbers as large as PyTorch draws them too much is learned by
            # heart.
            with torch.no_grad():
                embedding.weight.mul_(0.1)
            self.embeddings.append(embedding)
        features = sum(
            column.features(embedding_size) * len(column.steps) for column in COLUMNS[tokens]
        )
        self.rnn, self.forward_size, width = make_encoder(features, dropout=dropout, **encoder)
        self.output = nn.Linear(width, len(labels))
        self.transitions = nn.Parameter(torch.zeros(len(labels) + 1, len(labels) + 1))
        self.register_buffer("legal", legal_edges(labels), persistent=False)
        steps = repeated_steps(tokens) if repeats else ()
        self.repeated = nn.ModuleList(nn.Linear(width, len(labels), bias=False) for _ in steps)
        self.auxiliary = nn.Linear(width, auxiliary) if auxiliary else None
        self.dropout, self.token_dropout = Dropout(dropout), token_dropout

    def forward(self, texts: PackedSequence) -> Lattice | WithAuxiliary:
        """The lattice of packed ids, (N, columns); in training with auxiliary scores, if any."""
        ids, sizes, columns = texts.data, texts.batch_sizes, COLUMNS[self.tokens]
        rows = None
        if self.repeats:
            ids, rows = ids[:, :-1], first_rows(ids[:, -1], sizes)
        if self.training and self.token_dropout:
            shares = torch.tensor([column.dropped(self.token_dropout) for column in columns])
            drawn = torch.rand(ids.shape)
            if rows is not None:  # what is unknown is so in all of a text
                for number in (n for n, column in enumerate(columns) if column.repeats):
                    drawn[:, number] = drawn[rows, number]
            ids = ids.masked_fill(drawn < shares, UNKNOWN)
        ids = torch.cat([ids, ids.new_full((1, ids.shape[1]), PADDING)])  # what is outside
        where = {
            step: previous(sizes, step)
            for step in sorted({step for column in columns for step in column.steps})
        }
        embedded = [
            embedding(ids[where[step], number])
            for number, (column, embedding) in enumerate(zip(columns, self.embeddings, strict=True))
            for step in column.steps
        ]
        read, _ = self.rnn(texts._replace(data=self.dropout(torch.cat(embedded, 1))))
        features = self.dropout(read.data)
        scores = self.output(features)
        if rows is not None:
            for step, linear in zip(repeated_steps(self.tokens), self.repeated, strict=True):
                scores = scores + elsewhere(linear(features), rows, sizes, step)
        lattice = Lattice(scores, sizes, masked(self.transitions, self.legal))
        if self.auxiliary is None or not self.training:
            return lattice
        return WithAuxiliary(lattice, self.auxiliary(features))
