"""Texts that a language model makes up, token by token, through `elman.Stream`."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import elman

from ..data.plain import BOUNDARY
from ..data.text import RESERVED, UNKNOWN
from ..errors import BEYOND, TaskError
from ..networks.language import LanguageRNN
from .chain import linear, on_kernels

DRAWN = 1024  # random numbers that are drawn at once


class Sampler:
    """Draws tokens, each from the probabilities after all those before it.

    All memory is there before the first token: a token takes one native call from its number to the
    scores of the next, and a few calls of PyTorch and NumPy.
    """

    def __init__(
        self,
        network: LanguageRNN,
        tokens: Sequence[Any],
        kind: str,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        seed: int | None,
        weight_dtype: torch.dtype | None = None,
    ) -> None:
        _check("temperature", temperature, 0, math.inf)
        _check("top_p", top_p, 0, 1)
        if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
            raise TaskError(f"top_k must be None or a positive whole number. Got {top_k!r}.")
        self.tokens, self.kind, self.temperature, self.seed = tokens, kind, temperature, seed
        self._network: Any = network
        vocabulary = RESERVED + len(tokens)
        self.top_k = None if top_k is None or top_k >= vocabulary else top_k
        self.top_p = None if top_p in (None, 1) else top_p
        modules = [network.embedding, *on_kernels(network.rnn), *self._head()]
        self._stream: Any = elman.Stream(nn.Sequential(*modules), weight_dtype=weight_dtype)

    def run(self, ids: Iterable[int], length: int | None) -> Iterator[str]:
        """The tokens after those of a prompt, as text."""
        if length is not None and (not isinstance(length, int) or length < 0):
            raise TaskError(f"length must be None or a whole number from 0 on. Got {length!r}.")
        return self._texts([BOUNDARY, *ids], length)

    def _texts(self, ids: list[int], length: int | None) -> Iterator[str]:
        tokens = self.tokens
        if self.kind != "bytes":
            for number in self._numbers(ids, length):
                yield tokens[number - RESERVED]
            return
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for number in self._numbers(ids, length):
            if text := decoder.decode(bytes([tokens[number - RESERVED]])):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    def _numbers(self, ids: list[int], length: int | None) -> Iterator[int]:
        """Ids that go on from those given, up to the end of the text."""
        step, made = self._step(), 0
        if len(ids) > 1:
            self._stream.chunk(torch.tensor(ids[:-1]))
        scores = step(ids[-1])
        draw = self._draw(scores)
        while made != length:
            number = draw()
            if number == BOUNDARY:
                return
            yield number
            made += 1
            step(number)

    def _heat(self) -> float:
        """What scores are multiplied by."""
        return 1 / self.temperature if self.temperature else 1.0

    def _head(self) -> list[nn.Module]:
        """What makes the scores of all tokens of the layers' output; nothing if adaptive softmax
        does."""
        network, heat = self._network, self._heat()
        if network.adaptive is not None:
            return []
        weight, bias = network.embedding.weight.detach() * heat, network.bias.detach() * heat
        bias = bias.clone()
        bias[UNKNOWN] = -math.inf  # it has no text
        inner = network.projection
        if isinstance(inner, nn.Linear) and len(weight) <= len(inner.weight):
            return [linear(weight @ inner.weight.detach(), bias)]  # few tokens: both at once
        return [inner, linear(weight, bias)]

    def _step(self) -> Callable[[int], Tensor]:
        """What makes the scores of all tokens after a token, always in the same memory."""
        network, heat, stream = self._network, self._heat(), self._stream
        if network.adaptive is None:
            step: Callable[[int], Tensor] = stream.step
            return step
        scores = torch.empty(RESERVED + len(self.tokens))

        @torch.no_grad()
        def adaptive(token: int) -> Tensor:
            chances = network.log_chances(network.projection(stream.step(token)[None]))
            torch.mul(chances[0], heat, out=scores)
            scores[UNKNOWN] = -math.inf
            return scores

        return adaptive

    def _draw(self, scores: Tensor) -> Callable[[], int]:
        """What draws a token by the scores, which it overwrites."""
        chances = scores.numpy()
        if not self.temperature:
            return lambda: _finite(int(chances.argmax()), chances)
        top_k, top_p = self.top_k, self.top_p
        generator = np.random.default_rng(self.seed)
        left: list[float] = []
        summed = torch.empty_like(scores)
        sums = summed.numpy()

        def draw() -> int:
            if not left:
                left.extend(generator.random(DRAWN).tolist())
            if top_k is not None:
                least = np.partition(chances, -top_k)[-top_k]
                chances[chances < least] = -np.inf
            torch.softmax(scores, 0, out=scores)
            if top_p is not None:
                _keep(chances, top_p)
            torch.cumsum(scores, 0, out=summed)
            total = sums[-1]
            where = int(sums.searchsorted(left.pop() * total, "right"))
            if where < len(sums) and total == total:  # false for NaN
                return where
            return _finite(int(chances.argmax()), chances)

        return draw


def _finite(number: int, chances: np.ndarray) -> int:
    """A token's number, if there are probabilities at all."""
    if np.isnan(chances[number]):
        raise TaskError(BEYOND)
    return number


def _keep(chances: np.ndarray, top_p: float) -> None:
    """Sets all but the likeliest to zero, of which as many stay as have `top_p` together.

    >>> chances = np.array([0.1, 0.5, 0.3, 0.1])
    >>> _keep(chances, 0.7)
    >>> chances.tolist()
    [0.0, 0.5, 0.3, 0.0]
    """
    order = np.argsort(-chances)
    enough = int(np.cumsum(chances[order]).searchsorted(top_p)) + 1
    chances[order[enough:]] = 0


def _check(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not (isinstance(value, (int, float)) and least <= value <= most):
        raise TaskError(f"{name} must lie between {least:g} and {most:g}. Got {value!r}.")
