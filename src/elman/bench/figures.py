"""Times and their ratios: how many times as long one contestant takes, and how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Ratio(NamedTuple):
    """The median over the rounds, and a distribution-free 95% interval of it."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Their time over ours, taken within each round.

    The interval's ends are two of the ratios, by their rank. With fewer than six rounds they are
    the smallest and the largest, and the level is lower.

    >>> print(ratio([2.0, 2.2, 2.1], [1.0, 1.0, 1.0]))
    2.10 (2.00 to 2.20)
    """
    found = sorted(a / b for a, b in zip(theirs, ours, strict=True))
    rank = _rank(len(found))
    return Ratio(statistics.median(found), found[rank], found[-1 - rank])


def _rank(n: int) -> int:
    """How many of ``n`` values may lie below the interval, and above it.

    Each of them lies below the true median with chance one half. The interval misses it if at
    most ``rank`` values lie on one of its sides; both together may have a chance of 5%.

    >>> _rank(21), _rank(5)
    (5, 0)
    """
    below, rank = 0.5**n, 0
    while below + math.comb(n, rank + 1) * 0.5**n <= 0.025:
        rank += 1
        below += math.comb(n, rank) * 0.5**n
    return rank


def duration(us: float) -> str:
    """Microseconds, in three digits with a unit.

    >>> duration(12.345), duration(1234.5), duration(1234567.0)
    ('12.3 us', '1.23 ms', '1.23 s')
    """
    for unit in ("us", "ms"):
        if us < 999.5:
            return f"{us:.3g} {unit}"
        us /= 1000
    return f"{us:.3g} s"


def geometric_mean(values: Iterable[float]) -> float:
    """The mean of ratios."""
    return math.exp(statistics.fmean(map(math.log, values)))
