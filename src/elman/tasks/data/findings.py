"""What a reader finds besides good rows: bad ones, each with its place and reason, and notes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import SHOWN, places


@dataclass
class Fault:
    """How many rows are bad for one reason, where the first of them are, and more on the first."""

    detail: str
    rows: int = 0
    places: list[int | str] = field(default_factory=list)


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
    faults: dict[str, Fault] = field(default_factory=dict)  # by reason
    notes: list[str] = field(default_factory=list)  # for the user's eyes
    advice: str = ""  # how to make the file UTF-8, if it isn't

    def reject(self, place: int | str, reason: str, detail: str = "") -> None:
        """Count a row that can't be used. The reason is one for all such rows, `detail` its own."""
        fault = self.faults.setdefault(reason, Fault(detail))
        fault.rows += 1
        if len(fault.places) < SHOWN:
            fault.places.append(place)

    def __len__(self) -> int:
        return sum(fault.rows for fault in self.faults.values())

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for reason, fault in self.faults.items():
            named = places(fault.places, self.unit, f"{self.unit}s", fault.rows)
            detail = fault.detail
            if detail:
                detail = f"{'; the first' if fault.rows > 1 else ''}: {detail}"
            yield f"  {self.rows(fault.rows)}: {reason} ({named}){detail}"

    def rows(self, number: int) -> str:
        """A number of rows, which in a folder are files."""
        return count(number, "file" if self.unit == "file" else "row")


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "row"), count(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
