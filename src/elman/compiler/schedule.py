"""Every tuning constant of the kernels, and what is decided from sizes by them alone.

A kernel is made with one schedule, which is part of its target. docs/decisions/ has the
measurements.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..rows import Rows


class Order(NamedTuple):
    """The order in which the weights' gradients are summed up over rows and steps.

    The batch is cut into parts of ``rows`` rows. Each part has its own sums, so threads need not
    wait for one another; the sums of all parts are added in the end. Within a part, segments of
    time follow one another, the last one first.
    """

    parts: int
    rows: int  # of a part; the last one may have fewer
    segment: int  # steps


def _bits(default: Any) -> Any:
    """A constant that decides the order of sums: with another value, results have other bits."""
    return field(default=default, metadata={"bits": True})


@dataclass(frozen=True)
class Schedule:
    """The constants. All but the first group decide where and when the same sums are done."""

    # -- order of summation

    parts: int = _bits(16)  # of a batch, at most: their number is a power of two
    rows_for_two_parts: int = _bits(4)  # of a batch: from so many on there are two parts
    rows_of_part: int = _bits(12)  # at least, if there are more than two
    steps_of_part: int = _bits(128)  # rows over all steps: as many are worth sums of their own
    segment_rows: int = _bits(128)  # over its steps: panels of weights' gradients are no deeper
    narrow_units: int = _bits(128)  # up to which a segment has twice as many rows
    depth_bytes: int = _bits(128 << 10)  # of inputs and states in a product of these panels
    depth_rows: tuple[int, int] = _bits((32, 256))  # of these, at least and at most
    #: Into how many sums a product is cut, if so many vectors, or more, are summed up at once.
    split_k: tuple[tuple[int, int], ...] = _bits(((7, 1), (3, 2), (0, 4)))

    # -- calls and slices

    #: Less work for each thread, and a region costs more than it saves. At 100 GFLOP/s it's 2
    #: microseconds. Entering a region takes 1 while its threads are awake, as a loop over small
    #: calls keeps them, and 8 and more once they sleep.
    flop_per_thread: float = 200_000
    ragged_slices: int = 4  # of a thread: rows of unequal length go to whoever is free
    #: Of weights: reading as many costs a thread as much as another one in a meeting, or less.
    meeting_bytes: int = 32 << 10
    #: Of all weights that a call reads, for a look at a counter before a thread of a team is late:
    #: waiting may take a fourth of what one thread takes (100 GB/s, 23 ns). And looks, at least.
    look_bytes: int = 8 << 10
    patience: int = 500
    piece_bytes: int = 96 << 10  # of a slice's projected inputs: they stay in the second cache
    written_bytes: int = 1 << 20  # of a forward pass: from so many on they are prefetched

    # -- packing

    pack_cycles: int = 9  # to pack a vector of units (Zen 4)
    rows_at_once: int = 16  # in the lanes of a vector: an unpacked weight takes them a cycle
    row_sum_cycles: int = 100  # besides, for the sums of an unpacked row
    unpacked_steps: int = 768  # rows of all steps of a backward pass: packing takes what it gains

    # -- the backward pass

    gate_bytes: int = 512 << 10  # of gradients at the gates of a chunk
    small_bytes: int = 128 << 10  # of the same, however short the call
    far_bytes: int = 4 << 20  # that it reads: from so many on they have left the second cache

    # -- code

    step_ahead: int = 4 << 10  # bytes that a step of many weights is ahead of what it reads
    step_meanwhile: int = 24 << 10  # bytes that it fetches during the activations of a block
    tile_rows: int = 8  # of a tile: taller ones load no less and leave more of a batch over
    row_vectors: int = 8  # of a block of a single row
    broadcast_units: int = 8  # at once, of unpacked rows: lines of a set of the first cache
    spins: int = 200  # looks at a counter before a thread that waits gives its core away
    team_spins: int = 2000  # the same of a thread of a team, whose work differs by less
    pipeline_pieces: int = 16  # of a pass beside others, if it has steps enough
    pipeline_steps: int = 8  # of such a piece, at least: the rows of a tile

    def splits_of(self, vectors: int) -> int:
        """Into how many independent sums each product is cut, by how many vectors of results are
        summed up at once.

        A fused multiply-add takes about four cycles and two can start in one: below eight
        independent accumulators a row alone would wait for itself. Narrow results get their
        accumulators by cutting the sum. It is the same for every tile shape, so that a row's bits
        don't depend on its company.
        """
        return next(cut for least, cut in self.split_k if vectors >= least)

    def order(self, rows: Rows, units: int) -> Order:
        """How the weights' gradients of a layer of so many hidden units are summed up."""
        two = 2 if self.rows_for_two_parts <= rows.B else 1
        most = min(self.parts, max(rows.B // self.rows_of_part, two), rows.N // self.steps_of_part)
        of_part = max(1, -(-rows.B // (1 << max(1, most).bit_length() - 1)))
        deep = self.segment_rows * (2 if units <= self.narrow_units else 1)
        return Order(-(-rows.B // of_part), of_part, -(-deep // of_part))

    def spans(self, rows: Rows, units: int) -> list[tuple[int, int]]:
        """The steps in spans (first, one past the last), in the order in which they run: between
        them states are kept where the steps of each run once more for the backward pass.

        A span is a few segments (:class:`Order`), so that the weights' gradients have the same bits
        whether all steps are kept or each span runs once more.
        """
        segment = self.order(rows, units).segment
        length = segment * -(-math.isqrt(4 * rows.T) // segment)
        pairs = list(itertools.pairwise([*range(0, rows.T, length), rows.T]))
        return [(rows.T - b, rows.T - a) for a, b in pairs] if rows.reverse else pairs

    def few_rows(self, rows: int, length: int) -> bool:
        """Whether rows are so few that weights are better not packed in a call of one step: to pack
        one takes longer than to multiply it as it lies. ``length`` is that of a unit's sum."""
        unpacked = rows * (length + self.row_sum_cycles)
        return unpacked <= self.rows_at_once * self.pack_cycles * length

    def chunk_steps(self, rows: Rows, order: Order, row_bytes: int, weight_bytes: int) -> int:
        """The steps of a chunk of the backward pass: whole segments of the order of summation.

        First the steps of a chunk run back. Then the gradients of the inputs and the weights are
        summed up, while the gradients at the gates are still in the cache. The weights' gradients
        are read and written once a chunk, so large weights ask for larger chunks. A chunk that is
        not small has half of the steps at most: its gradients are a good part of a short call's
        memory.
        """
        segment_bytes = max(1, order.segment * order.rows * row_bytes)
        fitting = max(self.gate_bytes, 2 * weight_bytes) // segment_bytes
        half = -(-rows.T // order.segment) // 2
        segments = max(1, self.small_bytes // segment_bytes, min(fitting, half))
        return min(rows.T, order.segment * segments)

    def depth(self, rows: int, row_bytes: int) -> int:
        """How many of so many rows side by side a product of the weights' gradients takes."""
        least, most = self.depth_rows
        deepest = max(least, min(most, self.depth_bytes // max(row_bytes, 1)))
        return -(-rows // -(-rows // deepest))

    def team(self, stage_bytes: int) -> int:
        """How many threads share the weights of a stage before they meet: with more, meetings would
        take longer than they save."""
        return math.isqrt(stage_bytes // max(1, self.meeting_bytes))

    def pipeline_piece(self, steps: int) -> int:
        """The steps of a pass's piece, so few that passes beside it need not wait for long."""
        return -(-steps // (self.pipeline_pieces * self.pipeline_steps)) * self.pipeline_steps


DEFAULT = Schedule()
