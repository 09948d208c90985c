"""Windows over series: what was, in the form in which a network reads it, and what comes after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ..errors import TaskError
from .history import History
from .series import numbers
from .times import Pace, calendar

STEPS = 256  # of a context, at most, where nobody says how many


@dataclass(frozen=True)
class Outlook:
    """How series become windows: learned from the series to train on.

    `known_mean` and `known_scale` (K,) standardise covariates. A window reads up to `context` steps
    and tells `horizon` more; `season` steps before is the value that it begins with.
    """

    horizon: int
    season: int
    context: int
    pace: Pace
    known_mean: np.ndarray
    known_scale: np.ndarray

    @classmethod
    def of(
        cls,
        histories: Sequence[History],
        pace: Pace,
        horizon: int,
        season: int | None,
        context: int | None,
    ) -> Outlook:
        """What series say of their kind, and the parameters that are given."""
        season = pace.usual() if season is None else int(season)
        context = context or min(STEPS, max(2 * season, 2 * horizon, 16))
        known = np.concatenate([one.known for one in histories])
        if known.size and np.isnan(known).all(0).any():
            raise TaskError("A covariate has no value at all; leave it out.")
        mean = np.nanmean(known, 0) if known.size else np.zeros(0)
        scale = np.nanstd(known, 0) if known.size else np.zeros(0)
        return cls(int(horizon), season, int(context), pace, mean, np.where(scale > 0, scale, 1.0))

    @property
    def steady(self) -> int:
        """Features of a step that are known ahead: the time gap, the calendar, covariates."""
        return 1 + 2 * len(self.pace.seasons) + len(self.known_mean)

    @property
    def features(self) -> int:
        """Features of a step that is read: value, change over a season, both missing or not."""
        return 4 + self.steady

    @property
    def ahead(self) -> int:
        """Features of a step to be told: the value it begins with, how far ahead it is."""
        return 2 + self.steady

    def steady_features(self, times: np.ndarray, known: np.ndarray) -> np.ndarray:
        """(T, `steady`) of times (T,) and covariates (T, K); a missing one counts as the mean."""
        gaps = np.diff(times, prepend=times[:1] - self.pace.size) / self.pace.size
        scaled = np.nan_to_num((known - self.known_mean) / self.known_scale)
        parts = [np.log(np.maximum(gaps, 1e-3))[:, None], scaled]
        if self.pace.seasons:
            parts.append(calendar(times, self.pace.seasons))
        return np.concatenate(parts, 1).astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """As a config has it."""
        pace = self.pace
        return {
            "season": self.season,
            "context": self.context,
            "pace": {"size": pace.size, "months": pace.months, "dated": pace.dated},
            "known": {"mean": self.known_mean.tolist(), "scale": self.known_scale.tolist()},
        }

    @classmethod
    def read(cls, written: Mapping[str, Any], horizon: int) -> Outlook:
        """What `as_json` wrote, checked."""
        pace, known = (written.get(name) for name in ("pace", "known"))
        season, context = (written.get(name) for name in ("season", "context"))
        if not (isinstance(pace, dict) and isinstance(known, dict)):
            raise TaskError("'outlook' must have objects 'pace' and 'known'.")
        mean, scale = (known.get(name, ()) for name in ("mean", "scale"))
        if not (numbers(mean) and numbers(scale) and len(mean) == len(scale)):
            raise TaskError("'known' must have lists of numbers 'mean' and 'scale', of a length.")
        size, months, dated = (pace.get(name, -1) for name in ("size", "months", "dated"))
        if not (_is_count(season, 1) and _is_count(context, 1)) or min(scale, default=1) <= 0:
            raise TaskError("'outlook' must have a positive 'season', 'context' and scales.")
        if not numbers([size]) or size <= 0 or not _is_count(months, 0) or type(dated) is not bool:
            raise TaskError("'pace' must have a positive 'size', 'months' and 'dated'.")
        given = (np.array(values, np.float64) for values in (mean, scale))
        return cls(horizon, int(season), int(context), Pace(float(size), months, dated), *given)


class Ahead(NamedTuple):
    """What is known of the steps to be told, and what they are told from.

    `features` (B, H, F); the forecast is `base` (B, H) plus `spread` (B,) times what is learned.
    """

    features: Tensor
    base: Tensor
    spread: Tensor


class Windows:
    """Windows of histories that end before the steps `ends`, a list for each history.

    All series lie end to end, each with `horizon` further steps, so that a window is a few indices.
    """

    def __init__(
        self, histories: Sequence[History], outlook: Outlook, ends: Sequence[np.ndarray]
    ) -> None:
        self.outlook = outlook
        H, m = outlook.horizon, outlook.season
        values, changes, steady, filled = [], [], [], []
        for one in histories:
            T = len(one) + H
            times = one.times[:T]
            if len(times) < T:
                later = outlook.pace.after(times[-1], T - len(times))
                times = np.concatenate([times, later])
            known = np.full((T, one.known.shape[1]), np.nan)
            known[: len(one.known)] = one.known[:T]
            value = np.concatenate([one.values, np.full(H, np.nan)])
            change = np.full(T, np.nan)
            change[m:] = value[m:] - value[:-m]
            values.append(value)
            changes.append(change)
            filled.append(_filled(value, m))
            steady.append(outlook.steady_features(times, known))
        sizes = np.array([len(value) for value in values])
        self.starts = np.cumsum(sizes) - sizes
        self.values, self.changes = np.concatenate(values), np.concatenate(changes)
        self.filled, self.steady = np.concatenate(filled), np.concatenate(steady)
        self.series = np.repeat(np.arange(len(ends)), [len(one) for one in ends])
        self.ends = np.concatenate([*ends, np.zeros(0)]).astype(np.int64)
        self.lengths = np.minimum(self.ends, outlook.context)

    def __len__(self) -> int:
        return len(self.ends)

    def rows_ahead(self, windows: np.ndarray) -> np.ndarray:
        """Where the steps to be told lie, (B, H)."""
        begin = self.starts[self.series[windows]] + self.ends[windows]
        return begin[:, None] + np.arange(self.outlook.horizon)

    def truth(self, windows: np.ndarray) -> np.ndarray:
        """The values that come after, (B, H); NaN where there is none."""
        return self.values[self.rows_ahead(windows)]

    def naive(self, windows: np.ndarray) -> np.ndarray:
        """The values a season before, (B, H), or the last one; NaN where there is none at all."""
        m, ahead = self.outlook.season, np.arange(self.outlook.horizon)
        back = self.ends[windows][:, None] + ahead - m * (ahead // m + 1)
        start = self.starts[self.series[windows]][:, None]
        last = self.filled[start + self.ends[windows][:, None] - 1]
        found = np.where(back >= 0, self.filled[start + np.maximum(back, 0)], np.nan)
        return np.where(np.isnan(found), last, found)

    def pack(self, windows: np.ndarray) -> tuple[PackedSequence, Ahead]:
        """Windows as packed steps (N, features), and what is known ahead of each."""
        order = np.argsort(-self.lengths[windows], kind="stable")
        lengths, rows = self.lengths[windows][order], windows[order]
        begin = self.starts[self.series[rows]] + self.ends[rows] - lengths
        time = np.arange(lengths[0])[:, None]
        there = time < lengths  # (T, B)
        where = (begin + time)[there]
        owner = np.broadcast_to(np.arange(len(rows)), there.shape)[there]
        count = len(rows)
        value, change = self.values[where], self.changes[where]
        middle, scale = _middle_and_scale(value, owner, count)
        spread = _mean(np.abs(change), owner, count)
        spread = np.where(spread > 1e-9 * (scale + np.abs(middle)), spread, scale)
        steps = np.column_stack(
            [
                np.nan_to_num((value - middle[owner]) / scale[owner]),
                np.nan_to_num(np.clip(change / spread[owner], -10, 10)),
                np.isnan(value),
                np.isnan(change),
                self.steady[where],
            ]
        )
        back = np.empty_like(order)
        back[order] = np.arange(count)
        packed = PackedSequence(
            torch.from_numpy(steps.astype(np.float32)),
            torch.from_numpy(there.sum(1)),
            torch.from_numpy(order),
            torch.from_numpy(back),
        )
        middle, scale, spread = middle[back], scale[back], spread[back]
        base = self.naive(windows)
        base = np.where(np.isnan(base), middle[:, None], base)
        H = self.outlook.horizon
        far = np.broadcast_to(np.arange(1, H + 1) / H, base.shape)
        told = [((base - middle[:, None]) / scale[:, None])[..., None], far[..., None]]
        ahead = np.concatenate([*told, self.steady[self.rows_ahead(windows)]], 2)
        return packed, Ahead(*map(torch.from_numpy, (ahead.astype(np.float32), base, spread)))


def _filled(values: np.ndarray, season: int) -> np.ndarray:
    """Values, and in place of a missing one that of a season before or, else, the one before.

    >>> _filled(np.array([1.0, np.nan, 3.0, np.nan, np.nan]), season=2).tolist()
    [1.0, 1.0, 3.0, 1.0, 3.0]
    """
    found = values.copy()
    for step in np.flatnonzero(np.isnan(values)).tolist():
        for back in (season, 1):
            if back <= step and np.isnan(found[step]):
                found[step] = found[step - back]
    return found


def _is_count(value: Any, least: int) -> TypeGuard[int]:
    return type(value) is int and least <= value < 2**31


def _mean(values: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """The mean of each owner's values that are there, (count,); 0 of none."""
    there = ~np.isnan(values)
    total = np.bincount(owner[there], values[there], count)
    return total / np.maximum(np.bincount(owner[there], minlength=count), 1)


def _middle_and_scale(
    values: np.ndarray, owner: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each owner's values, (count,); of equal ones the deviation is 1."""
    middle = _mean(values, owner, count)
    scale = np.sqrt(_mean((values - middle[owner]) ** 2, owner, count))
    return middle, np.where(scale > 1e-9 * np.abs(middle), scale, 1.0)
