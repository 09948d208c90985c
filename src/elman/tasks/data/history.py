"""Series whose future is to be told: values, times, and what is known of the future."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import TaskError
from .times import MONTHS, Pace, month_of

MOST = 10  # times as many steps as were given, with those that are filled in


@dataclass(frozen=True)
class History:
    """A series up to now, and what is known of later.

    Args:
        values: numbers, (T,), of which some may be missing (NaN).
        times: numbers or datetime64, (T,) or, with later ones, longer; without them steps are
            equal.
        known: covariates that will be known ahead, (T or longer, K): of the horizon, too, when it
            is to be told.
        name: what the series is called in tables.

    >>> from elman.tasks import History
    >>> len(History([1.0, 2.0, 3.0], times=[0, 1, 3]))
    3
    """

    values: Any
    times: Any = None
    known: Any = None
    name: str = ""

    def __len__(self) -> int:
        return len(self.values)

    def with_dates(self) -> History:
        """The same with seconds since 1970 as dates."""
        return replace(self, times=(self.times * 1e6).round().astype("datetime64[us]"))

    def until(self, step: int) -> History:
        """The same as it was after so many steps; what is known of later stays."""
        return replace(self, values=self.values[:step])


def as_histories(y: Any, name: str = "y") -> tuple[list[History], bool]:
    """Histories with arrays of float64 and times, and whether these are dates.

    `y` is one series (T,), an array (n, T), or a list of series or of `History`.

    Raises:
        TaskError: there is none, or one that can't be used.
    """
    if isinstance(y, History) or (
        getattr(y, "ndim", 0) == 1 and getattr(y, "dtype", np.dtype("O")).kind != "O"
    ):
        y = [y]
    given = [one if isinstance(one, History) else History(one) for one in y]
    if not given:
        raise TaskError(f"{name} has no series; expected at least one.")
    found = [_checked(one, f"{name}[{row}]") for row, one in enumerate(given)]
    dated = {dates for _, dates in found}
    covariates = {one.known.shape[1] for one, _ in found}
    if len(dated) > 1 or len(covariates) > 1:
        what = "dates and numbers as times" if len(dated) > 1 else "different numbers of covariates"
        raise TaskError(f"{name} has series with {what}; expected the same in all.")
    return [one for one, _ in found], dated.pop()


def _checked(given: History, name: str) -> tuple[History, bool]:
    try:
        values = np.asarray(given.values, np.float64)
        known = given.known
        known = np.zeros((len(values), 0)) if known is None else np.asarray(known, np.float64)
        known = known[:, None] if known.ndim == 1 else known
    except (TypeError, ValueError) as error:
        raise TaskError(f"{name} must hold numbers ({error}).") from None
    if values.ndim != 1 or not len(values):
        raise TaskError(f"{name} must be an array (T,) of a step at least. Got {values.shape}.")
    if np.isinf(values).any() or np.isinf(known).any():
        raise TaskError(f"{name} has an infinite value; a missing one is NaN.")
    times, dated = _times(given.times, len(values))
    if len(times) < len(values) or len(known) < len(values):
        raise TaskError(
            f"{name} has {len(values)} values, {len(times)} times and {len(known)} rows of "
            "covariates; expected as many, or more of the latter two."
        )
    if not (np.diff(times) > 0).all():
        raise TaskError(f"{name} must have times that rise from step to step.")
    return History(values, times, known, given.name), dated


def _times(times: Any, steps: int) -> tuple[np.ndarray, bool]:
    """Times as numbers, and whether they are dates."""
    if times is None:
        return np.arange(steps, dtype=np.float64), False
    found = np.asarray(times)
    if found.dtype.kind == "M":
        return found.astype("datetime64[us]").astype(np.int64) / 1e6, True
    return found.astype(np.float64), False


def filled_in(history: History, pace: Pace) -> tuple[History, int]:
    """The history with a missing value at each time that is left out, and how many these are.

    Only where all times are whole steps apart: others are irregular, and stay as they are.

    >>> history = History(np.array([1.0, 2.0]), np.array([0.0, 3.0]), np.zeros((2, 0)))
    >>> filled, count = filled_in(history, Pace(1.0))
    >>> filled.values.tolist(), filled.times.tolist(), count
    ([1.0, nan, nan, 2.0], [0.0, 1.0, 2.0, 3.0], 2)
    """
    times = history.times
    if pace.months:
        at = (month_of(times) - month_of(times[:1])) / pace.months
    else:
        at = (times - times[0]) / pace.size
    where = np.round(at).astype(np.int64)
    tolerance = 0.05 if pace.size < MONTHS else 0.2  # an hour for daylight saving in a day
    regular = (np.abs(at - where) <= tolerance).all() and (np.diff(where) > 0).all()
    if not regular or where[-1] + 1 == len(times) or where[-1] >= MOST * len(times):
        return history, 0
    steps, last = where[-1] + 1, where[len(history) - 1] + 1
    values, known = np.full(last, np.nan), np.full((steps, history.known.shape[1]), np.nan)
    values[where[: len(history)]] = history.values
    known[where[: len(history.known)]] = history.known[: len(where)]
    full = np.concatenate([times[:1], pace.after(times[0], steps - 1)])
    full[where] = times
    return replace(history, values=values, times=full, known=known), int(steps - len(times))


def pace_of(histories: Sequence[History], dated: bool) -> Pace:
    """The usual step of histories with times."""
    return Pace.of([one.times for one in histories], dated)
