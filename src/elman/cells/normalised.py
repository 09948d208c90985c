"""LSTM and GRU with layer normalisation, in the variant of its paper's supplement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..cell import Cell
from ..functions import sigmoid, tanh
from ..reductions import layer_norm
from .initial import set_vectors

_SOURCE = ("gain_x", "gain_h", "shift")  # of a gate: of the input's part, of the state's, of both


class _LayerNorm(Cell):
    """Gains begin as one, shifts as zero."""

    def __init__(self, eps: float = 1e-5) -> None:
        self.eps = eps

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        set_vectors(parameters, **{v: float(v.startswith("gain")) for v in self.vectors})

    def _joint(self, x: Any, u: Any, gates: str) -> list[Any]:
        """Inputs and products of several gates, each normalised as one row of all of them."""
        rows = [layer_norm(*(getattr(v, k) for k in gates), eps=self.eps) for v in (x, u)]
        return [
            self.vector(f"gain_x_{k}") * a
            + self.vector(f"gain_h_{k}") * b
            + self.vector(f"shift_{k}")
            for k, a, b in zip(gates, *rows, strict=True)
        ]


class LayerNormLSTM(_LayerNorm):
    """The LSTM with layer normalisation LN of its inputs, its products and its cell.

    ``(i, f, g, o) = gain_x * LN(W x_t + b_ih) + gain_h * LN(U h_{t-1} + b_hh) + shift``, where a
    row of LN is all four gates, ``c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)``,
    ``h_t = sigmoid(o) * tanh(gain_c * LN(c_t) + shift_c)``. The cell itself is kept as it is.

    The paper has no biases within LN: ``bias=False`` gives exactly its form. Its two shifts of a
    gate are one here, the same function. Gains begin as one, shifts as zero.

    Use it for an LSTM that trains unstably or slowly, and small batches.

    Args:
        eps: added to the variance.

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450 (2016).

    >>> import elman, torch
    >>> net = elman.Recurrent(LayerNormLSTM, 3, 4, bias=False)  # the paper's form
    >>> net(torch.rand(5, 2, 3))[0].shape
    torch.Size([5, 2, 4])
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    vectors = (*(f"{v}_{k}" for v in _SOURCE for k in "ifgo"), "gain_c", "shift_c")
    keeps = ("shift_f",)
    writes = ("shift_i",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        i, f, g, o = self._joint(x, u, "ifgo")
        c = sigmoid(f) * s.c + sigmoid(i) * self.candidate(tanh(g))
        normal = self.vector("gain_c") * layer_norm(c, eps=self.eps) + self.vector("shift_c")
        return sigmoid(o) * tanh(normal), c


class LayerNormGRU(_LayerNorm):
    """The GRU with layer normalisation LN of its inputs and its products.

    ``(z, r) = gain_x * LN(W x_t + b_ih) + gain_h * LN(U h_{t-1} + b_hh) + shift``, where a row of
    LN is both gates, ``n = tanh(LN'(W_n x_t + b_ih) + sigmoid(r) * LN'(U_n h_{t-1} + b_hh))``,
    where LN' has a gain and a shift of its own each time,
    ``h_t = (1 - sigmoid(z)) * h_{t-1} + sigmoid(z) * n``: z is the share of what is new, as in the
    paper, and not of what stays, as in ``torch.nn.GRU``.

    The paper has no biases within LN: ``bias=False`` gives exactly its form. Gains begin as one,
    shifts as zero.

    Use it for a GRU that trains unstably or slowly, and small batches.

    Args:
        eps: added to the variance.

    Source: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450 (2016).

    >>> import elman, torch
    >>> net = elman.Recurrent(LayerNormGRU, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("z", "r", "n")
    vectors = (
        *(f"{v}_{k}" for v in _SOURCE for k in "zr"),
        *("gain_x_n", "gain_h_n", "shift_x_n", "shift_h_n"),
    )
    writes = ("shift_z",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z, r = (sigmoid(gate) for gate in self._joint(x, u, "zr"))
        a = self.vector("gain_x_n") * layer_norm(x.n, eps=self.eps) + self.vector("shift_x_n")
        b = self.vector("gain_h_n") * layer_norm(u.n, eps=self.eps) + self.vector("shift_h_n")
        return (1 - z) * s.h + z * self.candidate(tanh(a + r * b))
