"""Training and validation rows: stratified, deterministic, and with no text on both sides."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from ..errors import TaskError
from .text import normalise

_BETWEEN = re.compile(r"[\W_]+")  # all but letters and digits


@dataclass(frozen=True)
class Split:
    """Row numbers of both sides, and how many rows repeat a text or contradict one another."""

    train: np.ndarray
    valid: np.ndarray
    repeated: int  # rows whose text occurred before
    conflicting: int  # rows whose text also occurs with another label


def identity(text: str) -> str:
    """What two texts must share to count as the same: their letters and digits.

    >>> identity("Very  good!!") == identity("very good")
    True
    """
    normal = normalise(text)
    return _BETWEEN.sub("", normal) or normal


def identities(texts: Collection[str]) -> np.ndarray:
    """A number for each text, (B,) uint64, which equal texts share.

    Two different texts share theirs with a chance of 2**-64; they are then on one side of a
    split, which does no harm.
    """

    def number(text: str) -> int:
        # Half surrogate pairs can't come from a file, but from a program.
        encoded = identity(text).encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "little")

    return np.fromiter((number(text) for text in texts), np.uint64, len(texts))


def shared(texts: Collection[str], others: Collection[str]) -> int:
    """How many of the `others` also stand among `texts`.

    >>> shared(["good", "bad"], ["Good!", "new", "good"])
    2
    """
    return int(np.isin(identities(others), identities(texts)).sum())


def split_rows(
    texts: Collection[str],
    labels: Collection[Any],
    fraction: float,
    seed: int = 0,
    noun: str = "texts",
) -> Split:
    """Put about `fraction` of each label's rows aside for validation.

    Rows with the same text (up to case, spacing and punctuation) go to the same side, or the
    validation score would reward memory. The side that a text is on depends on the texts, the
    labels and the seed, not on the order of the rows. A label needs two different texts: one to
    learn from, one to be tested on.
    """
    if not 0 < fraction < 1:
        raise TaskError(f"The validation fraction must lie between 0 and 1. Got {fraction}.")
    names = sorted(set(labels), key=str)
    code = {name: number for number, name in enumerate(names)}
    codes = np.fromiter((code[label] for label in labels), np.int64, len(labels))
    keys, group, sizes = np.unique(identities(texts), return_inverse=True, return_counts=True)
    # Every pair of a text and a label it has; the commonest label of a text, of several the first.
    pairs, counts = np.unique(group * len(names) + codes, return_counts=True)
    pair_group, pair_code = np.divmod(pairs, len(names))
    best = np.lexsort((pair_code, -counts, pair_group))
    stratum = pair_code[best[np.unique(pair_group[best], return_index=True)[1]]]
    conflicting = int(sizes[np.bincount(pair_group) > 1].sum())

    strata = np.bincount(stratum, minlength=len(names))
    scarce = [str(names[number]) for number in np.flatnonzero(strata < 2)]
    if scarce:
        raise TaskError(
            f"{'Label' if len(scarce) == 1 else 'Labels'} {', '.join(map(repr, scarce[:5]))}"
            f"{f' and {len(scarce) - 5} more' if len(scarce) > 5 else ''}: fewer than two "
            f"different {noun}; add {noun}, merge labels, or leave those rows out."
        )
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(keys), bool)
    for number in range(len(names)):
        members = generator.permutation(np.flatnonzero(stratum == number))
        chosen[_some(members, sizes[members], fraction)] = True
    held_out = chosen[group]
    return Split(
        np.flatnonzero(~held_out),
        np.flatnonzero(held_out),
        repeated=len(codes) - len(keys),
        conflicting=conflicting,
    )


def _some(members: np.ndarray, sizes: np.ndarray, fraction: float) -> np.ndarray:
    """Those of the members, from the first on, that together have the fraction of all rows."""
    wanted = fraction * int(sizes.sum()) + 0.5
    chosen, taken = np.zeros(len(members), bool), 0
    for number, size in enumerate(sizes.tolist()):
        if taken + size <= wanted:
            chosen[number] = True
            taken += size
    # However few there are, each side gets one.
    if not chosen.any():
        chosen[sizes.argmin()] = True
    elif chosen.all():
        chosen[sizes.argmax()] = False
    return members[chosen]
