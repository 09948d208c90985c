"""Texts with tags or spans, as a program gives them: cut into tokens, checked, and as BIOES."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import TaskError
from .schemes import SCHEMES, SchemeError, Span, check_spans, detect, read_tags, write_tags
from .text import WORD

Text = str | Sequence[str]
KEYS = ("start", "end", "label")  # of a span as an object


def as_texts(X: Iterable[Text], name: str = "X") -> Sequence[Text]:
    """The texts, each a string or a list of strings, with something to read in it."""
    if isinstance(X, str):
        raise TaskError(f"{name} must be a list of texts. Got one text; write [text].")
    texts = X if isinstance(X, Sequence) else list(X)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            if not isinstance(text, Sequence) or not all(isinstance(token, str) for token in text):
                raise TaskError(
                    f"{name}[{number}] must be a text, or a list of tokens that are strings. Got "
                    f"{type(text).__name__}: {str(text)[:40]}."
                )
            if not all(text):
                raise TaskError(f"{name}[{number}] has a token without characters; leave it out.")
        if not (text.strip() if isinstance(text, str) else text):
            raise TaskError(f"{name}[{number}] is empty; leave it out.")
    return texts


def to_tokens(text: Text, kind: str) -> Sequence[str]:
    """A text's tokens: of a string its characters or words.

    >>> to_tokens("Ann, too", "words"), to_tokens(["New York", "is"], "words")
    (['Ann', ',', 'too'], ['New York', 'is'])
    """
    if isinstance(text, str) and kind == "words":
        return WORD.findall(text)
    return text


def word_places(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end.

    >>> word_places("Ann, too")
    [(0, 3), (3, 4), (5, 8)]
    """
    return [match.span() for match in WORD.finditer(text)]


def in_tokens(spans: Iterable[Span], text: str) -> list[Span]:
    """Spans of a text's characters as spans of its words.

    >>> in_tokens([Span(5, 8, "word")], "Ann, too")
    [Span(start=2, end=3, label='word')]
    """
    places = word_places(text)
    first = {begin: number for number, (begin, _) in enumerate(places)}
    last = {end: number + 1 for number, (_, end) in enumerate(places)}
    found = []
    for span in spans:
        if span.start not in first or span.end not in last:
            raise SchemeError(
                span.start,
                "a span that begins or ends within a word",
                f"{tuple(span)}: {text[span.start : span.end]!r}; use characters as tokens, or "
                "give the text as a list of tokens",
            )
        found.append(Span(first[span.start], last[span.end], span.label))
    return found


def in_characters(spans: Iterable[Span], text: str) -> list[tuple[int, int]]:
    """Where spans of a text's words begin and end among its characters."""
    places = word_places(text)
    return [(places[span.start][0], places[span.end - 1][1]) for span in spans]


def as_span(given: Any) -> Span:
    """A span of an object, a list or a tuple.

    >>> as_span({"start": 0, "end": 2, "label": "city"}) == as_span([0, 2, "city"])
    True
    """
    values: list[Any] = (
        [given.get(key) for key in KEYS] if isinstance(given, Mapping) else list(given)
    )
    if (
        len(values) != len(KEYS)
        or not all(type(value) is int for value in values[:2])
        or not isinstance(values[2], str)
        or not values[2].strip()
    ):
        raise SchemeError(
            0,
            "a span that is none",
            f'{str(given)[:60]}; expected [start, end, "label"], or an object of these three',
        )
    return Span(values[0], values[1], values[2].strip())


def are_tags(row: Any) -> bool:
    """Whether a row of labels is one of tags, not of spans."""
    return bool(row) and isinstance(row[0], str)


def to_bioes(text: Text, kind: str, row: Sequence[Any], scheme: str) -> list[str]:
    """A text's tags or spans as the tags of its tokens.

    Raises:
        SchemeError: they don't fit the text or the scheme.
    """
    tokens = to_tokens(text, kind)
    if are_tags(row):
        if len(row) != len(tokens):
            raise SchemeError(
                0,
                "not as many tags as tokens",
                f"{len(row)} tags for {len(tokens)} {kind if isinstance(text, str) else 'tokens'}",
            )
        spans = read_tags(row, scheme)
    else:
        spans = check_spans(map(as_span, row), len(text), "characters or tokens")
        if isinstance(text, str) and kind == "words":
            spans = in_tokens(spans, text)
    return write_tags(spans, len(tokens))


def find_scheme(rows: Iterable[Any], scheme: str) -> str:
    """The scheme that is meant, or the one that the rows of tags are likely written in."""
    if scheme not in ("auto", *SCHEMES):
        raise TaskError(f"scheme must be one of auto, {', '.join(SCHEMES)}. Got {scheme!r}.")
    if scheme != "auto":
        return scheme
    tags = [row for row in rows if are_tags(row)]
    return detect(tags) if tags else "BIO"


def read_rows_of_tags(
    texts: Sequence[Text],
    kind: str,
    y: Iterable[Any],
    scheme: str = "auto",
    name_x: str = "X",
    name_y: str = "y",
) -> tuple[str, list[list[str]]]:
    """The scheme, and the tags of each text's tokens in BIOES."""
    rows = y if isinstance(y, Sequence) else list(y)
    if isinstance(rows, str) or len(rows) != len(texts):
        raise TaskError(
            f"{name_y} must have a list of tags or of spans for each text in {name_x}. Got "
            f"{len(rows)} for {len(texts)} texts."
        )
    scheme = find_scheme(rows, scheme)
    tags = []
    for number, (text, row) in enumerate(zip(texts, rows, strict=True)):
        try:
            tags.append(to_bioes(text, kind, row, scheme))
        except SchemeError as error:
            at = f"[{error.at}]" if are_tags(row) else ""
            reason = error.reason[0].lower() + error.reason[1:] if error.reason else ""
            raise TaskError(f"{name_y}[{number}]{at}: {reason}: {error.detail}.") from None
        except TypeError:
            raise TaskError(
                f"{name_y}[{number}] must be a list of tags or of spans. Got {str(row)[:40]!r}."
            ) from None
    return scheme, tags
