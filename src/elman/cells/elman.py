"""The simple recurrent network, and what became of it by an initialisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from .activation import Activation, activate, check
from .initial import set_bias


class Elman(Cell):
    """``h_t = activation(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``, as in ``torch.nn.RNN``.

    Use it for short dependencies and a baseline: it is the cheapest cell with a full recurrent
    matrix.

    Args:
        nonlinearity: ``"tanh"``, ``"relu"`` or another name of ``activation.ACTIVATIONS``, or any
            function of one symbolic value.

    Raises:
        ValueError: for an unknown activation.

    Source: J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).

    >>> Elman("relu").trace().new
    (relu(add(x.h, add(product.h(state.h), bias.h))),)
    """

    gates = ("h",)
    states = ("h",)

    def __init__(self, nonlinearity: Activation = "tanh") -> None:
        self.nonlinearity = check(nonlinearity)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return activate(self.nonlinearity, x.h + u.h)


class IRNN(Elman):
    """``h_t = relu(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``, where ``W_hh`` begins as identity.

    Use it for long sequences of small networks, where gates would cost too much; its learning
    rate has to be small.

    Args:
        scale: ``W_hh`` begins as this number times the identity, the biases as zeros.
        nonlinearity: as for :class:`Elman`.

    Raises:
        ValueError: for an unknown activation.

    Source: Q. V. Le, N. Jaitly, G. E. Hinton, "A simple way to initialize recurrent networks of
    rectified linear units", arXiv:1504.00941 (2015).

    >>> import elman
    >>> elman.Recurrent(IRNN(scale=0.5), 3, 2).weight_hh_l0.tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """

    def __init__(self, scale: float = 1.0, nonlinearity: Activation = "relu") -> None:
        super().__init__(nonlinearity)
        self.scale = scale

    @torch.no_grad()
    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        for head in parameters["weight_hh"].chunk(self.heads):
            torch.nn.init.eye_(head).mul_(self.scale)
        set_bias(self, parameters, "h", 0.0)
