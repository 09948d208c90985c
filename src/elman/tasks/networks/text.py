"""The network of texts: tokens are embedded, read by recurrent layers, pooled and weighed up."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..data.text import PADDING, UNKNOWN
from .dropout import Dropout
from .layers import make_encoder
from .pooling import POOLINGS


class TextRNN(nn.Module):
    """Classifies packed texts: embedding, recurrent layers, pooling over time, one linear layer.

    `encoder` are the arguments of the recurrent layers, see `make_encoder`.
    The two backends have the same parameters, and draw the same random numbers to fill them.
    """

    def __init__(
        self,
        vocabulary: int,
        labels: int,
        *,
        embedding_size: int,
        pooling: str,
        token_dropout: float,
        dropout: float,
        ngrams: int = 0,
        **encoder: Any,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding_size, padding_idx=PADDING)
        # PyTorch draws embeddings from N(0, 1). So much noise is learned by heart: with a tenth
        # of it, held-out accuracy on the demo's reviews rises by more than a point.
        with torch.no_grad():
            self.embedding.weight.mul_(0.1)
        self.rnn, self.forward_size, width = make_encoder(
            embedding_size, dropout=dropout, **encoder
        )
        self.pooling = pooling
        self.output = nn.Linear(POOLINGS[pooling].features * width, labels)
        if ngrams:  # at first they alone answer; the network learns what to add
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)
        self.dropout, self.token_dropout = Dropout(dropout), token_dropout

    def forward(self, texts: PackedSequence, known: Tensor | None = None) -> Tensor:
        """Scores (B, labels) of packed ids, in the order that the texts had before packing.

        `known` (B, labels) are what n-grams say, which is added.
        """
        ids = texts.data
        if self.training and self.token_dropout:
            ids = ids.masked_fill(torch.rand(ids.shape) < self.token_dropout, UNKNOWN)
        embedded = self.dropout(self.embedding(ids))
        read, _ = self.rnn(texts._replace(data=embedded))
        pool = POOLINGS[self.pooling].pool
        pooled = pool(read.data, texts.batch_sizes, self.forward_size)
        if texts.unsorted_indices is not None:
            pooled = pooled[texts.unsorted_indices]
        scores: Tensor = self.output(self.dropout(pooled))
        return scores if known is None else scores + known
