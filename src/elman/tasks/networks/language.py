"""The network of a language model: it reads a token, and says which will be next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from .layers import Backend, CellLike, make_layers
from .softmax import cross_entropy

States = tuple[Any, ...]  # of each layer
DIVISION = 4  # by which adaptive softmax has fewer features for each rarer group of tokens


class Stack(nn.ModuleList):
    """Recurrent layers on top of one another, with dropout between them."""

    def forward(self, x: Tensor, states: States, dropout: float) -> tuple[Tensor, States]:
        """Outputs (T, B, H) of inputs (T, B, I), and the layers' states after them."""
        after = []
        for number, (layer, before) in enumerate(zip(self, states, strict=True)):
            x, state = layer(locked(x, dropout) if number else x, before)
            after.append(state)
        return x, tuple(after)


def locked(x: Tensor, share: float) -> Tensor:
    """Sets a share of the features of each stream to zero, the same ones at all its steps.

    >>> _ = torch.manual_seed(0)
    >>> locked(torch.ones(2, 1, 5), 0.5)[:, 0].tolist()
    [[0.0, 2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0, 0.0]]
    """
    if not share:
        return x
    return x * (torch.rand(1, *x.shape[1:]) >= share).to(x.dtype) * (1 / (1 - share))


class LanguageRNN(nn.Module):
    """Embedding, recurrent layers, and a last layer whose weights are the embedding's.

    The last recurrent layer's output gets as many features as a token has, by a linear layer
    unless it has so many. A vocabulary of `adaptive_from` ids or more has an adaptive softmax
    instead, which has weights of its own. `counts` says how often each id occurs in training: a
    network that begins with these frequencies need not learn them step by step.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        cell: CellLike,
        embedding_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int,
        recurrent: Mapping[str, Any] | None,
        embedding_dropout: float,
        input_dropout: float,
        hidden_dropout: float,
        dropout: float,
        adaptive_from: int,
        backend: Backend,
        counts: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding_size)
        with torch.no_grad():
            self.embedding.weight.mul_(0.1)  # as in `TextRNN`
        sizes = np.atleast_1d(hidden_size).tolist()  # NumPy's whole numbers as Python's
        sizes = sizes * num_layers if len(sizes) == 1 else sizes
        options = dict(recurrent or {})
        widths = [int(embedding_size), *(options.get("proj_size") or size for size in sizes)]
        self.rnn = Stack(
            make_layers(cell, backend, width, size, **options)
            for width, size in zip(widths, sizes, strict=False)
        )
        self.forward_size = widths[-1]
        self.projection: nn.Module = nn.Identity()
        if self.forward_size != embedding_size:
            self.projection = nn.Linear(self.forward_size, embedding_size, bias=False)
        self.adaptive: nn.AdaptiveLogSoftmaxWithLoss | None = None
        if vocabulary >= adaptive_from:
            cutoffs = [vocabulary // 16, vocabulary // 4]
            division = min(DIVISION, math.isqrt(embedding_size))  # a feature is left at least
            self.adaptive = nn.AdaptiveLogSoftmaxWithLoss(
                embedding_size, vocabulary, cutoffs, division, head_bias=True
            )
        else:
            self.bias = nn.Parameter(torch.zeros(vocabulary))
            if counts is not None:
                with torch.no_grad():
                    self.bias.copy_(torch.from_numpy(np.log((counts + 1.0) / counts.sum())))
        self.embedding_dropout, self.input_dropout = embedding_dropout, input_dropout
        self.hidden_dropout, self.dropout = hidden_dropout, dropout

    def begin(self) -> States:
        """The states before a text."""
        return (None,) * len(self.rnn)

    def forward(self, tokens: Tensor, states: States) -> tuple[Tensor, States]:
        """Features (T, B, E) that say what comes after tokens (T, B), and the states then."""
        on = float(self.training)
        weight = self.embedding.weight
        if on and self.embedding_dropout:
            kept = torch.rand(len(weight), 1) >= self.embedding_dropout
            weight = weight * kept * (1 / (1 - self.embedding_dropout))
        x = locked(F.embedding(tokens, weight), on * self.input_dropout)
        x, states = self.rnn(x, states, on * self.hidden_dropout)
        return locked(self.projection(x), on * self.dropout), states

    def loss(self, features: Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
        """Minus the logarithm of the targets' probabilities, added up over all places.

        Features are (T, B, E), targets (T, B); negative ones don't count.
        """
        x, right = features.flatten(0, -2), targets.flatten()
        if self.adaptive is None:
            return cross_entropy(x, self.embedding.weight, self.bias, right, dtype)
        there = right >= 0
        return -self.adaptive(x[there].float(), right[there]).output.sum()

    def log_chances(self, features: Tensor) -> Tensor:
        """The logarithm of each token's probability, (..., V), of features (..., E)."""
        if self.adaptive is None:
            return F.linear(features, self.embedding.weight, self.bias).log_softmax(-1)
        found: Tensor = self.adaptive.log_prob(features.flatten(0, -2))
        return found.view(*features.shape[:-1], -1)


def detached(states: States) -> States:
    """The same numbers, without what they came from."""
    found: States = tree_map(lambda t: t.detach() if isinstance(t, Tensor) else t, states)
    return found
