"""Padded rows of different lengths, run as if they were packed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .batch import Rows


class Padded(NamedTuple):
    """Where the steps that count are. Rows without any take no part."""

    rows: Rows
    order: Tensor  # the rows that take part, the longest first
    places: Tensor  # of every step that counts in the flattened padded tensor, in the order of rows
    lead: tuple[int, int]  # of the padded tensors
    batch_first: bool

    def select(self, x: Tensor) -> Tensor:
        """The steps that count, ``(N, F)``, of ``(T, B, F)``."""
        if not len(self.order):
            return x[:, :0]  # padded rows of an empty batch
        if self.batch_first:  # as it lies in memory
            x = x.transpose(0, 1)
        return x.flatten(0, 1).index_select(0, self.places)

    def restore(self, output: Tensor) -> Tensor:
        """The output in the form of the padded input, with zeros where nothing was computed."""
        flat = output.new_zeros(self.lead[0] * self.lead[1], output.shape[-1])
        filled = flat.index_copy(0, self.places, output.flatten(0, -2))
        return filled.unflatten(0, self.lead)

    def restore_rows(self, found: Tensor) -> Tensor:
        """All rows of ``(B, ...)``, with zeros for those that took no part."""
        B = self.lead[0] if self.batch_first else self.lead[1]
        return found.new_zeros(B, *found.shape[1:]).index_copy(0, self.order, found)

    def select_state(self, state: Tensor | None) -> Tensor | None:
        """The rows of ``(D, B, H)`` that take part; None stands for zeros."""
        return None if state is None else state.index_select(1, self.order)

    def restore_state(self, final: Tensor, initial: Tensor | None) -> Tensor:
        """All rows; those that took no part keep their initial state."""
        if initial is None:
            B = self.lead[0] if self.batch_first else self.lead[1]
            initial = final.new_zeros(final.shape[0], B, final.shape[2])
        return initial.index_copy(1, self.order, final)


def pack(lengths: Tensor, T: int, batch_first: bool, device: torch.device) -> Padded:
    """Where the steps are that count, if of row ``b`` the first ``lengths[b]`` do.

    ``lengths`` are whole numbers of 64 bits between 0 and ``T``, ``(B,)``, on the CPU.
    """
    B = len(lengths)
    falling, order = lengths.sort(descending=True, stable=True)
    falling = falling[falling > 0]
    order = order[: len(falling)]
    if not len(order):
        rows, steps, ranks = Rows(T, 0, 0), order, order
    else:
        active = torch.arange(int(falling[0]))[:, None] < falling
        steps, ranks = active.nonzero(as_tuple=True)
        counts = active.sum(1)
        rows = Rows(len(counts), len(order), len(steps), counts, counts.cumsum(0) - counts)
    batch = order[ranks]
    places = batch * T + steps if batch_first else steps * B + batch
    lead = (B, T) if batch_first else (T, B)
    return Padded(rows, order.to(device), places.to(device), lead, batch_first)
