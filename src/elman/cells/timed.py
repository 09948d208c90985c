"""Cells that are told the time, and cells in continuous time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..expr import where
from ..functions import exp, floor, relu, sigmoid, softplus, tanh
from .activation import Activation, activate, check
from .initial import set_vectors


class PhasedLSTM(Cell):
    """An LSTM with peepholes, each unit of which is open for a part of its own period only.

    ``phi = frac((t - shift) / tau)`` is the phase of a unit. Its time gate k is ``2 phi / ratio``
    in the first half of the open part, ``2 - 2 phi / ratio`` in the second, and ``leak * phi``
    while it is closed. With ``c'`` and ``h'`` of a :class:`PeepholeLSTM`:
    ``c_t = k c' + (1 - k) c_{t-1}``, ``h_t = k h' + (1 - k) h_{t-1}``.

    The further input ``time`` is the time t of each step, ``(T, B, 1)``, in any unit. The vectors
    ``tau`` and ``shift`` begin as in the paper: tau as ``exp(u)`` with u uniform in ``[0, 3]``,
    shift uniform in ``[0, tau]``.

    Use it for events at irregular times, with sensors of different rates.

    Args:
        ratio: the open part of a period.
        leak: what passes while a unit is closed; the paper has 0 outside training.

    Raises:
        ValueError: for a ratio that is not above 0 and at most 1.

    Source: D. Neil, M. Pfeiffer, S.-C. Liu, "Phased LSTM: accelerating recurrent network training
    for long or event-based sequences", NeurIPS (2016).

    >>> import elman, torch
    >>> net = elman.Recurrent(PhasedLSTM, 3, 4)
    >>> time = torch.tensor([0.0, 0.5, 2.5, 2.75]).view(4, 1, 1)
    >>> net(torch.rand(4, 2, 3), inputs={"time": time})[0].shape
    torch.Size([4, 2, 4])
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    inputs = ("time",)
    vectors = ("ci", "cf", "co", "tau", "shift")
    keeps = ("f",)
    writes = ("i",)

    def __init__(self, ratio: float = 0.05, leak: float = 0.001) -> None:
        if not 0 < ratio <= 1:
            raise ValueError(f"PhasedLSTM: expected ratio above 0 and at most 1, got {ratio!r}")
        self.ratio = ratio
        self.leak = leak

    def step(self, x: Any, u: Any, s: Any) -> Any:
        turns = (self.input("time") - self.vector("shift")) / self.vector("tau")
        phase = turns - floor(turns)
        slope = 2.0 / self.ratio
        falling = where(phase < self.ratio, 2.0 - slope * phase, self.leak * phase)
        k = where(phase < self.ratio / 2, slope * phase, falling)
        i = sigmoid(x.i + u.i + self.vector("ci") * s.c)
        f = sigmoid(x.f + u.f + self.vector("cf") * s.c)
        c = f * s.c + i * self.candidate(tanh(x.g + u.g))
        h = sigmoid(x.o + u.o + self.vector("co") * c) * tanh(c)
        return k * h + (1 - k) * s.h, k * c + (1 - k) * s.c

    @torch.no_grad()
    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        tau, shift = parameters["weight_tau"], parameters["weight_shift"]
        tau.uniform_(0, 3).exp_()
        shift.uniform_(0, 1).mul_(tau)


class CfC(Cell):
    """Closed-form continuous-time cell: between two states by a gate that depends on the time.

    ``b = 1.7159 tanh(0.666 (W x_t + U h_{t-1} + b))`` is the backbone: one layer, with as many
    units as the state. ``k = sigmoid((W_a b + b_a) dt + W_b b + b_b)``,
    ``h_t = (1 - k) tanh(W_first b + b_first) + k tanh(W_second b + b_second)``.

    The further input ``dt`` is the time since the step before, ``(T, B, 1)``; ones for regular
    steps. Each further matrix has a vector for its bias.

    Use it for irregular times, where a solver of a differential equation would be too slow.

    Source: R. Hasani, M. Lechner, A. Amini, L. Liebenwein, A. Ray, M. Tschaikowski, G. Teschl,
    D. Rus, "Closed-form continuous-time neural networks", Nature Machine Intelligence 4 (2022),
    equation 10, with the backbone of the authors' package ``ncps``.

    >>> import elman, torch
    >>> net = elman.Recurrent(CfC, 3, 4)
    >>> net(torch.rand(5, 2, 3), inputs={"dt": torch.ones(5, 2, 1)})[0].shape
    torch.Size([5, 2, 4])
    """

    gates = ("b",)
    inputs = ("dt",)
    matrices = ("first", "second", "time_a", "time_b")
    vectors = ("bias_first", "bias_second", "bias_a", "bias_b")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        b = 1.7159 * tanh(0.666 * (x.b + u.b))
        first = tanh(self.product("first", b) + self.vector("bias_first"))
        second = tanh(self.product("second", b) + self.vector("bias_second"))
        rate = self.product("time_a", b) + self.vector("bias_a")
        k = sigmoid(rate * self.input("dt") + self.product("time_b", b) + self.vector("bias_b"))
        return first * (1 - k) + k * second


