"""What a reader finds besides good rows: bad ones, each with its place and reason, and notes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import places


@dataclass
class Findings:
    """Bad rows by reason, in the order in which the reasons first occurred.

    >>> findings = Findings()
    >>> findings.reject(3, "no 'text'")
    >>> findings.reject(7, "not JSON", "Expecting value")
    >>> findings.reject(9, "not JSON", "Extra data")
    >>> print(findings)
      1 row: no 'text' (line 3)
      2 rows: not JSON (lines 7, 9); the first: Expecting value
    """

    unit: str = "line"  # what rows are counted in: line, row or file
    bad: dict[str, list[int | str]] = field(default_factory=dict)  # reason -> places
    details: dict[str, str] = field(default_factory=dict)  # reason -> about its first row
    notes: list[str] = field(default_factory=list)  # for the user's eyes
    encoding: str = ""  # what the whole file is likely written in, if that isn't UTF-8

    def reject(self, place: int | str, reason: str, detail: str = "") -> None:
        """Count a row that can't be used. The reason is one for all such rows, `detail` its own."""
        if reason not in self.bad:
            self.bad[reason], self.details[reason] = [], detail
        self.bad[reason].append(place)

    def __len__(self) -> int:
        return sum(map(len, self.bad.values()))

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for reason, where in self.bad.items():
            named = places(where, self.unit, f"{self.unit}s")
            detail = self.details[reason]
            if detail:
                detail = f"{'; the first' if len(where) > 1 else ''}: {detail}"
            yield f"  {self.rows(len(where))}: {reason} ({named}){detail}"

    def rows(self, number: int) -> str:
        """A number of rows, which in a folder are files."""
        return count(number, "file" if self.unit == "file" else "row")


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
