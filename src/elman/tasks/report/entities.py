"""What found spans are worth: precision, recall and F1, as a whole and by label, and the errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..data.schemes import Span

KINDS = ("missed", "made up", "other label", "other ends")


class Score(NamedTuple):
    """How many spans there are, were found, and are right: with the same ends and label."""

    there: int
    found: int
    right: int

    @property
    def precision(self) -> float:
        """The share of the found that is right."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """The share of those there that was found."""
        return self.right / self.there if self.there else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.right / (self.there + self.found) if self.right else 0.0

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        names = ("precision", "recall", "f1", "there", "found", "right")
        return {name: getattr(self, name) for name in names}


class Mistake(NamedTuple):
    """A span that is wrong or was missed, or one of each that overlap."""

    text: int
    kind: str
    there: Span | None
    found: Span | None


@dataclass(frozen=True)
class Comparison:
    """The scores of found spans, and all mistakes among them."""

    texts: int
    all: Score
    by_label: dict[str, Score]
    mistakes: list[Mistake]

    @property
    def macro_f1(self) -> float:
        """The mean of the labels' F1 scores."""
        return sum(score.f1 for score in self.by_label.values()) / max(1, len(self.by_label))

    @property
    def kinds(self) -> dict[str, int]:
        """How many mistakes of each kind."""
        counts = Counter(mistake.kind for mistake in self.mistakes)
        return {kind: counts[kind] for kind in KINDS if counts[kind]}

    def as_json(self) -> dict[str, Any]:
        """The scores, and how many mistakes of each kind."""
        return {
            "texts": self.texts,
            "spans": self.all.as_json(),
            "macro_f1": self.macro_f1,
            "by_label": {label: score.as_json() for label, score in self.by_label.items()},
            "mistakes": self.kinds,
        }


def compare(there: Sequence[Iterable[Any]], found: Sequence[Iterable[Any]]) -> Comparison:
    """Compare the spans there are in each text with those that were found.

    >>> there = [[(0, 2, "city"), (5, 6, "name")]]
    >>> result = compare(there, [[(0, 2, "city"), (5, 7, "name"), (8, 9, "name")]])
    >>> result.all.right, round(result.all.f1, 2), result.kinds
    (1, 0.4, {'made up': 1, 'other ends': 1})
    """
    counts: tuple[Counter[str], ...] = (Counter(), Counter(), Counter())
    mistakes = []
    for number, (mine, theirs) in enumerate(zip(there, found, strict=True)):
        truth, named = ([Span(*span[:3]) for span in row] for row in (mine, theirs))
        right = set(truth) & set(named)
        for count, spans in zip(counts, (truth, named, right), strict=True):
            count.update(span.label for span in spans)
        mistakes += _mistakes(number, truth, named, right)
    labels = sorted(set(counts[0]) | set(counts[1]))
    return Comparison(
        len(there),
        Score(*(count.total() for count in counts)),
        {label: Score(*(count[label] for count in counts)) for label in labels},
        mistakes,
    )


def _mistakes(
    text: int, there: Iterable[Span], found: Iterable[Span], right: set[Span]
) -> list[Mistake]:
    """The wrong spans of a text, each with the first true one it overlaps, if there is one."""
    left = [span for span in there if span not in right]
    mistakes = []
    for span in found:
        if span in right:
            continue
        near = next((one for one in left if one.start < span.end and span.start < one.end), None)
        if near is None:
            mistakes.append(Mistake(text, "made up", None, span))
            continue
        left.remove(near)
        kind = "other label" if near[:2] == span[:2] else "other ends"
        mistakes.append(Mistake(text, kind, near, span))
    return mistakes + [Mistake(text, "missed", one, None) for one in left]
