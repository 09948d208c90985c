"""States that leak: part of the previous one stays, and the rest is new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..cell import Cell
from ..functions import sigmoid, tanh
from .activation import Activation, activate, check
from .initial import set_vectors


class Leaky(Cell):
    """Leaky integrator: ``h_t = (1 - leak) * h_{t-1} + leak * activation(W x_t + U h_{t-1} + b)``.

    Use it for reservoirs and slow signals, whose time constant is known.

    Args:
        leak: the share that is new, between 0 and 1; a time step over a time constant.
        nonlinearity: as for :class:`Elman`.

    Raises:
        ValueError: for an unknown activation.

    Source: H. Jaeger, M. Lukosevicius, D. Popovici, U. Siewert, "Optimization and applications of
    echo state networks with leaky-integrator neurons", Neural Networks 20 (2007).

    >>> import elman, torch
    >>> net = elman.Recurrent(Leaky, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("h",)

    def __init__(self, leak: float = 0.1, nonlinearity: Activation = "tanh") -> None:
        self.leak, self.nonlinearity = leak, check(nonlinearity)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return (1 - self.leak) * s.h + self.leak * activate(self.nonlinearity, x.h + u.h)


class CTRNN(Cell):
    """Continuous-time network by Euler's method; the output h is the rate, v the potential.

    ``v_t = (1 - leak) * v_{t-1} + leak * (W x_t + U h_{t-1} + b)``, ``h_t = activation(v_t)``.

    Use it for models of neurons, and of systems that follow a differential equation.

    Args:
        leak: the time step over the time constant of the units.
        nonlinearity: as for :class:`Elman`.

    Raises:
        ValueError: for an unknown activation.

    Source: K. Funahashi, Y. Nakamura, "Approximation of dynamical systems by continuous time
    recurrent neural networks", Neural Networks 6 (1993).

    >>> import elman, torch
    >>> net = elman.Recurrent(CTRNN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("v",)
    states = ("h", "v")

    def __init__(self, leak: float = 0.1, nonlinearity: Activation = "tanh") -> None:
        self.leak, self.nonlinearity = leak, check(nonlinearity)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        v = (1 - self.leak) * s.v + self.leak * (x.v + u.v)
        return activate(self.nonlinearity, v), v


class SCRN(Cell):
    """Structurally constrained network; the context s changes slowly and has as many units as h.

    ``s_t = alpha * s_{t-1} + (1 - alpha) * (B x_t + b)``,
    ``h_t = sigmoid(P s_t + A x_t + R h_{t-1} + b)``, with P the matrix ``weight_context``. The
    output is h alone; the paper's readout also sees s, whose final value is among the states.

    Use it for a slow context beside a fast state, as in language models, without gates.

    Args:
        alpha: the share of the context that stays.

    Source: T. Mikolov, A. Joulin, S. Chopra, M. Mathieu, M. Ranzato, "Learning longer memory in
    recurrent neural networks", arXiv:1412.7753 (2014).

    >>> import elman, torch
    >>> net = elman.Recurrent(SCRN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("s", "h")
    states = ("h", "s")
    matrices = ("context",)

    def __init__(self, alpha: float = 0.95) -> None:
        self.alpha = alpha

    def step(self, x: Any, u: Any, s: Any) -> Any:
        context = self.alpha * s.s + (1 - self.alpha) * x.s
        return sigmoid(self.product("context", context) + x.h + u.h), context


class FastRNN(Cell):
    """A weighted residual: ``h_t = sigmoid(alpha) * h~ + sigmoid(beta) * h_{t-1}``.

    ``h~ = activation(W x_t + U h_{t-1} + b)``. The weights are learned; here one a unit, where the
    paper has one for all. They begin as ``alpha = -3`` and ``beta = 3``.

    Use it for microcontrollers: a simple network that trains stably, for two more numbers a
    unit.

    Args:
        nonlinearity: as for :class:`Elman`.

    Raises:
        ValueError: for an unknown activation.

    Source: A. Kusupati et al., "FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated
    recurrent neural network", NeurIPS (2018).

    >>> import elman
    >>> net = elman.Recurrent(FastRNN, 3, 2)
    >>> net.weight_alpha_l0.tolist(), net.weight_beta_l0.tolist()
    ([-3.0, -3.0], [3.0, 3.0])
    """

    gates = ("h",)
    vectors = ("alpha", "beta")
    keeps = ("beta",)
    writes = ("alpha",)

    def __init__(self, nonlinearity: Activation = "tanh") -> None:
        self.nonlinearity = check(nonlinearity)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        new = activate(self.nonlinearity, x.h + u.h)
        return sigmoid(self.vector("alpha")) * new + sigmoid(self.vector("beta")) * s.h

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        set_vectors(parameters, alpha=-3.0, beta=3.0)


class FastGRNN(Cell):
    """A gate that shares its matrices with the new state, of which it differs by a bias.

    ``a = W x_t + U h_{t-1} + b``, ``z = sigmoid(a + b_z)``,
    ``h_t = (sigmoid(zeta) * (1 - z) + sigmoid(nu)) * tanh(a) + z * h_{t-1}``. The vector ``z`` is
    ``b_z``; zeta and nu are one number a unit, where the paper has one for all. They begin as 1
    and -4, ``b_z`` as 0. The factors of low rank of W and U are left out.

    Use it for microcontrollers: a gate without matrices of its own; the paper's models take a
    few kilobytes.

    Source: A. Kusupati et al., "FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated
    recurrent neural network", NeurIPS (2018).

    >>> import elman, torch
    >>> net = elman.Recurrent(FastGRNN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("h",)
    vectors = ("z", "zeta", "nu")
    keeps = ("z",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        a = x.h + u.h
        z = sigmoid(a + self.vector("z"))
        zeta, nu = sigmoid(self.vector("zeta")), sigmoid(self.vector("nu"))
        return (zeta * (1 - z) + nu) * self.candidate(tanh(a)) + z * s.h

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        set_vectors(parameters, z=0.0, zeta=1.0, nu=-4.0)
