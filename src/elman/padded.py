"""Padded rows that end early or begin anew, run as if they were packed.

A reset cuts a row into sequences, each of which begins with an initial state. Every sequence is a
row of a packed call, so kernels know neither of resets nor of lengths. They find the steps of the
sequences in the padded tensors; PyTorch's operations get copies of these steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from .rows import Rows


class Marks(NamedTuple):
    """Which steps of padded rows count, and where rows begin anew."""

    lengths: Tensor | None = None  # (B,) whole numbers from 0 to T; None if all steps count
    reset: Tensor | None = None  # (T, B) truth values: before these steps

    def within(self, T: int) -> Marks:
        """The same without the resets that lie beyond the lengths."""
        if self.lengths is None or self.reset is None:
            return self
        steps = torch.arange(T, device=self.lengths.device)[:, None]
        return self._replace(reset=self.reset & (steps < self.lengths))


@dataclass(frozen=True)
class Padded:
    """Where the sequences of padded rows are, the longest first.

    An initial state has ``B`` rows, or ``2 * B``: each row's own state, and behind it the one that
    a reset returns to (:func:`with_returns`). A state has ``L * D`` ways, a direction after the
    other.
    """

    packed: Rows  # of packed tensors
    order: Tensor  # the row of each sequence
    anew: Tensor  # (D, sequences) whether one begins at a reset, not with its row
    ends: Tensor  # (D, active rows) the sequence whose final state is the row's
    active: Tensor | None  # the rows with a step; None if that is every row
    lead: tuple[int, int]  # of the padded tensors
    batch_first: bool

    @property
    def height(self) -> int:
        """The rows of the padded tensors."""
        return self.lead[0] if self.batch_first else self.lead[1]

    def in_place(self, room: bool = False) -> Rows | None:
        """The rows for kernels that find them in the padded tensors. None for less than two, which
        other kernels run.

        With ``room`` there may be steps of no rows behind them, and rows of no steps where resets
        cut some: calls of other marks then have the same sizes, and what is prepared for one of
        them runs all.
        """
        T, B = self.lead[::-1] if self.batch_first else self.lead
        rows = self.packed
        if rows.B < 2:
            return None
        # As many rows over all steps as sum up weights' gradients in as many parts: `schedule`.
        found = rows._replace(N=min(T * B, _up(rows.N + 1, 128) - 1), padded=(T, B))
        if not room:
            return found
        return _enlarged(found, min(T, _up(rows.T, 16)), rows.B if rows.B <= B else _up(rows.B, 8))

    @cached_property
    def places(self) -> Tensor:
        """Of every step that counts, in the order of packed rows: its place in the padded tensor,
        flattened."""
        return places_of(self.packed, self.lead, self.batch_first).to(self.order.device)

    def select(self, x: Tensor) -> Tensor:
        """The steps that count, ``(N, F)``, of ``(T, B, F)``."""
        if not len(self.order):
            return x[:, :0]  # padded rows of an empty batch
        if self.batch_first:  # as it lies in memory
            x = x.transpose(0, 1)
        return x.flatten(0, 1).index_select(0, self.places)

    def restore(self, output: Tensor) -> Tensor:
        """The output ``(T, B, F)``, with zeros where nothing was computed."""
        padded = restore(output.flatten(0, -2), self.places, self.lead)
        return padded.transpose(0, 1) if self.batch_first else padded

    def sum_rows(self, found: Tensor) -> Tensor:
        """The sums over the sequences ``(S, ...)`` of every row."""
        return found.new_zeros(self.height, *found.shape[1:]).index_add_(0, self.order, found)

    def select_state(self, state: Tensor | None) -> Tensor | None:
        """What the sequences begin with; None stands for zeros."""
        return None if state is None else _pick(state, self._begins(state.shape[1]))

    def restore_state(self, final: Tensor, initial: Tensor | None) -> Tensor:
        """The final state of every row; rows without a step keep their initial state."""
        ended = _pick(final, self.ends)
        if self.active is None:
            return ended
        if initial is None:
            initial = final.new_zeros(final.shape[0], self.height, final.shape[2])
        return begin_and_return(initial, self.height)[0].index_copy(1, self.active, ended)

    def pull_final(self, arrived: Tensor) -> Tensor:
        """The gradient of the sequences' final states, given that of :meth:`restore_state`."""
        mine = arrived if self.active is None else arrived.index_select(1, self.active)
        return _put(mine, self.ends, len(self.order))

    def pull_initial(self, found: Tensor, arrived: Tensor, count: int) -> Tensor:
        """The gradient of an initial state of so many rows, given those of what the sequences begin
        with, and of the rows' final states."""
        total = _put(found, self._begins(count), count)
        if self.active is not None:  # the others hand their initial state through
            through = arrived.index_fill(1, self.active, 0)
            total[:, :: count // self.height] += through
        return total

    def _begins(self, count: int) -> Tensor:
        """The row of an initial state with so many rows from which each sequence begins."""
        return (
            self.order.expand_as(self.anew) if count == self.height else 2 * self.order + self.anew
        )


def with_returns(initial: Tensor | None, returns: Tensor | None) -> Tensor | None:
    """An initial state ``(L*D, B, H)`` and the one that a reset returns to, as ``(L*D, 2*B, H)``;
    None stands for zeros.

    Both of a row lie side by side, so that ``vmap`` may fold a mapped dimension into the rows.
    """
    if initial is None:
        if returns is None:
            return None
        initial = torch.zeros_like(returns)
    elif returns is None:
        returns = torch.zeros_like(initial)
    return torch.stack([initial, returns], 2).flatten(1, 2)


def begin_and_return(initial: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """What so many rows begin with, and what a reset returns to, of ``(..., rows, H)``."""
    if initial.shape[-2] == height:
        return initial, initial
    return initial[..., ::2, :], initial[..., 1::2, :]


def _up(number: int, of: int) -> int:
    """The next multiple."""
    return -(-number // of) * of


def _enlarged(rows: Rows, T: int, B: int) -> Rows:
    """So many steps and rows: behind those that there are some without rows, and without steps."""
    if rows[:2] == (T, B) or rows.counts is None or rows.offsets is None:
        return rows
    offsets, *places = np.split(rows.offsets.numpy(), [rows.T, rows.T + rows.B])
    tables = (rows.counts.numpy(), T), (offsets, T), *((table, B) for table in places)
    counts, *others = (np.append(table, np.zeros(n - len(table), int)) for table, n in tables)
    given = torch.from_numpy(counts), torch.from_numpy(np.concatenate(others))
    return rows._replace(T=T, B=B, counts=given[0], offsets=given[1])


def with_room(state: Tensor | None, rows: Rows) -> Tensor | None:
    """An initial state ``(L*D, sequences, H)`` with zeros for rows of no steps."""
    if state is None or state.shape[1] == rows.B:
        return state
    return pad(state, (0, 0, 0, rows.B - state.shape[1]))


def places_of(rows: Rows, lead: tuple[int, int], batch_first: bool = False) -> Tensor:
    """Of every step of such rows, in the order of packed ones: its place in a padded tensor with
    these first dimensions, flattened."""
    if rows.counts is None or rows.offsets is None:
        return torch.zeros(0, dtype=torch.int64)
    counts, tables = rows.counts.numpy(), rows.offsets.numpy()
    offsets, begins, columns = np.split(tables, [rows.T, rows.T + rows.B])
    steps = np.repeat(np.arange(rows.T), counts)
    ranks = np.arange(len(steps)) - np.repeat(offsets, counts)
    times, columns = begins[ranks] + steps, columns[ranks]
    return torch.from_numpy(columns * lead[1] + times if batch_first else times * lead[1] + columns)


def restore(packed: Tensor, places: Tensor, lead: tuple[int, int]) -> Tensor:
    """A padded tensor with these first dimensions from its steps ``(N, F)`` at these places, and
    zeros elsewhere."""
    total = lead[0] * lead[1]
    new = packed.new_zeros if total > len(packed) else packed.new_empty
    flat = new(total, packed.shape[-1])
    return flat.index_copy_(0, places, packed).unflatten(0, lead)


def dropout_of(x: Tensor, p: float, rows: Rows) -> Tensor:
    """``torch.dropout`` of a tensor with these rows. For a padded one as many numbers are drawn as
    for a packed one."""
    if rows.padded is None:
        return torch.dropout(x, p, True)
    places = places_of(rows, rows.padded)
    drawn = torch.dropout(x.new_ones(()).expand(len(places), x.shape[-1]), p, True)
    return x * restore(drawn, places, rows.padded)


def _pick(state: Tensor, index: Tensor) -> Tensor:
    """``(W, m, H)`` of ``(W, n, H)`` by an index ``(D, m)``, of which ways repeat the rows."""
    if len(index) == 1:
        return state.index_select(1, index[0])
    W, n, H = state.shape
    found = state.flatten(0, 1).index_select(0, _of_ways(index, W, n))
    return found.view(W, index.shape[1], H)


def _put(found: Tensor, index: Tensor, n: int) -> Tensor:
    """The transpose of :func:`_pick`."""
    W, _, H = found.shape
    if len(index) == 1:
        return found.new_zeros(W, n, H).index_add_(1, index[0], found)
    made = found.new_zeros(W * n, H)
    return made.index_add_(0, _of_ways(index, W, n), found.flatten(0, 1)).view(W, n, H)


def _of_ways(index: Tensor, W: int, n: int) -> Tensor:
    ways = torch.arange(W, device=index.device)[:, None]
    return (index.repeat(W // len(index), 1) + n * ways).flatten()


def pack(
    marks: Marks, T: int, B: int, directions: int, batch_first: bool, device: torch.device
) -> Padded:
    """Where the sequences are that ``marks``, on the CPU, make of ``B`` rows of ``T`` steps.

    By NumPy, whose functions take a third of the time of PyTorch's at such sizes; those that it
    has in Python take as long.
    """
    lengths, reset = (None if t is None else t.numpy() for t in marks)
    row, begin, size, first, last = _cut(lengths, reset, T, B)
    S = len(row)
    by = (-size).argsort(kind="stable")
    order, falling = row[by], size[by]
    rows = Rows(T, 0, 0)
    if S:
        counts = S - np.bincount(falling)[:-1].cumsum()
        offsets = np.concatenate((counts.cumsum() - counts, begin[by], order))
        tables = torch.from_numpy(counts), torch.from_numpy(offsets)
        rows = Rows(len(counts), S, int(counts.sum()), *tables)
    anew = ~np.array((first, last))
    if reset is not None:  # which cuts nothing off before the first step, where reverse ends
        anew[0] |= reset[begin, row]
    place = np.empty(S, np.int64)
    place[by] = np.arange(S)
    ends = np.array((place[last], place[first]))
    active = row[last]

    def on_device(found: Any) -> Tensor:
        return torch.from_numpy(found).to(device)

    return Padded(
        packed=rows,
        order=on_device(order),
        anew=on_device(anew[:directions, by]),
        ends=on_device(ends[:directions]),
        active=None if len(active) == B else on_device(active),
        lead=(B, T) if batch_first else (T, B),
        batch_first=batch_first,
    )


def _cut(lengths: Any, reset: Any, T: int, B: int) -> tuple[Any, Any, Any, Any, Any]:
    """The sequences of rows, one row after the other: their row, first step and size, and whether
    they are the row's first one and its last one."""
    if reset is None:
        row = np.arange(B) if lengths is None else lengths.nonzero()[0]
        every = np.ones(len(row), bool)
        size = np.full(B, T) if lengths is None else lengths[row]
        return row, np.zeros(len(row), np.int64), size, every, every
    begins = reset.T.copy()
    begins[:, :1] = True
    if lengths is not None:
        begins &= np.arange(T) < lengths[:, None]
    row, begin = begins.nonzero()
    first, last = np.ones((2, len(row)), bool)
    first[1:] = last[:-1] = row[1:] != row[:-1]
    size = -begin
    size[:-1] += begin[1:]
    size[last] = (T if lengths is None else lengths[row[last]]) - begin[last]
    return row, begin, size, first, last
