"""TiRex's recurrent cell in its form for any device, which rounds to bfloat16 at every step."""

from __future__ import annotations

import functools
from typing import Any

import torch
from tirex.models.slstm import cell as theirs
from torch import Tensor

from ..cell import Cell
from ..expr import where
from ..functions import abs as absolute
from ..functions import exp, log1p, maximum, minimum, round_to_bfloat16, sigmoid, tanh
from .taken import begins, blank, changed, printed_as, run, serves

_GATES = ("i", "f", "z", "o")


class _SLSTM(Cell):
    """The sLSTM with states and products that are rounded to bfloat16, and biases that are not."""

    gates = _GATES
    states = ("h", "c", "n", "m")
    inputs = _GATES
    vectors = tuple(f"b_{gate}" for gate in _GATES)

    def __init__(self, heads: int) -> None:
        self.heads = heads

    def step(self, _: Any, u: Any, s: Any) -> Any:
        i, f, z, o = (
            self.input(gate) + round_to_bfloat16(getattr(u, gate)) + self.vector(f"b_{gate}")
            for gate in _GATES
        )
        f = minimum(f, 15.0)
        kept = s.m + (minimum(f, 0.0) - log1p(exp(-absolute(f))))
        m = where(s.n > 0, maximum(i, kept), i)
        write, remember = minimum(exp(i - m), 1.0), minimum(exp(kept - m), 1.0)
        c = remember * s.c + write * tanh(z)
        n = remember * s.n + write
        return tuple(map(round_to_bfloat16, (sigmoid(o) * c / n, c, n, m)))


_cell = functools.cache(_SLSTM)


@printed_as(theirs.sLSTMCell)
class SLSTMCell(theirs.sLSTMCell):
    """TiRex's ``sLSTMCell`` by elman's kernels."""

    def forward(self, input: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        config, (kernel, bias) = self.config, (self._recurrent_kernel_, self._bias_)
        mine = self.backend == "torch" and serves(input, state, kernel, bias) and begins(state)
        if not mine:
            return super().forward(input, state)
        N, D, G = config.num_heads, config.head_dim, len(_GATES)
        x = self._get_input(input)
        T, B = x.shape[:2]
        begun = self._get_state(x, state)
        rounded = [t.bfloat16().to(t.dtype) for t in (x, begun, kernel)]
        x, begun, kernel = rounded
        output, states = run(
            _cell(N),
            blank(x, T, B),
            [*begun],
            {
                "weight_hh": kernel.view(N, D, G, D).permute(2, 0, 3, 1).reshape(-1, D),
                **{
                    f"weight_b_{gate}": own.flatten()
                    for gate, own in zip(_GATES, bias.view(N, G, D).unbind(1), strict=True)
                },
            },
            dict(zip(_GATES, x.reshape(T, B, G, N * D).unbind(2), strict=True)),
        )
        return self._permute_output(output), torch.stack(states)


def convert(module: torch.nn.Module) -> Any:
    """What a cell becomes, or why it is left alone."""
    kind, torch_loop = theirs.sLSTMCell, theirs.sLSTMCellTorch
    loop = torch_loop.slstm_forward
    if getattr(module, "_impl_forward_torch", loop) is not loop:
        return "its loop is compiled by torch: load the model without compile=True"
    parts = kind.forward, kind._impl_torch, kind._get_input, kind._get_state, kind._permute_output
    code = *parts, loop, torch_loop.slstm_forward_pointwise
    return changed("69002512d5f8", *code) or SLSTMCell
