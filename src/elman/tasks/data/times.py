"""Points in time: as files write them, the step between them, and where a season stands."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

import numpy as np

QUARTER = re.compile(r"(\d{4})[ -]?Q([1-4])", re.I)
DAY = 86_400.0
YEAR = 365.2425
#: Seasons of the calendar: its length in days, and what of a time in days says where it stands.
SEASONS = {"day": 1.0, "week": 7.0, "year": YEAR}
MONTHS = 28 * DAY  # seconds; longer steps may be whole months


def read_time(value: Any) -> tuple[bool, float]:
    """Whether a value of a file is a date, and the time as seconds since 1970 (UTC), or a number.

    >>> read_time("1970-01-02"), read_time("1970 Q2"), read_time("17")
    ((True, 86400.0), (True, 7776000.0), (False, 17.0))
    """
    if isinstance(value, bool) or value is None:
        raise ValueError("no time")
    if isinstance(value, (int, float)):
        number = float(value)
    elif isinstance(value, date):
        return True, _seconds(value)
    else:
        text = str(value).strip()
        if found := QUARTER.fullmatch(text):
            text = f"{found[1]}-{3 * int(found[2]) - 2:02}"
        try:
            number = float(text)
        except ValueError:
            return True, _parsed(text)
    if not math.isfinite(number):
        raise ValueError("no time")
    return False, number


def _parsed(text: str) -> float:
    try:
        return _seconds(datetime.fromisoformat(text.replace("Z", "+00:00")))
    except ValueError:  # a month without a day, more than six digits
        return float(np.datetime64(text, "us").astype(np.int64)) / 1e6


def _seconds(value: date) -> float:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    zone = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    return zone.timestamp()


def show_time(value: float, dated: bool) -> str:
    """A time as a file has it.

    >>> show_time(86400.0, True), show_time(3.0, False)
    ('1970-01-02', '3')
    """
    if not dated:
        return f"{value:.10g}"
    text = np.datetime_as_string(np.datetime64(round(value * 1e6), "us"))
    day, _, clock = str(text).partition("T")
    clock = clock.removesuffix(".000000")
    return day if clock == "00:00:00" else f"{day} {clock}"


@dataclass(frozen=True)
class Pace:
    """The usual step from one time to the next: so many months, or so much time."""

    size: float
    months: int = 0  # of the calendar; 0: `size` says it
    dated: bool = False  # whether times are dates, in seconds

    @classmethod
    def of(cls, times: list[np.ndarray], dated: bool) -> Pace:
        """What the times of several series say.

        >>> Pace.of([np.array([0.0, 31, 59, 90]) * 86400], dated=True).months
        1
        """
        steps = np.concatenate([np.diff(one) for one in times] or [np.zeros(0)])
        size = float(np.median(steps)) if len(steps) else 1.0
        if dated and size >= MONTHS:
            months = np.concatenate([np.diff(month_of(one)) for one in times])
            days = {*np.concatenate([_day_ofmonth_of(one) for one in times]).tolist()}
            if len(days) == 1:
                return cls(size, int(np.median(months)), True)
        return cls(size, 0, dated)

    def after(self, last: float, count: int) -> np.ndarray:
        """The next times, (count,)."""
        ahead = np.arange(1, count + 1)
        if not self.months:
            return last + self.size * ahead
        moment = np.datetime64(round(last), "s")
        month = moment.astype("datetime64[M]")
        within = moment - month.astype("datetime64[s]")
        later = (month + self.months * ahead).astype("datetime64[s]") + within
        return later.astype(np.float64)

    def steps(self, count: int) -> np.ndarray:
        """The times of steps that have none of their own, (count,), from 0 on."""
        return np.concatenate([np.zeros(1), self.after(0.0, count - 1)])

    @property
    def seasons(self) -> list[str]:
        """The seasons of the calendar that have more than two steps."""
        if not self.dated:
            return []
        return [name for name, days in SEASONS.items() if days * DAY > 2 * self.size]

    def usual(self) -> int:
        """The steps of the longest usual season: a day's, a week's or a year's; else 1.

        Hours have days, days weeks, and months and quarters years.

        >>> Pace(3600.0, dated=True).usual(), Pace(86400.0 * 30.4, months=1, dated=True).usual()
        (24, 12)
        """
        if self.months:
            return max(1, 12 // self.months)
        for name in self.seasons:
            steps = SEASONS[name] * DAY / self.size
            if 2 < steps <= 400:
                return round(steps)
        return 1


def calendar(times: np.ndarray, seasons: list[str]) -> np.ndarray:
    """Where each time stands in each season, (T, 2 * seasons): sine and cosine."""
    days = times[:, None] / DAY / np.array([SEASONS[name] for name in seasons])
    return np.concatenate([np.sin(2 * np.pi * days), np.cos(2 * np.pi * days)], 1)


def month_of(times: np.ndarray) -> np.ndarray:
    """The months since January 1970 of times in seconds."""
    return times.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


def _day_ofmonth_of(times: np.ndarray) -> np.ndarray:
    moments = times.astype("datetime64[s]")
    return (moments.astype("datetime64[D]") - moments.astype("datetime64[M]")).astype(np.int64)
