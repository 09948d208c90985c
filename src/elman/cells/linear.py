"""A recurrence that is linear in its state, of complex numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..cell import Cell
from ..functions import cos, exp, sin
from .initial import blocks


class LRU(Cell):
    """Linear recurrent unit: a diagonal recurrence of complex numbers, and a linear readout.

    ``z_t = lambda z_{t-1} + exp(gamma) (B x_t)`` with ``lambda = exp(-exp(nu) + i exp(theta))``,
    and ``y_t = Re(C z_t) + D x_t``. The states are ``y`` and the two parts of z. The gates ``re``
    and ``im`` are the rows of B, ``y`` those of D; ``weight_c_re`` and ``weight_c_im`` are C.

    The eigenvalues begin uniform on the ring between two radii, up to a largest phase. Gamma begins
    as ``log(sqrt(1 - |lambda|^2))``. Both parts of B begin with the standard deviation
    ``1/sqrt(2 I)``, those of C with ``1/sqrt(H)``.

    Use it for very long sequences: a linear recurrence that does not explode, in stacks with
    layers between.

    Args:
        least, most: the radii, between 0 and 1.
        phase: the largest phase, at most 2 pi.

    Raises:
        ValueError: for radii other than ``0 <= least < most <= 1``.

    Source: A. Orvieto, S. L. Smith, A. Gu, A. Fernando, C. Gulcehre, R. Pascanu, S. De,
    "Resurrecting recurrent neural networks for long sequences", ICML (2023), appendix A.

    >>> import elman, torch
    >>> elman.Recurrent(LRU, 3, 4)(torch.rand(5, 2, 3))[0].shape
    torch.Size([5, 2, 4])
    """

    gates = ("y", "re", "im")
    states = ("y", "re", "im")
    matrices = ("c_re", "c_im")
    vectors = ("nu", "theta", "gamma")

    def __init__(self, least: float = 0.0, most: float = 1.0, phase: float = 2 * math.pi) -> None:
        if not 0 <= least < most <= 1:
            raise ValueError(
                f"LRU: expected radii of 0 <= least < most <= 1, got {least!r} and {most!r}"
            )
        self.least, self.most, self.phase = least, most, phase

    def step(self, x: Any, u: Any, s: Any) -> Any:
        size, angle = exp(-exp(self.vector("nu"))), exp(self.vector("theta"))
        real, imaginary = size * cos(angle), size * sin(angle)
        scale = exp(self.vector("gamma"))
        re = real * s.re - imaginary * s.im + scale * x.re
        im = real * s.im + imaginary * s.re + scale * x.im
        return self.product("c_re", re) - self.product("c_im", im) + x.y, re, im

    @torch.no_grad()
    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        nu, theta, gamma = (parameters[f"weight_{name}"] for name in ("nu", "theta", "gamma"))
        low, high = self.least**2, self.most**2
        squared = nu.uniform_(0, 1) * (high - low) + low  # of the radius
        gamma.copy_((1 - squared).log() / 2)
        nu.copy_((-squared.log() / 2).log())
        theta.uniform_(0, 1).mul_(self.phase).log_()
        features = parameters["weight_ih"].shape[1]
        y, *both = blocks(self, parameters, "weight_ih").values()
        y.normal_(0, features**-0.5)
        for part in both:
            part.normal_(0, (2 * features) ** -0.5)
        for name in ("c_re", "c_im"):
            parameters[f"weight_{name}"].normal_(0, len(nu) ** -0.5)
