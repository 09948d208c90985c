"""The chunks of time in which the backward pass runs.

A chunk is a few segments (``Rows.segment``), whose gradients at the gates take ``_BYTES``: the
steps of a chunk run back, then the inputs' gradients of its rows follow, then the weights' are
summed up over its segments. So the gradients at the gates need memory for one chunk only, and are
read before they have left the cache. The order of summation is that of the segments; chunks have no
say in it.
"""

from __future__ import annotations

import math

from ..batch import Rows

_BYTES = 512 << 10  # of gradients at the gates
_SHARED_WORK = 4e9  # floating-point operations, of a chunk that threads share

#: Of a chunk: its steps, in the order of the forward pass and in time, first and last but one; its
#: segments, the first of the table and how many.
CHUNK = ("j", "j.end", "t", "t.end", "segment", "segments.n")


def steps_of(rows: Rows, length: int, row_bytes: int, weight_bytes: int, row_work: int) -> int:
    """The steps of a chunk: whole segments of ``length`` steps.

    Large weights, whose gradients are read and written once a chunk, ask for larger ones; and so do
    threads, for which ``row_work`` operations a row are counted, 0 for a single one: they wait for
    one another three times a chunk, some milliseconds each where another program holds a core.
    """
    segment = max(1, length * rows.B)
    fitting = max(_BYTES, 2 * weight_bytes) // (segment * max(1, row_bytes))
    return length * max(1, fitting, math.ceil(_SHARED_WORK / segment / row_work) if row_work else 1)


def chunks_of(rows: Rows, length: int, steps: int) -> tuple[list[int], list[int]]:
    """The chunks of so many steps, and the segments' times, first and last but one: two tables, the
    last step first."""

    def times(j: int, end: int) -> tuple[int, int]:
        return (rows.T - end, rows.T - j) if rows.reverse else (j, end)

    def cut(size: int) -> list[tuple[int, int]]:
        return [(j, min(j + size, rows.T)) for j in reversed(range(0, rows.T, size))]

    chunks: list[int] = []
    segments = cut(length)
    for j, end in cut(steps):
        mine = [i for i, (first, _) in enumerate(segments) if j <= first < end]
        chunks += (j, end, *times(j, end), mine[0], len(mine))
    return chunks, [t for pair in segments for t in times(*pair)]
