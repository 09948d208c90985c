"""Tags and spans: what BIO, BIOES (or BILOU), IOB1 and IO say, and how to write it.

A span is where something begins and ends, and what it is. Inside elman tags are always BIOES: a
span of one token is S, a longer one begins with B, goes on with I and ends with E; O is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import TaskError

OUTSIDE = "O"
LETTERS = {"BIO": "BI", "BIOES": "BIES", "IOB1": "BI", "IO": "I", "tags": ""}
SCHEMES = tuple(LETTERS)
_SAME = {"L": "E", "U": "S"}  # of BILOU, in BIOES


class Span(NamedTuple):
    """What the tokens from `start` to before `end` are."""

    start: int
    end: int
    label: str


class SchemeError(TaskError):
    """Tags that a scheme doesn't allow; `at` is the number of the first such token."""

    def __init__(self, at: int, reason: str, detail: str) -> None:
        super().__init__(f"tag {at + 1}: {reason}; {detail}")
        self.at, self.reason, self.detail = at, reason, detail


def detect(rows: Iterable[Sequence[str]]) -> str:
    """The scheme that the tags of all rows are likely written in.

    >>> detect([["O", "B-city", "I-city"]]), detect([["S-city", "O"]]), detect([["O", "I-city"]])
    ('BIO', 'BIOES', 'IO')
    >>> detect([["DET", "NOUN"]])
    'tags'
    """
    kinds = {tag for row in rows for tag in row}
    letters = {tag[:1] if _has_letter(tag) else "" for tag in kinds - {OUTSIDE}}
    if "" in letters:
        return "tags"
    if letters & set("ESLU"):
        return "BIOES"
    return "BIO" if "B" in letters else "IO"


def _has_letter(tag: str) -> bool:
    return len(tag) > 2 and tag[0] in "BIESLU" and tag[1] == "-"


def read_tags(tags: Sequence[str], scheme: str) -> list[Span]:
    """The spans that a row of tags stands for.

    With the scheme "tags" each token has a label of its own, and O is one as well as any other.

    Raises:
        SchemeError: the scheme doesn't allow such tags.

    >>> read_tags(["B-city", "I-city", "O", "B-city"], "BIO")
    [Span(start=0, end=2, label='city'), Span(start=3, end=4, label='city')]
    """
    if scheme == "tags":
        return [Span(at, at + 1, tag) for at, tag in enumerate(tags)]
    spans: list[Span] = []
    start, label, last = -1, "", ""  # of the span that is open, and the letter before
    for at, tag in enumerate([*tags, OUTSIDE]):
        letter, name = _parts(at, tag, scheme)
        goes_on = letter in ("I", "E") and last in ("B", "I") and name == label
        if not goes_on:
            if last in ("B", "I"):
                if scheme == "BIOES":
                    raise SchemeError(
                        at - 1,
                        f"{tags[at - 1]} isn't followed by I-{label} or E-{label}",
                        "in BIOES a span ends with E, and one of a single token is S",
                    )
                spans.append(Span(start, at, label))
            if letter == "E" or (letter == "I" and scheme not in ("IO", "IOB1")):
                before = tags[at - 1] if at else "nothing"
                begins = "with B" if scheme == "BIO" else "with B or is S"
                raise SchemeError(
                    at,
                    f"{tag} follows {before}",
                    f"in {scheme} a span begins {begins}; correct the tags, or name their scheme",
                )
            start, label = at, name
        if letter in ("E", "S"):
            spans.append(Span(start, at + 1, name))
        last = letter
    return spans


def _parts(at: int, tag: str, scheme: str) -> tuple[str, str]:
    """A tag's letter and label."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if not _has_letter(tag):
        raise SchemeError(
            at, f"{tag!r} is no tag of {scheme}", "expected O, or a letter, a hyphen and a label"
        )
    letter = _SAME.get(tag[0], tag[0]) if scheme == "BIOES" else tag[0]
    if letter not in LETTERS[scheme]:
        raise SchemeError(
            at, f"{tag!r} is no tag of {scheme}", f"its letters are {', '.join(LETTERS[scheme])}"
        )
    return letter, tag[2:]


def write_tags(spans: Iterable[Span], length: int, scheme: str = "BIOES") -> list[str]:
    """The tags of so many tokens; the spans must be in order and not overlap.

    >>> write_tags([Span(0, 3, "city"), Span(3, 4, "city")], 5)
    ['B-city', 'I-city', 'E-city', 'S-city', 'O']
    >>> write_tags([Span(0, 1, "city"), Span(1, 2, "city")], 3, "IOB1")
    ['I-city', 'B-city', 'O']
    """
    tags, before = [OUTSIDE] * length, (0, "")
    for start, end, label in spans:
        if scheme == "tags":
            tags[start:end] = [label] * (end - start)
            continue
        tags[start:end] = [f"I-{label}"] * (end - start)
        if scheme == "BIOES":
            tags[start], tags[end - 1] = f"B-{label}", f"E-{label}"
            if end == start + 1:
                tags[start] = f"S-{label}"
        elif scheme == "BIO" or (scheme == "IOB1" and before == (start, label)):
            tags[start] = f"B-{label}"
        before = (end, label)
    return tags


def check_spans(spans: Iterable[Span], length: int, unit: str = "tokens") -> list[Span]:
    """The spans in order, if they lie within so many tokens and don't overlap.

    >>> check_spans([Span(1, 2, "b"), Span(0, 1, "a")], 2)
    [Span(start=0, end=1, label='a'), Span(start=1, end=2, label='b')]
    """
    ordered, before = sorted(spans), Span(0, 0, "")
    for span in ordered:
        if not 0 <= span.start < span.end <= length:
            raise SchemeError(
                span.start,
                "a span that isn't in the text",
                f"{tuple(span)} of {length} {unit}; expected 0 <= start < end <= {length}",
            )
        if span.start < before.end:
            raise SchemeError(
                span.start, "spans that overlap", f"{tuple(before)} and {tuple(span)}; keep one"
            )
        before = span
    return ordered


def labels_of(rows: Iterable[Sequence[str]], whole: bool = False) -> list[str]:
    """The BIOES tags that occur, and those that a span of their label may need, O first.

    With `whole` that is also S, and for each label.

    >>> labels_of([["O", "B-city", "E-city"], ["S-name"]])
    ['O', 'B-city', 'I-city', 'E-city', 'S-name']
    >>> labels_of([["S-name"]], whole=True)
    ['B-name', 'I-name', 'E-name', 'S-name']
    """
    found = {tag for row in rows for tag in row}
    longer = {tag[2:] for tag in found - {OUTSIDE} if whole or tag[0] != "S"}
    needed = "BIES" if whole else "BIE"
    found |= {f"{letter}-{label}" for label in longer for letter in needed}
    return sorted(found, key=tag_order)


def tag_order(tag: str) -> Any:
    """O, then by label, then as in a span."""
    return (tag != OUTSIDE, tag[2:], "BIES".find(tag[0]))


def allowed(before: str | None, after: str | None) -> bool:
    """Whether one BIOES tag may follow another; None is what stands before and after a row.

    >>> allowed("B-city", "E-city"), allowed("B-city", "O"), allowed(None, "S-city")
    (True, False, True)
    """
    if before is not None and before[0] in "BI":
        return after is not None and after[0] in "IE" and after[2:] == before[2:]
    return after is None or after[0] in "OBS"
