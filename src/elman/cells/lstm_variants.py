"""Relatives of the LSTM: gates that see the cell, gates left out, gates found by search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..expr import where
from ..functions import exp, maximum, relu, sigmoid, softplus, tanh
from .activation import Activated
from .initial import blocks, set_bias


class PeepholeLSTM(Activated):
    """The LSTM whose gates also see the cell, each unit its own.

    ``i = sigmoid(W x_t + U h_{t-1} + b + p_i * c_{t-1})``, f likewise,
    ``c_t = f * c_{t-1} + i * tanh(W_g x_t + U_g h_{t-1} + b_g)``,
    ``o = sigmoid(W x_t + U h_{t-1} + b + p_o * c_t)``, ``h_t = o * tanh(c_t)``. The peepholes are
    the vectors ``ci``, ``cf`` and ``co``.

    Use it for timing: how many steps passed between two events.

    Args:
        activation: an activation in place of tanh, by its name or a function.
        recurrent_activation: an activation of the gates in place of sigmoid.

    Raises:
        ValueError: for an unknown activation.

    Source: F. A. Gers, J. Schmidhuber, "Recurrent nets that time and count", IJCNN (2000).

    >>> import elman, torch
    >>> net = elman.Recurrent(PeepholeLSTM, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    vectors = ("ci", "cf", "co")
    keeps = ("f",)
    writes = ("i",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        i = self.gate(x.i + u.i + self.vector("ci") * s.c)
        f = self.gate(x.f + u.f + self.vector("cf") * s.c)
        c = f * s.c + i * self.candidate(self.act(x.g + u.g))
        return self.gate(x.o + u.o + self.vector("co") * c) * self.act(c), c


class CoupledLSTM(Activated):
    """The LSTM that forgets where it writes: ``c_t = (1 - i) * c_{t-1} + i * g``.

    i, o and g are the LSTM's, and ``h_t = o * tanh(c_t)``. The paper's has peepholes besides.

    Use it for an LSTM with a quarter fewer weights; its paper finds no significant loss.

    Args:
        activation: an activation in place of tanh, by its name or a function.
        recurrent_activation: an activation of the gates in place of sigmoid.

    Raises:
        ValueError: for an unknown activation.

    Source: K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink, J. Schmidhuber, "LSTM: a
    search space odyssey", IEEE Transactions on Neural Networks and Learning Systems 28 (2017).

    >>> import elman, torch
    >>> net = elman.Recurrent(CoupledLSTM, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("i", "g", "o")
    states = ("h", "c")
    writes = ("i",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        i, o = self.gate(x.i + u.i, x.o + u.o)
        c = (1 - i) * s.c + i * self.candidate(self.act(x.g + u.g))
        return o * self.act(c), c


class JANET(Cell):
    """Just another network: the forget gate alone.

    ``a = W x_t + U h_{t-1} + b``,
    ``h_t = sigmoid(a) * h_{t-1} + (1 - sigmoid(a - beta)) * tanh(W_g x_t + U_g h_{t-1} + b_g)``.

    The bias of the gate begins as the logarithm of a number drawn from ``[1, horizon - 1]``, so
    that units remember for as many steps; the other begins as zero.

    Use it for long memory at half the weights of an LSTM, if the longest dependency is known.

    Args:
        beta: by how much less is written than forgotten.
        horizon: the longest dependency expected, in steps, at least 2.

    Raises:
        ValueError: for a horizon below 2.

    Source: J. van der Westhuizen, J. Lasenby, "The unreasonable effectiveness of the forget gate",
    arXiv:1804.04849 (2018).

    >>> import elman, torch
    >>> net = elman.Recurrent(JANET, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("f", "g")
    keeps = ("f",)

    def __init__(self, beta: float = 1.0, horizon: int = 100) -> None:
        if not horizon >= 2:
            raise ValueError(f"horizon must be at least 2 steps, got {horizon!r}")
        self.beta, self.horizon = beta, horizon

    def step(self, x: Any, u: Any, s: Any) -> Any:
        a = x.f + u.f
        g = self.candidate(tanh(x.g + u.g))
        return sigmoid(a) * s.h + (1 - sigmoid(a - self.beta)) * g

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        for block in blocks(self, parameters, "bias_ih").values():
            drawn = torch.empty_like(block).uniform_(1, self.horizon - 1)
            set_bias(self, parameters, "f", drawn.log())
        set_bias(self, parameters, "g", 0.0)


class MultiplicativeLSTM(Cell):
    """The LSTM whose products take ``m = (W_m x_t + b) * (U_m h_{t-1} + b)`` in place of h.

    Use it for text at the level of characters: the recurrent weights depend on the input.

    Source: B. Krause, I. Murray, S. Renals, L. Lu, "Multiplicative LSTM for sequence modelling",
    ICLR workshop (2017), arXiv:1609.07959 (2016).

    >>> import elman, torch
    >>> net = elman.Recurrent(MultiplicativeLSTM, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("m", "i", "f", "g", "o")
    states = ("h", "c")
    keeps = ("f",)
    writes = ("i",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        m = x.m * u.m
        i, f, g, o = (getattr(x, gate) + self.product(gate, m) for gate in "ifgo")
        c = sigmoid(f) * s.c + sigmoid(i) * self.candidate(tanh(g))
        return sigmoid(o) * tanh(c), c


class SLSTM(Cell):
    """The sLSTM of xLSTM: exponential gates, a normaliser n and a stabiliser m.

    i, f, z and o are each ``W x_t + U h_{t-1} + b``, and F is ``log(sigmoid(f))``, or f itself.
    ``m_t = max(F + m_{t-1}, i)``, ``f' = exp(F + m_{t-1} - m_t)``, ``i' = exp(i - m_t)``,
    ``c_t = f' * c_{t-1} + i' * tanh(z)``, ``n_t = f' * n_{t-1} + i'``,
    ``h_t = sigmoid(o) * c_t / n_t``.

    All states begin as zeros. While ``n_{t-1}`` is zero nothing is remembered, and ``m_t = i``:
    so do the authors' programs, and ``n_t`` is then one, whatever the input. Given initial states
    belong together, n at least zero. The normalisation and projections of the block around the
    cell are left out. The authors' biases of the forget gate differ from unit to unit and with the
    place of the block; here all begin as ``forget_bias``.

    Use it for language models that must revise what they stored: exponential gates can
    overwrite it.

    Args:
        forget: ``"sigmoid"`` or ``"exp"``, the forget gate's function: F is its logarithm.
        forget_bias: what the bias of the forget gate begins as.
        heads: how many parts of the units have a recurrent matrix each; the paper's blocks have 4.

    Raises:
        ValueError: for another ``forget``.

    Source: M. Beck et al., "xLSTM: extended long short-term memory", NeurIPS (2024).

    >>> import elman, torch
    >>> net = elman.Recurrent(SLSTM(heads=2), 3, 4)
    >>> output, (h, c, n, m) = net(torch.rand(5, 2, 3))
    >>> net.weight_hh_l0.shape, output.shape
    (torch.Size([16, 2]), torch.Size([5, 2, 4]))
    """

    gates = ("i", "f", "z", "o")
    states = ("h", "c", "n", "m")
    keeps = ("f",)
    writes = ("i",)

    def __init__(self, forget: str = "sigmoid", forget_bias: float = 3.0, heads: int = 1) -> None:
        if forget not in ("sigmoid", "exp"):
            raise ValueError(f"forget must be 'sigmoid' or 'exp', got {forget!r}")
        self.forget, self.forget_bias, self.heads = forget, forget_bias, heads

    def step(self, x: Any, u: Any, s: Any) -> Any:
        i, f = x.i + u.i, x.f + u.f
        kept = (f if self.forget == "exp" else -softplus(-f)) + s.m
        m = where(s.n > 0, maximum(kept, i), i)
        remember = where(s.n > 0, exp(where(s.n > 0, kept - m, 0.0)), 0.0)
        write = exp(i - m)
        c = remember * s.c + write * self.candidate(tanh(x.z + u.z))
        n = remember * s.n + write
        return sigmoid(x.o + u.o) * (c / n), c, n, m

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        set_bias(self, parameters, "f", self.forget_bias)


class NASCell(Cell):
    """The cell that a search found, as its authors programmed it for TensorFlow.

    With ``x_k = W_k x_t + b`` and ``u_k = U_k h_{t-1} + b``:
    ``p = tanh(sigmoid(x_1 + u_1) * relu(x_2 + u_2))``,
    ``q = tanh(sigmoid(x_3 + u_3) + relu(x_4 * u_4))``,
    ``r = tanh(tanh(x_5 + u_5) * sigmoid(x_6 + u_6))``,
    ``v = sigmoid(tanh(x_7 + u_7) + sigmoid(x_8 + u_8))``,
    ``c_t = tanh(p + c_{t-1}) * q``, ``h_t = tanh(c_t * tanh(r + v))``.

    Use it for language models of the size that the search was for; it costs twice an LSTM.

    Source: B. Zoph, Q. V. Le, "Neural architecture search with reinforcement learning", ICLR
    (2017), arXiv:1611.01578 (2016).

    >>> import elman, torch
    >>> net = elman.Recurrent(NASCell, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8")
    states = ("h", "c")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        p = tanh(sigmoid(x.k1 + u.k1) * relu(x.k2 + u.k2))
        q = tanh(sigmoid(x.k3 + u.k3) + relu(x.k4 * u.k4))
        r = tanh(tanh(x.k5 + u.k5) * sigmoid(x.k6 + u.k6))
        v = sigmoid(tanh(x.k7 + u.k7) + sigmoid(x.k8 + u.k8))
        c = tanh(p + s.c) * q
        return tanh(c * tanh(r + v)), c
