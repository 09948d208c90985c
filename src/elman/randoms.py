"""Random values of a step: how a formula reads them, and how torch's generator draws them.

In a graph they are leaves ``random``, which a call gives at every step as it gives further inputs.
They are there in training only: for evaluation a formula is traced without them.

A mask of every step is drawn as 16 random bits a number, four of them at a time, which takes a
third of the time of ``torch.bernoulli``. Its probability is therefore rounded to a multiple of
``2**-16``; one that scales is scaled by what that was rounded to, so that its mean is one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import hardtanh_

from .errors import FormulaError
from .expr import Node, check_kind, constant, node
from .spaces import HIDDEN, ONE, Space

_BITS, _LEAST = 1 << 16, -(1 << 63)
KEEP, OLD, NORMAL = "keep", "old", "normal"


class Draw(NamedTuple):
    """How a random value is drawn.

    ``kind`` is ``KEEP``, a mask of zeros with probability ``amount``, else of ``1 / (1 - amount)``;
    ``OLD``, ones with this probability, else zeros; or ``NORMAL``, of this standard deviation. It
    is drawn anew for each ``"step"``, or once for a ``"sequence"``. Probabilities are above 0.
    """

    kind: str
    amount: float
    per: str = "step"

    def numbers(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """So many numbers of the dtype and device of a tensor."""
        p, dtype, device = self.amount, like.dtype, like.device
        if self.kind == NORMAL:
            return torch.randn(shape, dtype=dtype, device=device).mul_(p)
        if self.kind == KEEP and self.per == "sequence":
            return torch.dropout(torch.ones(shape, dtype=dtype, device=device), p, True)
        if torch._C._get_tracing_state() is not None:  # which cannot see numbers as their bits
            likely = torch.full(shape, p if self.kind == OLD else 1 - p, dtype=dtype, device=device)
            drawn = torch.bernoulli(likely)
            return drawn if self.kind == OLD or p == 1 else drawn / (1 - p)
        *lead, units = shape
        size = (*lead, (units + 3) // 4)
        bits = torch.randint(_LEAST, -_LEAST - 1, size, device=device).view(torch.int16)
        bits = bits[..., :units] if units % 4 else bits
        rare = _BITS if p == 1 else min(max(round(p * _BITS), 1), _BITS - 1)
        ones = rare if self.kind == OLD else _BITS - rare
        # Whole numbers, exact in these dtypes: comparisons would take six times as long.
        exact = bits.to(torch.float64 if dtype is torch.float64 else torch.float32)
        drawn = hardtanh_(exact.sub_(_BITS // 2 - 1 - ones), 0, 1)
        drawn = drawn if self.kind == OLD else drawn.mul_(_BITS / max(ones, 1))
        return drawn if dtype is drawn.dtype else drawn.to(dtype)


@dataclass
class Tracing:
    """What a formula says of random values while it is traced. Its graph has them only where it is
    traced for ``training``, and masks of candidates only where these are asked for."""

    training: bool = False
    candidates: bool = False
    marked: int = 0  # candidates so far
    draws: dict[str, Draw] = field(default_factory=dict)


_tracing: ContextVar[Tracing | None] = ContextVar("elman_tracing", default=None)
#: How the names of random values begin, but for those that modules add.
DRAWN, CANDIDATE = "drawn_", "candidate_"


@contextlib.contextmanager
def tracing(given: Tracing) -> Iterator[None]:
    """Within the context, formulas are traced as it says."""
    token = _tracing.set(given)
    try:
        yield
    finally:
        _tracing.reset(token)


def _random(draw: Draw, space: Space) -> Node | None:
    """A random value; None in evaluation, and where it would be none: it is noted all the same."""
    now = _tracing.get()
    if now is None:
        return None
    name = f"{DRAWN}{len(now.draws)}"
    now.draws[name] = draw
    return node("random", attr=name, space=space) if now.training and draw.amount else None


class RandomValues:
    """What the formula of a cell may read that is random."""

    def dropout(self, value: Node, p: float, per: str = "sequence") -> Node:
        """In training a value with units set to zero with probability ``p``, the others divided by
        ``1 - p``; in evaluation the value. The mask is drawn once for a ``"sequence"``, or at
        each ``"step"``; every row, layer and direction has its own."""
        if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
            raise FormulaError(f"dropout() takes a probability between 0 and 1, got {p!r}")
        if per not in ("sequence", "step"):
            raise FormulaError(f"dropout() takes per='sequence' or per='step', got {per!r}")
        if not isinstance(value, Node) or value.space is ONE:
            raise FormulaError(f"dropout(value, p) takes a value with units, got {value!r}")
        check_kind("dropout", 0, value)
        mask = _random(Draw(KEEP, float(p), per), value.space)
        return value if mask is None else value * mask

    def noise(self, std: float) -> Node:
        """In training normal random numbers of this standard deviation, drawn at every step, one a
        hidden unit; in evaluation zero."""
        if isinstance(std, bool) or not isinstance(std, (int, float)) or not 0 <= std < math.inf:
            raise FormulaError(f"noise() takes a standard deviation of at least 0, got {std!r}")
        drawn = _random(Draw(NORMAL, float(std)), HIDDEN)
        return constant(0.0) if drawn is None else drawn

    def candidate(self, value: Node) -> Node:
        """The value itself, of which a formula says that it is what a gated state takes in: where
        the option ``recurrent_dropout`` of :class:`elman.Recurrent` acts."""
        now = _tracing.get()
        if now is None or not now.candidates:
            return value
        now.marked += 1
        return value * node("random", attr=f"{CANDIDATE}{now.marked}", space=value.space)
