"""Training and validation rows: stratified, deterministic, and with no text on both sides."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import TaskError
from .text import normalise


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
    return "".join(character for character in normal if character.isalnum()) or normal


def split_rows(
    texts: Sequence[str], labels: Sequence[Any], fraction: float, seed: int = 0
) -> Split:
    """Put about `fraction` of each label's rows aside for validation.

    Rows with the same text (up to case, spacing and punctuation) go to the same side, or the
    validation score would reward memory. The side that a text is on depends on the texts, the
    labels and the seed, not on the order of the rows. A label needs two different texts: one to
    learn from, one to be tested on.
    """
    if not 0 < fraction < 1:
        raise TaskError(f"The validation fraction must lie between 0 and 1. Got {fraction}.")
    groups: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        groups[identity(text)].append(row)
    conflicting = 0
    strata: dict[Any, list[str]] = defaultdict(list)
    for key in sorted(groups):
        counts = Counter(labels[row] for row in groups[key])
        conflicting += len(groups[key]) if len(counts) > 1 else 0
        # The commonest label of the text; of several, the first in order.
        strata[min(counts, key=lambda label: (-counts[label], str(label)))].append(key)

    scarce = sorted(str(label) for label in set(labels) if len(strata[label]) < 2)
    if scarce:
        raise TaskError(
            f"{'Label' if len(scarce) == 1 else 'Labels'} {', '.join(map(repr, scarce[:5]))}"
            f"{f' and {len(scarce) - 5} more' if len(scarce) > 5 else ''}: fewer than two "
            "different texts; add texts, merge labels, or leave those rows out."
        )
    generator = np.random.default_rng(seed)
    train: list[int] = []
    valid: list[int] = []
    for label in sorted(strata, key=str):
        shuffled = generator.permutation(len(strata[label]))
        members = [groups[strata[label][position]] for position in shuffled]
        wanted = fraction * sum(len(rows) for rows in members)
        chosen, taken = set(), 0
        for number, rows in enumerate(members):
            if taken + len(rows) <= wanted + 0.5:
                chosen.add(number)
                taken += len(rows)
        # However few there are, each side gets one.
        if not chosen:
            chosen.add(min(range(len(members)), key=lambda number: len(members[number])))
        elif len(chosen) == len(members):
            chosen.discard(max(chosen, key=lambda number: len(members[number])))
        for number, rows in enumerate(members):
            (valid if number in chosen else train).extend(rows)
    return Split(
        np.array(sorted(train), dtype=np.int64),
        np.array(sorted(valid), dtype=np.int64),
        repeated=len(texts) - len(groups),
        conflicting=conflicting,
    )
