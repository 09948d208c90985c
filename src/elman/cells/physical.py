"""Cells from differential equations: oscillators, many time scales, a stable flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..functions import sigmoid, tanh


class CoRNN(Cell):
    """Coupled oscillators: positions y (the output) and velocities z.

    ``z_t = z_{t-1} + dt * (tanh(W y_{t-1} + V z_{t-1} + U x_t + b) - gamma * y_{t-1} - epsilon *
    z_{t-1})``, ``y_t = y_{t-1} + dt * z_t``; V is the matrix ``velocity``.

    Use it for long sequences of oscillating signals: the size of gradients is bounded.

    Args:
        dt: the time step. This and what follows is tuned to the task; the defaults are the
            authors' for sequential MNIST.
        gamma: squared frequency of the oscillators.
        epsilon: their damping.

    Source: T. K. Rusch, S. Mishra, "Coupled oscillatory recurrent neural network (coRNN): an
    accurate and (gradient) stable architecture for learning long time dependencies", ICLR (2021).

    >>> import elman, torch
    >>> net = elman.Recurrent(CoRNN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("z",)
    states = ("y", "z")
    matrices = ("velocity",)

    def __init__(self, dt: float = 0.042, gamma: float = 2.7, epsilon: float = 4.7) -> None:
        self.dt, self.gamma, self.epsilon = dt, gamma, epsilon

    def step(self, x: Any, u: Any, s: Any) -> Any:
        force = tanh(x.z + u.z + self.product("velocity", s.z))
        z = s.z + self.dt * (force - self.gamma * s.y - self.epsilon * s.z)
        return s.y + self.dt * z, z


class UnICORNN(Cell):
    """Undamped independent oscillators: positions y (the output) and velocities z.

    ``z_t = z_{t-1} - d * (tanh(w * y_{t-1} + W x_t + b) + alpha * y_{t-1})``,
    ``y_t = y_{t-1} + d * z_t``, ``d = dt * sigmoid(c)``, with vectors w, at first uniform in
    ``[0, 1]``, and c, at first uniform in ``[-0.1, 0.1]``.

    Use it for very long sequences: units are independent, and the size of gradients is bounded.

    Args:
        dt: the largest time step of a unit.
        alpha: control parameter, at least 0.

    Source: T. K. Rusch, S. Mishra, "UnICORNN: a recurrent model for learning very long time
    dependencies", ICML (2021).

    >>> import elman, torch
    >>> net = elman.Recurrent(UnICORNN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("z",)
    states = ("y", "z")
    vectors = ("w", "c")

    def __init__(self, dt: float = 0.1, alpha: float = 1.0) -> None:
        self.dt, self.alpha = dt, alpha

    def step(self, x: Any, u: Any, s: Any) -> Any:
        d = self.dt * sigmoid(self.vector("c"))
        z = s.z - d * (tanh(self.vector("w") * s.y + x.z) + self.alpha * s.y)
        return s.y + d * z, z

    @torch.no_grad()
    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        parameters["weight_w"].uniform_(0, 1)
        parameters["weight_c"].uniform_(-0.1, 0.1)


class LEM(Cell):
    """Long expressive memory: two states with learned time steps.

    ``a = dt * sigmoid(W_a x_t + U_a y_{t-1} + b_a)`` and b likewise,
    ``z_t = (1 - a) * z_{t-1} + a * tanh(W_z x_t + U_z y_{t-1} + b_z)``,
    ``y_t = (1 - b) * y_{t-1} + b * tanh(W_y x_t + U_y z_t + b_y)``; the output is y.

    Use it for signals with several time scales, fast and slow at once.

    Args:
        dt: the largest time step, at most 1.

    Source: T. K. Rusch, S. Mishra, N. B. Erichson, M. W. Mahoney, "Long expressive memory for
    sequence modeling", ICLR (2022).

    >>> import elman, torch
    >>> net = elman.Recurrent(LEM, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("a", "b", "z", "y")
    states = ("y", "z")
    writes = ("a", "b")

    def __init__(self, dt: float = 1.0) -> None:
        self.dt = dt

    def step(self, x: Any, u: Any, s: Any) -> Any:
        a, b = self.dt * sigmoid(x.a + u.a), self.dt * sigmoid(x.b + u.b)
        z = (1 - a) * s.z + a * self.candidate(tanh(x.z + u.z))
        y = self.candidate(tanh(x.y + self.product("y", z)))
        return (1 - b) * s.y + b * y, z


class Antisymmetric(torch.nn.Module):
    """A square matrix A as ``W - W'``, with W the part of A above the diagonal: a parametrization.

    Call it with a matrix ``(H, H)``.

    >>> Antisymmetric()(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[ 0.,  2.],
            [-2.,  0.]])
    """

    def forward(self, weight: Tensor) -> Tensor:
        upper = weight.triu(1)
        return upper - upper.transpose(-1, -2)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The part that is learned."""
        return weight.triu(1)


class AntisymmetricRNN(Cell):
    """A stable flow: ``h_t = h_{t-1} + epsilon * tanh((A - gamma I) h_{t-1} + V x_t + b)``.

    A is ``weight_hh`` and begins antisymmetric; a formula cannot keep it so. Register the
    parametrization :class:`Antisymmetric` for that, as in
    ``torch.nn.utils.parametrize.register_parametrization(layer, "weight_hh_l0", Antisymmetric())``.

    Use it for long dependencies at the cost of a simple network: its flow is stable.

    Args:
        epsilon: the time step.
        gamma: the diffusion, which makes up for the error of the steps.

    Source: B. Chang, M. Chen, E. Haber, E. H. Chi, "AntisymmetricRNN: a dynamical system view on
    recurrent neural networks", ICLR (2019).

    >>> import elman, torch
    >>> net = elman.Recurrent(AntisymmetricRNN, 3, 4)
    >>> bool((net.weight_hh_l0 == -net.weight_hh_l0.T).all())
    True
    """

    gates: tuple[str, ...] = ("h",)

    def __init__(self, epsilon: float = 0.01, gamma: float = 0.01) -> None:
        self.epsilon, self.gamma = epsilon, gamma

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return s.h + self.epsilon * tanh(x.h + u.h - self.gamma * s.h)

    @torch.no_grad()
    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        for head in parameters["weight_hh"].chunk(self.heads):
            head.copy_(Antisymmetric()(head))


class GatedAntisymmetricRNN(AntisymmetricRNN):
    """:class:`AntisymmetricRNN` with a gate z that has its recurrent matrix.

    ``a = (A - gamma I) h_{t-1} + b_hh``,
    ``h_t = h_{t-1} + epsilon * sigmoid(a + V_z x_t + b_z) * tanh(a + V x_t + b)``.

    Use it for what an antisymmetric network does, where inputs should be let in selectively.

    The arguments are those of :class:`AntisymmetricRNN`.

    Source: B. Chang, M. Chen, E. Haber, E. H. Chi, "AntisymmetricRNN: a dynamical system view on
    recurrent neural networks", ICLR (2019).

    >>> import elman, torch
    >>> net = elman.Recurrent(GatedAntisymmetricRNN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("z", "h")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        a = u.h - self.gamma * s.h
        return s.h + self.epsilon * sigmoid(a + x.z) * tanh(a + x.h)