class ODERNN(Cell):
    """ODE-RNN: between two inputs the state follows a differential equation, solved step by step.

    ``dh/dt = tanh(W_f h + b_f)`` is solved over the time ``dt`` since the input before: in equal
    ``steps`` of the classic Runge-Kutta method, or of Euler's. Then the input changes the state:
    ``h_t = tanh(W x_t + U h' + b)``. All steps share ``weight_f``; the vector ``bias_f`` is b_f.

    The further input ``dt`` is ``(T, B, 1)``; ones for regular steps.

    Use it for irregular times, where the state should evolve between two inputs.

    Args:
        steps: how many steps of the solver lie between two inputs.
        solver: ``"rk4"`` or ``"euler"``.

    Raises:
        ValueError: fewer than one step; another solver.

    Source: Y. Rubanova, R. T. Q. Chen, D. Duvenaud, "Latent ordinary differential equations for
    irregularly-sampled time series", NeurIPS (2019), algorithm 1; one layer for the equation.

    >>> import elman, torch
    >>> net = elman.Recurrent(ODERNN(steps=2), 3, 4)
    >>> net(torch.rand(5, 2, 3), inputs={"dt": torch.ones(5, 2, 1)})[0].shape
    torch.Size([5, 2, 4])
    """

    gates = ("h",)
    inputs = ("dt",)
    matrices = ("f",)
    vectors = ("bias_f",)

    def __init__(self, steps: int = 1, solver: str = "rk4") -> None:
        if type(steps) is not int or steps < 1:
            raise ValueError(f"ODERNN: expected steps to be an int of at least 1, got {steps!r}")
        if solver not in ("rk4", "euler"):
            raise ValueError(f"ODERNN: expected solver 'rk4' or 'euler', got {solver!r}")
        self.steps, self.solver = steps, solver

    def step(self, x: Any, u: Any, s: Any) -> Any:
        h, dt = s.h, self.input("dt") / self.steps
        for _ in range(self.steps):
            slope = first = self._slope(h)
            if self.solver == "rk4":
                second = self._slope(h + 0.5 * dt * first)
                third = self._slope(h + 0.5 * dt * second)
                fourth = self._slope(h + dt * third)
                slope = (first + 2 * second + 2 * third + fourth) / 6
            h = h + dt * slope
        return tanh(x.h + self.product("h", h))

    def _slope(self, h: Any) -> Any:
        return tanh(self.product("f", h) + self.vector("bias_f"))


