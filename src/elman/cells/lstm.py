"""The long short-term memory."""

from __future__ import annotations

from typing import Any

from .activation import Activated, Activation


class LSTM(Activated):
    """``c_t = f * c_{t-1} + i * g`` and ``h_t = o * tanh(c_t)``, as in ``torch.nn.LSTM``.

    The gates i, f and o are sigmoids of ``W_ih x_t + b_ih + W_hh h_{t-1} + b_hh``, g is its tanh.

    Use it for a start on any task: it is the best understood cell, and runs everywhere.

    Args:
        projection: whether ``h_t = W_hr (o * tanh(c_t))``, of a size of its own.
        activation: an activation in place of both tanh, by its name or a function.
        recurrent_activation: an activation of i, f and o in place of sigmoid.

    Raises:
        ValueError: for an unknown activation.

    Sources: F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to forget: continual prediction with
    LSTM", Neural Computation 12 (2000), after S. Hochreiter, J. Schmidhuber, "Long short-term
    memory", Neural Computation 9 (1997). Projection: H. Sak, A. Senior, F. Beaufays, "Long
    short-term memory based recurrent neural network architectures" (2014).

    >>> LSTM(projection=True).trace().matrices
    {'hr': (<units of the projected state>, <hidden units>)}
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    keeps = ("f",)
    writes = ("i",)

    def __init__(
        self,
        projection: bool = False,
        activation: Activation | None = None,
        recurrent_activation: Activation | None = None,
    ) -> None:
        super().__init__(activation, recurrent_activation)
        self.projection = "hr" if projection else ""

    def step(self, x: Any, u: Any, s: Any) -> Any:
        i, f, o = self.gate(x.i + u.i, x.f + u.f, x.o + u.o)
        c = f * s.c + i * self.candidate(self.act(x.g + u.g))
        h = o * self.act(c)
        return self.product("hr", h) if self.projection else h, c
