"""What the values of a row mean: texts and labels, if they can be used."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .findings import Findings
from .readers import Row

Meaning = Callable[[Any, str], str]  # of a value in the column of that name


def accepted(
    rows: Iterable[Row], columns: dict[str, Meaning], findings: Findings
) -> Iterator[tuple[int | str, list[str]]]:
    """The rows whose values can all be used, as strings; `findings` gets the others.

    Values beyond those of `columns` don't count.
    """
    for place, values in rows:
        try:
            strings = [
                meaning(value, name)
                for (name, meaning), value in zip(columns.items(), values, strict=False)
            ]
            for string in strings:
                string.encode()  # finds what was not UTF-8
        except UnicodeEncodeError as error:
            escaped = 0xDC80 <= ord(error.object[error.start]) <= 0xDCFF
            findings.reject(place, "not UTF-8" if escaped else "half of a surrogate pair")
        except _BadValueError as bad:
            findings.reject(place, *bad.args)
        else:
            yield place, strings


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
    if value is not None and not isinstance(value, (str, int)):
        raise _BadValueError(f"{column!r} is neither a string nor a whole number", repr(value)[:40])
    return _filled(label_name(value), column)


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
