"""xlstm's recurrent cell in its form for any device."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from xlstm.blocks.slstm import cell as theirs
from xlstm.blocks.slstm.src.vanilla import slstm_forward
from xlstm.blocks.slstm.src.vanilla.lstm import slstm_forward_pointwise as _lstm
from xlstm.blocks.slstm.src.vanilla.slstm import slstm_forward_pointwise as _slstm

from ..cell import Cell
from ..cells import SLSTM
from ..functions import sigmoid, tanh
from .taken import begins, blank, changed, printed_as, run, serves

_GATES = ("i", "f", "z", "o")


class _Gates:
    """What the input brings to each gate, read as ``x.gate`` is."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def __getattr__(self, gate: str) -> Any:
        return self._cell.input(gate)


class _SLSTM(SLSTM):
    inputs = _GATES

    def step(self, _: Any, u: Any, s: Any) -> Any:
        return super().step(_Gates(self), u, s)


class _LSTM(Cell):
    gates = _GATES
    states = ("h", "c")
    inputs = _GATES

    def __init__(self, heads: int) -> None:
        self.heads = heads

    def step(self, _: Any, u: Any, s: Any) -> Any:
        i, f, o = (sigmoid(self.input(k) + getattr(u, k)) for k in "ifo")
        c = f * s.c + i * tanh(self.input("z") + u.z)
        return o * tanh(c), c


@functools.cache
def _cell(function: str, heads: int) -> Cell:
    return _SLSTM(heads=heads) if function == "slstm" else _LSTM(heads)


@printed_as(theirs.sLSTMCell_vanilla)
class SLSTMCell(theirs.sLSTMCell_vanilla):
    """``xlstm``'s ``sLSTMCell_vanilla`` by elman's kernels."""

    def forward(
        self, input: Tensor, state: Tensor | None = None, lengths: Any = None
    ) -> tuple[Tensor, Tensor]:
        config, (kernel, bias) = self.config, (self._recurrent_kernel, self._bias)
        if not serves(input, state, kernel, bias) or not begins(state):
            return super().forward(input, state, lengths)
        self._check_input(input)
        N, D = config.num_heads, config.head_dim
        x = self._permute_input(input)
        T, B = x.shape[:2]
        gates = x.view(T, B, len(_GATES), N * D).unbind(2)
        output, states = run(
            _cell(config.function, N),
            blank(x, T, B),
            [*self._get_state(x, state)],
            {
                "weight_hh": kernel.view(N, len(_GATES), D, D).transpose(0, 1).reshape(-1, D),
                "bias_hh": bias.view(len(_GATES), N * D).flatten(),
            },
            dict(zip(_GATES, gates, strict=True)),
        )
        return self._permute_output(output), torch.stack(states)


def convert(_: torch.nn.Module) -> Any:
    """What a cell becomes, or why it is left alone."""
    vanilla, base = theirs.sLSTMCell_vanilla, theirs.sLSTMCellBase
    return changed("9f5ea177a51e", vanilla._impl, base.forward, slstm_forward, _lstm, _slstm) or (
        SLSTMCell
    )
