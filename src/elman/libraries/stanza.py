"""Stanza's LSTM with dropout of what recurs: the same mask at every step of a row."""

from __future__ import annotations

from typing import Any

import torch
from stanza.models.common.packed_lstm import LSTMwRecDropout
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .. import cells, functions
from ..cell import Cell
from ..nn import LSTMCell
from ..nn.arguments import ragged
from ..rows import Rows
from .taken import changed, plain, printed_as, run, serves


class _Masked(Cell):
    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    inputs = ("mask",)

    def step(self, x: Any, _: Any, s: Any) -> Any:
        h = s.h * self.input("mask")
        i, f, g, o = (getattr(x, k) + self.product(k, h) for k in "ifgo")
        c = functions.sigmoid(f) * s.c + functions.sigmoid(i) * functions.tanh(g)
        return functions.sigmoid(o) * functions.tanh(c), c


_PLAIN, _MASKED = cells.LSTM(), _Masked()


@printed_as(LSTMwRecDropout)
class LSTMWithRecurrentDropout(LSTMwRecDropout):
    """``stanza``'s ``LSTMwRecDropout`` by elman's kernels, with its random numbers."""

    def forward(self, input: PackedSequence, hx: Any = None) -> Any:
        x, sizes = input.data, input.batch_sizes
        cells = [plain(cell, torch.nn.LSTMCell, LSTMCell) for cell in self.cells]
        if not (all(cells) and serves(x, *self.parameters(), *(hx or ()))):
            return super().forward(input, hx)
        rows = ragged(type(self).__name__, sizes, x.shape[0])
        row, back = _places(sizes)
        finals: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            if self.dropout > 0 and layer > 0:
                x = self.drop(x)
            outputs = []
            for way in range(self.num_directions):
                at = layer * self.num_directions + way
                begin = [None, None] if hx is None else [hx[0][at], hx[1][at]]
                taken = x[back] if way else x
                h, final = self._run(self.cells[at], taken, begin, rows, row)
                outputs.append(h[back] if way else h)
                finals.append(final)
            x = torch.cat(outputs, 1) if len(outputs) > 1 else outputs[0]
        return PackedSequence(x, sizes), tuple(map(torch.stack, zip(*finals, strict=True)))

    def _run(
        self, cell: Any, x: Tensor, begin: list[Tensor | None], rows: Rows, row: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """One layer in one direction."""
        weights = dict(cell.named_parameters())  # as they are: the cell is a plain one
        mask = self.rec_drop(x.new_ones(rows.B, self.hidden_size))
        if self.training and self.rec_drop.p:
            return run(_MASKED, x, begin, weights, {"mask": mask[row]}, rows)
        return run(_PLAIN, x, begin, weights, rows=rows)


def _places(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Of each place in packed rows: its row, and the place of the same row as many steps from the
    other end."""
    row = torch.cat([torch.arange(n) for n in sizes.tolist()])
    step = torch.arange(len(sizes)).repeat_interleave(sizes)
    length = (sizes[:, None] > torch.arange(int(sizes[0]))).sum(0)
    first = sizes.cumsum(0) - sizes
    return row, first[length[row] - 1 - step] + row


def convert(_: torch.nn.Module) -> Any:
    """What a layer becomes, or why it is left alone."""
    return changed("af00668c3201", LSTMwRecDropout.forward) or LSTMWithRecurrentDropout
