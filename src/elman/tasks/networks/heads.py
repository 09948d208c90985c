"""What a forecaster says of each later step: quantiles, or a distribution.

A head gives the network's numbers a meaning, and compares that with what came. Both are relative to
a window: `base` is the value to begin with, `spread` how much the series changes. So series of any
scale are learned together, as DeepAR does.

D. Salinas et al., *DeepAR: Probabilistic forecasting with autoregressive recurrent networks* (2020)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, NegativeBinomial, Normal, StudentT
from torch.nn.functional import softplus

from ..errors import TaskError

DistributionName = Literal["normal", "student-t", "negative-binomial"]

FLOOR = 1e-3  # of a deviation, in spreads: a series that repeats itself has a finite likelihood
SURE = 1e8  # of a negative binomial's `total_count`, at most: beyond it is a Poisson distribution
UNIT = 0.5413  # softplus makes 1 of it


class Head(ABC):
    """What is told of steps, by numbers (..., P), `base` (...) and `spread`, which broadcasts."""

    measure: ClassVar[str]  # what the loss is called
    begin: Sequence[float]  # the numbers (P,) before anything is learned: the naive forecast

    @abstractmethod
    def loss(self, found: Tensor, truth: Tensor, base: Tensor, spread: Tensor) -> Tensor:
        """How far off numbers (N, P) are, (N,); all others are (N,)."""

    @abstractmethod
    def quantiles(
        self, found: Tensor, base: Tensor, spread: Tensor, levels: Sequence[float]
    ) -> Tensor:
        """The quantiles (..., Q), float64, in units of the series."""


class Quantiles(Head):
    """A number for each quantile, compared by the pinball loss."""

    measure = "pinball loss"

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = [float(level) for level in levels]
        self.begin = [2 * level - 1 for level in self.levels]

    def loss(self, found: Tensor, truth: Tensor, base: Tensor, spread: Tensor) -> Tensor:
        """The pinball loss, on average over the quantiles, in spreads."""
        scaled = ((truth - base) / spread).float()
        return pinball(found.sort(-1).values, scaled, torch.tensor(self.levels))

    def quantiles(
        self, found: Tensor, base: Tensor, spread: Tensor, levels: Sequence[float]
    ) -> Tensor:
        """Those of `levels`, which must have been learned."""
        if unknown := [level for level in levels if level not in self.levels]:
            raise TaskError(
                f"quantiles must be among those that were learned, {_listed(self.levels)}. Got "
                f"{_listed(unknown)}; train with them, or with a distribution, which has all."
            )
        told = base[..., None] + found.sort(-1).values.double() * spread[..., None]
        return told[..., [self.levels.index(level) for level in levels]]


class Family(NamedTuple):
    """A kind of distribution."""

    #: By a middle, a deviation, and the network's further numbers.
    make: Callable[[Tensor, Tensor, Sequence[Tensor]], Distribution]
    #: Quantiles (..., Q) at levels (Q,).
    invert: Callable[[Distribution, Tensor], Tensor]
    further: Sequence[float] = ()  # those numbers before anything is learned
    counts: bool = False  # whether it is one of whole numbers


class Parametric(Head):
    """A distribution, compared by its likelihood.

    The first two numbers are where its middle lies, and what softplus makes a deviation of.
    """

    measure = "negative log-likelihood"

    def __init__(self, family: Family) -> None:
        self.family, self.begin = family, [0.0, UNIT, *family.further]

    def at(self, found: Tensor, base: Tensor, spread: Tensor) -> Distribution:
        """The distribution of each step, in units of the series."""
        middle, width, *further = found.double().unbind(-1)
        deviation = spread * (softplus(width) + FLOOR)
        return self.family.make(base + spread * middle, deviation, further)

    def loss(self, found: Tensor, truth: Tensor, base: Tensor, spread: Tensor) -> Tensor:
        """The negative logarithm of the likelihood; of densities, in spreads."""
        off = -self.at(found, base, spread).log_prob(truth)
        return off if self.family.counts else off - spread.log()

    def quantiles(
        self, found: Tensor, base: Tensor, spread: Tensor, levels: Sequence[float]
    ) -> Tensor:
        """Those of any levels."""
        wanted = torch.tensor(list(levels), dtype=torch.float64)
        return self.family.invert(self.at(found, base, spread), wanted)


def _normal(middle: Tensor, deviation: Tensor, _: Sequence[Tensor]) -> Distribution:
    return Normal(middle, deviation, validate_args=False)


def _student(middle: Tensor, deviation: Tensor, further: Sequence[Tensor]) -> Distribution:
    """One with a variance, as there are more than two degrees of freedom."""
    (freedom,) = further
    return StudentT(2 + softplus(freedom), middle, deviation, validate_args=False)


def _counts(middle: Tensor, deviation: Tensor, _: Sequence[Tensor]) -> Distribution:
    """The mean is positive; the variance is the mean (Poisson's) and the deviation's square."""
    mean = softplus(middle / deviation) * deviation + FLOOR
    total = (mean / deviation).square().clamp(1 / SURE, SURE)
    return NegativeBinomial(total, logits=mean.log() - total.log(), validate_args=False)


def _normal_quantiles(found: Distribution, levels: Tensor) -> Tensor:
    assert isinstance(found, Normal)
    return found.loc[..., None] + found.scale[..., None] * torch.special.ndtri(levels)


def _student_quantiles(found: Distribution, levels: Tensor) -> Tensor:
    from scipy.special import stdtrit

    assert isinstance(found, StudentT)
    standard = torch.from_numpy(stdtrit(found.df[..., None].numpy(), levels.numpy()))
    return found.loc[..., None] + found.scale[..., None] * standard


def _counts_quantiles(found: Distribution, levels: Tensor) -> Tensor:
    from scipy.special import betainc, nbdtrik  # scipy.stats takes three times as long to load

    assert isinstance(found, NegativeBinomial)
    total = found.total_count[..., None].numpy()
    share = torch.sigmoid(-found.logits[..., None]).numpy()
    most = np.ceil(nbdtrik(levels.numpy(), total, share)).clip(0)
    less = (most - 1).clip(0)  # where rounding has led one too far
    enough = betainc(total, less + 1, share) >= levels.numpy()
    return torch.from_numpy(np.where(enough, less, most))


FAMILIES: dict[str, Family] = {
    "normal": Family(_normal, _normal_quantiles),
    "student-t": Family(_student, _student_quantiles, further=(2.0,)),
    "negative-binomial": Family(_counts, _counts_quantiles, counts=True),
}


def make_head(distribution: DistributionName | None, quantiles: Sequence[float]) -> Head:
    """The head of a distribution by its name or, without one, of quantiles."""
    return Quantiles(quantiles) if distribution is None else Parametric(FAMILIES[distribution])


def pinball(found: Tensor, truth: Tensor, quantiles: Tensor) -> Tensor:
    """The loss (...,) of quantiles (..., Q), on average over these.

    >>> found, quantiles = torch.tensor([[1.0, 3.0]]), torch.tensor([0.1, 0.9])
    >>> pinball(found, torch.tensor([2.0]), quantiles)  # (0.1 * 1 + 0.1 * 1) / 2
    tensor([0.1000])
    """
    off = truth[..., None] - found
    return torch.maximum(quantiles * off, (quantiles - 1) * off).mean(-1)


def _listed(levels: Sequence[float]) -> str:
    return ", ".join(f"{level:g}" for level in levels)
