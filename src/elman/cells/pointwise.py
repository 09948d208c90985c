"""Cells whose units do not see one another's state: no product in the loop over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..functions import sigmoid, softplus, tanh
from .activation import Activation, activate, check


class IndRNN(Cell):
    """Independent units: ``h_t = activation(W x_t + b + r * h_{t-1})``, with a vector ``r``.

    The vector begins uniform in ``[0, 1]``.

    Use it for very deep stacks and long sequences: each unit has one recurrent weight, and can
    be bounded.

    Args:
        nonlinearity: as for :class:`Elman`.

    Raises:
        ValueError: for an unknown activation.

    Source: S. Li, W. Li, C. Cook, C. Zhu, Y. Gao, "Independently recurrent neural network (IndRNN):
    building a longer and deeper RNN", CVPR (2018).

    >>> import elman, torch
    >>> net = elman.Recurrent(IndRNN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("h",)
    vectors = ("r",)

    def __init__(self, nonlinearity: Activation = "relu") -> None:
        self.nonlinearity = check(nonlinearity)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return activate(self.nonlinearity, x.h + self.vector("r") * s.h)

    @torch.no_grad()
    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        parameters["weight_r"].uniform_(0, 1)


class SRU(Cell):
    """Simple recurrent unit: ``c_t = f * c_{t-1} + (1 - f) * (W x_t + b)``.

    ``f = sigmoid(W_f x_t + v_f * c_{t-1} + b_f)``, ``r = sigmoid(W_r x_t + v_r * c_{t-1} + b_r)``,
    ``h_t = r * c_t + (1 - r) * scale * (W_k x_t + b_k)``, with vectors ``vf`` and ``vr``. The paper
    has ``x_t`` itself where ``W_k x_t`` stands, if it has as many features as there are units; the
    authors' program has ``W_k`` otherwise, and here it always does.

    Use it for large models that must train fast: no product waits for the state.

    Args:
        scale: of the highway connection.

    Source: T. Lei, Y. Zhang, S. I. Wang, H. Dai, Y. Artzi, "Simple recurrent units for highly
    parallelizable recurrence", EMNLP (2018).

    >>> import elman, torch
    >>> net = elman.Recurrent(SRU, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("c", "f", "r", "k")
    states = ("h", "c")
    vectors = ("vf", "vr")
    keeps = ("f",)

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def step(self, x: Any, u: Any, s: Any) -> Any:
        f = sigmoid(x.f + self.vector("vf") * s.c)
        r = sigmoid(x.r + self.vector("vr") * s.c)
        c = f * s.c + (1 - f) * self.candidate(x.c)
        return r * c + (1 - r) * (self.scale * x.k), c


class QRNN(Cell):
    """Quasi-recurrent, fo-pooling: ``c_t = f * c_{t-1} + (1 - f) * z``, ``h_t = o * c_t``.

    ``z = tanh(W_z x_t + b_z)``, ``f = sigmoid(W_f x_t + b_f)``, ``o = sigmoid(W_o x_t + b_o)``: the
    paper's convolution with a window of one step. Give it several steps as one input for more.

    Use it for large models that must train fast; several steps as one input make a convolution.

    Source: J. Bradbury, S. Merity, C. Xiong, R. Socher, "Quasi-recurrent neural networks", ICLR
    (2017).

    >>> import elman, torch
    >>> net = elman.Recurrent(QRNN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("z", "f", "o")
    states = ("h", "c")
    keeps = ("f",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        f = sigmoid(x.f)
        c = f * s.c + (1 - f) * self.candidate(tanh(x.z))
        return sigmoid(x.o) * c, c


class MinGRU(Cell):
    """``h_t = (1 - z) * h_{t-1} + z * (W x_t + b)`` with ``z = sigmoid(W_z x_t + b_z)``.

    The form of the paper's section 3.1, without its later ``log`` of positive states.

    Use it for a fast baseline on long sequences: its gate sees the input alone.

    Source: L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi, "Were RNNs all we needed?",
    arXiv:2410.01201 (2024).

    >>> import elman, torch
    >>> net = elman.Recurrent(MinGRU, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("z", "h")
    writes = ("z",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = sigmoid(x.z)
        return (1 - z) * s.h + z * self.candidate(x.h)


class MinLSTM(Cell):
    """``h_t = (f * h_{t-1} + i * (W x_t + b)) / (f + i)``; the gates f and i see the input alone.

    ``f = sigmoid(W_f x_t + b_f)``, ``i = sigmoid(W_i x_t + b_i)``: the form of the paper's section
    3.2, without its later ``log`` of positive states.

    Use it for a fast baseline on long sequences, with two gates that see the input alone.

    Source: L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi, "Were RNNs all we needed?",
    arXiv:2410.01201 (2024).

    >>> import elman, torch
    >>> net = elman.Recurrent(MinLSTM, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("f", "i", "h")
    keeps = ("f",)
    writes = ("i",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        # f / (f + i), which would be 0 / 0 where both vanish.
        share = sigmoid(softplus(-x.i) - softplus(-x.f))
        return share * s.h + (1 - share) * self.candidate(x.h)
