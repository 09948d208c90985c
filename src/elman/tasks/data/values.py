"""What the values of a row mean: texts, labels and numbers, if they can be used."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .findings import Findings
from .readers import Row

Meaning = Callable[[Any, str], Any]  # of a value in the column of that name
LABEL, LABELS, NUMBER = "label", "labels", "number"  # what may be known of a text


def accepted(
    rows: Iterable[Row], columns: dict[str, Meaning], findings: Findings
) -> Iterator[tuple[int | str, list[Any]]]:
    """The rows whose values can all be used, as what they mean; `findings` gets the others.

    Values beyond those of `columns` don't count.
    """
    for place, values in rows:
        try:
            meant = [
                meaning(value, name)
                for (name, meaning), value in zip(columns.items(), values, strict=False)
            ]
            for one in meant:
                for string in one if isinstance(one, tuple) else (one,):
                    str(string).encode()  # finds what was not UTF-8
        except UnicodeEncodeError as error:
            escaped = 0xDC80 <= ord(error.object[error.start]) <= 0xDCFF
            findings.reject(place, "not UTF-8" if escaped else "half of a surrogate pair")
        except _BadValueError as bad:
            findings.reject(place, *bad.args)
        else:
            yield place, meant


def is_utf8(text: str) -> bool:
    """Whether a text came from UTF-8: other bytes arrive as half surrogate pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


class _BadValueError(Exception):
    """Why a value can't be used: the reason, and what it is about this one."""


def as_text(value: Any, column: str) -> str:
    """A text, without the spaces around it; an empty one is none."""
    if value is not None and not isinstance(value, str):
        raise _BadValueError(f"{column!r} is not a string", repr(value)[:40])
    return _filled(value, column)


def as_label(value: Any, column: str) -> str:
    """A label; whole numbers and booleans are written as JSON has them."""
    if isinstance(value, list):
        raise _BadValueError(f"{column!r} is a list of labels, in the first row a single one")
    if value is not None and not isinstance(value, (str, int)):
        hint = "; --regression learns numbers" if isinstance(value, float) else ""
        raise _BadValueError(
            f"{column!r} is neither a string nor a whole number", repr(value)[:40] + hint
        )
    return _filled(label_name(value), column)


def labels_between(separator: str | None) -> Meaning:
    """What a value means that names several labels, or none: a list, or a string with separators.

    >>> labels_between(";")("old; new;old", "label"), labels_between(None)(["new", 7], "label")
    (('new', 'old'), ('7', 'new'))
    """

    def meaning(value: Any, column: str) -> tuple[str, ...]:
        if isinstance(value, str) and separator is not None:
            return tuple(sorted({one.strip() for one in value.split(separator)} - {""}))
        if not isinstance(value, list):
            what = "a list of labels" if separator is None else "a string or a list of labels"
            hint = "; with --labels-separator strings are read, too" if separator is None else ""
            raise _BadValueError(f"{column!r} is not {what}", repr(value)[:40] + hint)
        return tuple(sorted({as_label(one, column) for one in value}))

    return meaning


def as_number(value: Any, column: str) -> float:
    """A finite number, as such or as a string of one."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise _BadValueError(f"no {column!r}")
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise _BadValueError(f"{column!r} is not a finite number", repr(value)[:40])
    return found


def are_numbers(labels: Iterable[str]) -> bool:
    """Whether all labels read like numbers, of which a regression would make numbers."""
    try:
        return all(math.isfinite(float(label)) for label in labels)
    except ValueError:
        return False


def label_name(label: Any) -> Any:
    """A label as a file would have it.

    >>> label_name(True), label_name(7), label_name("good")
    ('true', '7', 'good')
    """
    if isinstance(label, bool):
        return "true" if label else "false"
    return str(label) if isinstance(label, int) else label


def _filled(value: str | None, column: str) -> str:
    if stripped := (value or "").strip():
        return stripped
    raise _BadValueError(f"no {column!r}")
