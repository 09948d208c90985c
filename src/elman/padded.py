"""Padded rows that end early or begin anew, run as if they were packed.

A reset cuts a row into sequences, each of which begins with an initial state. Every sequence is a
row of a packed call, so kernels know neither of resets nor of lengths.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

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


class Padded(NamedTuple):
    """Where the sequences of padded rows are, the longest first.

    An initial state has ``B`` rows, or ``2 * B``: each row's own state, and behind it the one that
    a reset returns to (:func:`with_returns`). A state has ``L * D`` ways, a direction after the
    other.
    """

    rows: Rows
    order: Tensor  # the row of each sequence
    places: Tensor  # of every step that counts in the flattened padded tensor, in the order of rows
    anew: Tensor  # (D, sequences) whether one begins at a reset, not with its row
    ends: Tensor  # (D, active rows) the sequence whose final state is the row's
    active: Tensor | None  # the rows with a step; None if that is every row
    lead: tuple[int, int]  # of the padded tensors
    batch_first: bool

    @property
    def height(self) -> int:
        """The rows of the padded tensors."""
        return self.lead[0] if self.batch_first else self.lead[1]

    def select(self, x: Tensor) -> Tensor:
        """The steps that count, ``(N, F)``, of ``(T, B, F)``."""
        if not len(self.order):
            return x[:, :0]  # padded rows of an empty batch
        if self.batch_first:  # as it lies in memory
            x = x.transpose(0, 1)
        return x.flatten(0, 1).index_select(0, self.places)

    def restore(self, output: Tensor) -> Tensor:
        """The output ``(T, B, F)``, with zeros where nothing was computed."""
        total = self.lead[0] * self.lead[1]
        new = output.new_zeros if total > self.rows.N else output.new_empty
        flat = new(total, output.shape[-1])
        flat = flat.index_copy_(0, self.places, output.flatten(0, -2)).unflatten(0, self.lead)
        return flat.transpose(0, 1) if self.batch_first else flat

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
        return halves(initial, self.height)[0].index_copy(1, self.active, ended)

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


def halves(initial: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """What so many rows begin with, and what a reset returns to, of ``(..., rows, H)``."""
    if initial.shape[-2] == height:
        return initial, initial
    return initial[..., ::2, :], initial[..., 1::2, :]


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

    By NumPy, whose functions take a third of the time of PyTorch's at such sizes.
    """
    lengths, reset = (None if t is None else t.numpy() for t in marks)
    row, begin, size, last = _cut(lengths, reset, T, B)
    S, first = len(row), np.roll(last, 1)  # whether a sequence is its row's first one
    by = np.argsort(-size, kind="stable")
    order, falling = row[by], size[by]
    rows, places = Rows(T, 0, 0), order
    if S:
        counts = S - np.bincount(falling).cumsum()[:-1]
        offsets = counts.cumsum() - counts
        steps = np.repeat(np.arange(len(counts)), counts)
        ranks = np.arange(len(steps)) - np.repeat(offsets, counts)
        origins = order * T + begin[by] if batch_first else order + begin[by] * B
        places = origins[ranks] + (steps if batch_first else steps * B)
        tables = torch.from_numpy(counts), torch.from_numpy(offsets)
        rows = Rows(len(counts), S, len(steps), *tables)
    anew = np.stack([~first, ~last])
    if reset is not None:  # which cuts nothing off before the first step, where reverse ends
        anew[0] |= reset[begin, row]
    place = np.empty_like(by)
    place[by] = np.arange(S)
    ends = np.stack([place[last], place[first]])
    active = row[last]

    def on_device(found: Any) -> Tensor:
        return torch.from_numpy(found).to(device)

    return Padded(
        rows=rows,
        order=on_device(order),
        places=on_device(places),
        anew=on_device(anew[:directions, by]),
        ends=on_device(ends[:directions]),
        active=None if len(active) == B else on_device(active),
        lead=(B, T) if batch_first else (T, B),
        batch_first=batch_first,
    )


def _cut(lengths: Any, reset: Any, T: int, B: int) -> tuple[Any, Any, Any, Any]:
    """The sequences of rows, one row after the other: their row, first step and size, and whether
    they are the row's last one."""
    if reset is None:
        row = np.arange(B) if lengths is None else np.flatnonzero(lengths)
        begin = np.zeros_like(row)
    else:
        begins = reset.T.copy()
        begins[:, :1] = True
        if lengths is not None:
            begins &= np.arange(T) < lengths[:, None]
        row, begin = np.divmod(np.flatnonzero(begins), T)
    last = np.ones(len(row), dtype=bool)
    last[:-1] = row[1:] != row[:-1]
    ends = np.where(last, T if lengths is None else lengths[row], np.roll(begin, -1))
    return row, begin, ends - begin, last
