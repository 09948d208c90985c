"""Series of numbers as a network reads them: checked, standardised, and several steps at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import TaskError, places
from .text import Ragged

MISSING = ("", "?", "nan", "na", "null", "none")  # how files write it, in any case
STEPS = 100  # that the longest series has at most, where nobody says how many are read together


class SeriesSet(Ragged):
    """A `Ragged` set whose rows are steps of features, (T, F)."""

    stored = packed = np.float32


@dataclass(frozen=True)
class Reading:
    """How series of C channels become inputs: learned from the series to train on.

    `mean` and `scale` (C,) standardise the channels. `patch` steps are read together. `missing`
    says whether each value has a flag beside it that says whether it is missing.
    """

    mean: np.ndarray
    scale: np.ndarray
    patch: int
    missing: bool

    @classmethod
    def of(cls, series: Sequence[np.ndarray], patch: int | None) -> Reading:
        """What series (T, C) say of their kind.

        >>> reading = Reading.of([np.array([[1.0], [3.0], [np.nan]])], patch=2)
        >>> reading.features, reading.inputs(np.array([[3.0], [1.0], [np.nan]])).tolist()
        (4, [[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
        """
        every = np.concatenate(series).astype(np.float64)
        there = ~np.isnan(every)
        count = np.maximum(there.sum(0), 1)
        mean = np.where(there, every, 0.0).sum(0) / count
        scale = np.sqrt(np.where(there, (every - mean) ** 2, 0.0).sum(0) / count)
        longest = max(map(len, series))
        return cls(
            mean,
            np.where(scale > 0, scale, 1.0),
            -(-longest // STEPS) if patch is None else int(patch),
            not bool(there.all()),
        )

    @property
    def channels(self) -> int:
        """C."""
        return len(self.mean)

    @property
    def features(self) -> int:
        """F, of an input."""
        return self.channels * self.patch * (2 if self.missing else 1)

    def inputs(self, series: np.ndarray) -> np.ndarray:
        """A series (T, C) as (ceil(T / patch), F); a missing value counts as the mean."""
        gaps = np.isnan(series)
        values = np.where(gaps, 0.0, (series - self.mean) / self.scale)
        if self.missing:
            values = np.concatenate([values, gaps], 1)
        if rest := -len(values) % self.patch:  # the last step, once more
            values = np.concatenate([values, values[-1:].repeat(rest, 0)])
        steps = values.reshape(-1, self.patch, values.shape[1])
        return steps.transpose(0, 2, 1).reshape(len(steps), -1).astype(np.float32)

    def encode(self, series: Iterable[np.ndarray], targets: np.ndarray | None = None) -> SeriesSet:
        """Series (T, C), and what is to be learned of them."""
        return SeriesSet(map(self.inputs, series), targets, columns=self.features)

    def as_json(self) -> dict[str, Any]:
        """As a config has it."""
        return {
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "patch": self.patch,
            "missing": self.missing,
        }

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Reading:
        """What `as_json` wrote, checked."""
        mean, scale = (written.get(name, ()) for name in ("mean", "scale"))
        if not (numbers(mean) and numbers(scale) and len(mean) == len(scale) > 0):
            raise TaskError("'reading' must have lists of numbers 'mean' and 'scale', of a length.")
        patch, missing = written.get("patch"), written.get("missing")
        if min(scale) <= 0 or type(patch) is not int or patch < 1 or type(missing) is not bool:
            raise TaskError("'reading' must have positive scales, a 'patch', and 'missing'.")
        return cls(np.array(mean, np.float64), np.array(scale, np.float64), patch, missing)


def numbers(value: Any) -> bool:
    """Whether a value of JSON is a list of finite numbers."""
    return isinstance(value, list) and all(
        type(one) in (int, float) and abs(one) < np.inf for one in value
    )


def as_series(X: Any, name: str = "X", channels: int | None = None) -> list[np.ndarray]:
    """Series as float32 arrays (T, C), from what sktime and aeon take.

    That is an array (n, C, T), an array (n, T) of one channel, or a list of arrays (C, T) or (T,)
    of any lengths. NaN is a missing value.

    Raises:
        TaskError: there are none, one is empty or infinite, or they differ in their channels.
    """
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind != "O":
        raise TaskError(f"{name} must be a list of series. Got one; write [series].")
    found = list(map(_as_one, X, _names(name)))
    if not found:
        raise TaskError(f"{name} has no series; expected at least one.")
    empty = [row for row, one in enumerate(found) if not len(one)]
    if empty:
        which = places(empty, "number", "numbers")
        raise TaskError(
            f"{len(empty)} of the {len(found)} series in {name} are empty ({which}); leave them "
            "out."
        )
    wanted = channels or found[0].shape[1]
    for row, one in enumerate(found):
        if one.shape[1] != wanted:
            whose = "in training there were" if channels else f"{name}[0] has"
            raise TaskError(
                f"{name}[{row}] has {one.shape[1]} channels, {whose} {wanted}; expected arrays "
                "(channels, T) of the same channels."
            )
    return found


def _names(name: str) -> Iterator[str]:
    row = 0
    while True:
        yield f"{name}[{row}]"
        row += 1


def _as_one(series: Any, name: str) -> np.ndarray:
    """A series (C, T) or (T,) as (T, C)."""
    try:
        values = np.asarray(series, np.float32)
    except (TypeError, ValueError) as error:
        raise TaskError(f"{name} must be an array of numbers ({error}).") from None
    if values.ndim not in (1, 2):
        raise TaskError(
            f"{name} must be an array (channels, T), or (T,) of one channel. Got shape "
            f"{values.shape}."
        )
    values = np.atleast_2d(values).T
    if np.isinf(values).any():
        raise TaskError(f"{name} has an infinite value; a missing one is NaN.")
    return np.ascontiguousarray(values)


def read_number(text: Any) -> float:
    """A value of a file; NaN where it is missing.

    >>> read_number(" 1.5 "), read_number("?"), read_number(None)
    (1.5, nan, nan)
    """
    if isinstance(text, str):
        text = text.strip()
        if text.lower() in MISSING:
            return float("nan")
    return float("nan") if text is None else float(text)


def read_line(line: str, channels: int | None = None) -> np.ndarray:
    """A series (C, T) as a line of a .ts file has it: values with commas, channels with colons.

    >>> read_line("1,2,?:4,5,6").tolist()
    [[1.0, 2.0, nan], [4.0, 5.0, 6.0]]
    """
    rows = [[read_number(value) for value in part.split(",")] for part in line.split(":")]
    if line.strip() == "?" and channels:  # a step of which nothing is known
        rows *= channels
    if len({*map(len, rows)}) > 1:
        raise ValueError(f"channels of {' and '.join(map(str, sorted({*map(len, rows)})))} steps")
    found = np.array(rows, np.float32)
    if np.isinf(found).any():
        raise ValueError("an infinite value")
    return found
