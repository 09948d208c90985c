"""What a peer is given: a cell, its sizes, the same numbers for everyone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Formula = Callable[..., tuple[Any, ...]]


class Form(NamedTuple):
    """One step as any library can run it: ``formula(f, x, u, states, vectors)``.

    ``f`` has ``tanh``, ``sigmoid`` and ``relu``; ``x`` and ``u`` are lists of one array a gate.
    """

    formula: Formula
    gates: int
    states: int = 1
    vectors: int = 0


def _elman(f: Any, x: Any, u: Any, s: Any, v: Any) -> tuple[Any, ...]:
    return (f.tanh(x[0] + u[0]),)


def _leaky(f: Any, x: Any, u: Any, s: Any, v: Any) -> tuple[Any, ...]:
    return (0.9 * s[0] + 0.1 * f.tanh(x[0] + u[0]),)


def _light_gru(f: Any, x: Any, u: Any, s: Any, v: Any) -> tuple[Any, ...]:
    z = f.sigmoid(x[0] + u[0])
    return (z * s[0] + (1 - z) * f.relu(x[1] + u[1]),)


def _gru(f: Any, x: Any, u: Any, s: Any, v: Any) -> tuple[Any, ...]:
    r, z = f.sigmoid(x[0] + u[0]), f.sigmoid(x[1] + u[1])
    return ((1 - z) * f.tanh(x[2] + r * u[2]) + z * s[0],)


def _lstm(f: Any, x: Any, u: Any, s: Any, v: Any) -> tuple[Any, ...]:
    i, forget, g, o = (a + b for a, b in zip(x, u, strict=True))
    c = f.sigmoid(forget) * s[1] + f.sigmoid(i) * f.tanh(g)
    return f.sigmoid(o) * f.tanh(c), c


def _peephole_lstm(f: Any, x: Any, u: Any, s: Any, v: Any) -> tuple[Any, ...]:
    i = f.sigmoid(x[0] + u[0] + v[0] * s[1])
    forget = f.sigmoid(x[1] + u[1] + v[1] * s[1])
    c = forget * s[1] + i * f.tanh(x[2] + u[2])
    return f.sigmoid(x[3] + u[3] + v[2] * c) * f.tanh(c), c


FORMS = {
    "elman": Form(_elman, 1),
    "leaky": Form(_leaky, 1),
    "lightgru": Form(_light_gru, 2),
    "gru": Form(_gru, 3),
    "lstm": Form(_lstm, 4, states=2),
    "peepholelstm": Form(_peephole_lstm, 4, states=2, vectors=3),
}


class Task(NamedTuple):
    """``T`` steps of ``B`` rows of ``I`` features through a cell of ``H`` units, in a mode."""

    cell: str
    T: int
    B: int
    I: int  # noqa: E741 - the letter that all docstrings use for the input's features
    H: int
    mode: str = "inference"

    @property
    def form(self) -> Form:
        return FORMS[self.cell]

    def arrays(self) -> dict[str, np.ndarray]:
        """Input, parameters in torch's layout, and the gradient of the output, in float32."""
        generator, G, H = np.random.default_rng(0), self.form.gates, self.H
        bound = H**-0.5
        shapes = {"w_ih": (G * H, self.I), "w_hh": (G * H, H), "b_ih": (G * H,), "b_hh": (G * H,)}
        shapes |= {f"v{i}": (H,) for i in range(self.form.vectors)}
        drawn = {name: generator.uniform(-bound, bound, shape) for name, shape in shapes.items()}
        drawn["x"] = generator.standard_normal((self.T, self.B, self.I))
        drawn["grad"] = generator.standard_normal((self.T, self.B, H))
        return {name: array.astype(np.float32) for name, array in drawn.items()}


def parameters(arrays: dict[str, Any]) -> list[str]:
    """The names of those arrays that are learned."""
    return [name for name in arrays if name not in ("x", "grad")]