class LTC(Cell):
    """Liquid time-constant network: how fast a unit follows depends on the input and the state.

    ``dh/dt = -(r + f) h + f a`` with ``f = sigmoid(W x_t + U h + b)`` is solved over the time
    ``dt`` since the input before, in equal ``steps`` of the paper's fused solver:
    ``h <- (h + dt/steps f a) / (1 + dt/steps (r + f))``. The vectors are ``a``, to which units are
    drawn, and ``rate``, of which ``r = softplus(rate)`` is one over the time constant.

    The further input ``dt`` is ``(T, B, 1)``; ones for regular steps.

    Use it for irregular times, and small controllers that can be interpreted.

    Args:
        steps: how many steps of the solver lie between two inputs.
        nonlinearity: the activation f, by its name or a function; it should not be negative.

    Raises:
        ValueError: fewer than one step; an unknown activation.

    Source: R. Hasani, M. Lechner, A. Amini, D. Rus, R. Grosu, "Liquid time-constant networks", AAAI
    (2021), equation 1 and algorithm 1. The authors' package ``ncps`` has synapses in place of U.

    >>> import elman, torch
    >>> net = elman.Recurrent(LTC(steps=3), 3, 4)
    >>> net(torch.rand(5, 2, 3), inputs={"dt": torch.ones(5, 2, 1)})[0].shape
    torch.Size([5, 2, 4])
    """

    gates = ("f",)
    inputs = ("dt",)
    vectors = ("rate", "a")

    def __init__(self, steps: int = 6, nonlinearity: Activation = "sigmoid") -> None:
        if type(steps) is not int or steps < 1:
            raise ValueError(f"LTC: expected steps to be an int of at least 1, got {steps!r}")
        self.steps, self.nonlinearity = steps, check(nonlinearity)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        h, dt = s.h, self.input("dt") / self.steps
        rate, a = softplus(self.vector("rate")), self.vector("a")
        for _ in range(self.steps):
            f = activate(self.nonlinearity, x.f + self.product("f", h))
            h = (h + dt * f * a) / (1 + dt * (rate + f))
        return h


class GRUD(Cell):
    """GRU-D: a GRU for series with values that are missing, which it fills in itself.

    ``m`` is 1 where a value is there, else 0, and ``d`` the time since the variable was last there.
    With it the last value that was seen decays towards the variable's mean, by
    ``k = exp(-max(0, w_x * d + b_x))``, and the state by ``g = exp(-max(0, W_h d + b_h))``. With
    ``v = x`` where m is 1, else ``k * last + (1 - k) * mean``, and ``h' = g * h_{t-1}``:
    ``z = sigmoid(W_z v + V_z m + U_z h' + b_z)``, r likewise,
    ``n = tanh(W_n v + V_n m + U_n (r * h') + b_n)``, ``h_t = (1 - z) * h' + z * n``.

    The further inputs ``mask`` and ``gap`` are m and d, ``(T, B, I)``; values of x that are missing
    may be anything, NaN too. The second state is the last value that was seen of each variable.
    The vectors are ``decay`` and ``decay_bias``, w_x and b_x; ``bias``, b_h; and ``mean``. All but
    the first begin as zeros: this is the mean of variables that are standardised. Several layers
    need as many hidden units as features.

    Use it for series with missing values, such as records of patients.

    Source: Z. Che, S. Purushotham, K. Cho, D. Sontag, Y. Liu, "Recurrent neural networks for
    multivariate time series with missing values", Scientific Reports 8 (2018), equations 8 to 13.

    >>> import elman, torch
    >>> net = elman.Recurrent(GRUD, 3, 4)
    >>> mask, gap = (torch.rand(5, 2, 3) > 0.5).float(), torch.rand(5, 2, 3)
    >>> net(torch.rand(5, 2, 3), inputs={"mask": mask, "gap": gap})[0].shape
    torch.Size([5, 2, 4])
    """

    gates = ("r", "z", "n")
    states = ("h", "last")
    inputs = ("mask", "gap")
    matrices = ("r_v", "z_v", "n_v", "r_m", "z_m", "n_m", "state_decay")
    vectors = ("decay", "decay_bias", "bias", "mean")
    sizes = dict.fromkeys(("last", "mask", "gap", "decay", "decay_bias", "mean"), "input_size")
    writes = ("z",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        mask, gap, mean = self.input("mask"), self.input("gap"), self.vector("mean")
        kept = exp(-relu(self.vector("decay") * gap + self.vector("decay_bias")))
        last = where(mask > 0.5, self.input(), s.last)
        v = where(mask > 0.5, self.input(), kept * s.last + (1 - kept) * mean)
        h = exp(-relu(self.product("state_decay", gap) + self.vector("bias"))) * s.h

        def gate(name: str, state: Any) -> Any:
            seen = self.product(f"{name}_v", v) + self.product(f"{name}_m", mask)
            return seen + self.product(name, state)

        r, z = sigmoid(gate("r", h)), sigmoid(gate("z", h))
        n = self.candidate(tanh(gate("n", r * h)))
        return (1 - z) * h + z * n, last

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        set_vectors(parameters, mean=0.0, bias=0.0, decay_bias=0.0)
