"""What the network is told of each token: an id in each of a few columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

BETWEEN = "\n"  # stands behind the last token; `normal` leaves none in a token


@lru_cache(maxsize=1 << 16)
def normal(token: str) -> str:
    r"""A token without differences of width and case, and white space as one space.

    >>> normal("\uff21"), normal("\u3000"), normal("Good")
    ('a', ' ', 'good')
    """
    return " ".join(unicodedata.normalize("NFKC", token).casefold().split()) or " "


class Column(NamedTuple):
    """One id of every token, in a vocabulary of its own.

    `values` makes them of a text's normalised tokens, and the tokens as they are. `steps` says
    where the network reads them for a token: 0 at the token itself, 1 at the one before.
    """

    name: str
    values: Callable[[Sequence[str], Sequence[str]], Sequence[str]]
    steps: tuple[int, ...] = (0,)
    share: float = 1.0  # of `embedding_size`
    drop: float = 1.0  # of `token_dropout`
    repeats: bool = False  # whether its values are what a text repeats

    def features(self, embedding_size: int) -> int:
        """The size of the column's embeddings."""
        return max(1, round(self.share * embedding_size))

    def dropped(self, token_dropout: float) -> float:
        """The share of ids that are read as unknown in training."""
        return min(0.9, self.drop * token_dropout)


def repeated_steps(tokens: str) -> tuple[int, ...]:
    """Where, as of `Column`, a token of this kind has what its text repeats."""
    return next(column.steps for column in COLUMNS[tokens] if column.repeats)


def first_places(values: Sequence[str]) -> list[int]:
    """Where each value first stands.

    >>> first_places(["Ann", "met", "Ann"])
    [0, 1, 0]
    """
    first: dict[str, int] = {}
    return [first.setdefault(value, at) for at, value in enumerate(values)]


def _pairs(tokens: Sequence[str], _: Sequence[str]) -> list[str]:
    """Each character with the next."""
    return [a + b for a, b in zip(tokens, [*tokens[1:], BETWEEN], strict=True)]


def _shape(token: str) -> str:
    """The kinds of a word's characters in a row.

    >>> _shape("iPhone-15")
    'aAa-0'
    """
    kinds = "".join(
        "0" if c.isdigit() else "A" if c.isupper() else "a" if c.isalpha() else c for c in token
    )
    return re.sub(r"(.)\1+", r"\1", kinds)[:8]


#: By the name that `SequenceTagger(tokens=...)` has for them. Of words, beginnings and ends are
#: read as well, so that something is known of those that training hasn't shown.
COLUMNS = {
    "characters": (
        Column("character", lambda tokens, _: tokens),
        Column("pair", _pairs, steps=(0, 1), share=0.5, drop=4.0, repeats=True),
    ),
    "words": (
        Column("word", lambda tokens, _: tokens, drop=2.0, repeats=True),
        Column("beginning", lambda tokens, _: [token[:3] for token in tokens], share=0.25),
        Column("end", lambda tokens, _: [token[-3:] for token in tokens], share=0.25),
        Column("last letters", lambda tokens, _: [token[-2:] for token in tokens], share=0.25),
        Column("shape", lambda _, given: [_shape(token) for token in given], share=0.25, drop=0.0),
    ),
}
