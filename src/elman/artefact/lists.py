"""Blocks of weights without the rows that are all zeros, as pruning leaves them.

A block has all units of a block of results, and a row for each number that is multiplied. A format
with a list stores as many rows of each block as the fullest one needs, and behind them where along
the sum they belong. A sum that is cut has its parts where they were, each filled up with zeros: so
its order stays, and so do its bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..compiler.formats import BYTES, Format, Numbers

#: Types of a number in a list, and how many numbers each has.
_KINDS = {"i8": 1 << 8, "i16": 1 << 16}


class Blocks(NamedTuple):
    """The blocks of a panel, ``(k, units)`` each, and into how many parts their sums are cut."""

    content: Sequence[Numbers]
    splits: int


def listed(panel: Format, panels: Iterable[Blocks]) -> Format:
    """The format that stores the panels: with a list, if that takes a quarter less or better."""
    every = [(block, blocks.splits) for blocks in panels for block in blocks.content]
    k, width = (max((block.shape[i] for block, _ in every), default=0) for i in (0, 1))
    kind = next((kind for kind, most in _KINDS.items() if k <= most), "")
    if not kind or not every:
        return panel
    cut = max(splits for _, splits in every)
    most = max(splits * len(part) for block, splits in every for part in _parts(block, splits))
    length = max(1, -(-most // cut)) * cut
    rows = -(-length * BYTES[kind] // (width * panel.size))
    found = replace(panel, listed=length, list_rows=rows, list_kind=kind)
    return found if 4 * found.nbytes(width, k) <= 3 * panel.nbytes(width, k) else panel


def stored(panel: Format, lanes: int, blocks: Blocks) -> list[Numbers]:
    """The blocks as memory holds them: bytes of rows."""
    return [_stored(panel, lanes, block, blocks.splits) for block in blocks.content]


def _stored(panel: Format, lanes: int, block: Numbers, splits: int) -> Numbers:
    width, numbers = block.shape[1] * panel.size, b""
    if panel.listed:
        rows = np.full((splits, panel.listed // splits), len(block))
        for goal, part in zip(rows, _parts(block, splits), strict=True):
            goal[: len(part)] = part
        at = np.where(rows < len(block), rows, 0).astype(f"<u{BYTES[panel.list_kind]}")
        numbers = at.tobytes().ljust(panel.list_rows * width, b"\0")
        block = np.pad(block, ((0, 1), (0, 0)))[rows.ravel()]  # behind the last row are zeros
    return np.frombuffer(panel.stored(block, lanes) + numbers, np.uint8).reshape(-1, width)


def _parts(block: Numbers, splits: int) -> list[Numbers]:
    """The rows that are not all zeros, of each part of the sum."""
    found, k = np.flatnonzero(block.any(1)), len(block) // splits
    return np.split(found, np.searchsorted(found, [k * part for part in range(1, splits)]))
