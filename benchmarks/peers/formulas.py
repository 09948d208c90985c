"""One step of every layer as any library can run it: ``step(f, x, u, states, vectors)``.

``f`` has ``tanh``, ``sigmoid`` and ``relu``; ``x`` and ``u`` are lists of one array a gate: the
projected input, and the product with the state.
"""

from __future__ import annotations

from typing import Any


def _rnn(f: Any, x: Any, u: Any, s: Any, v: Any) -> tuple[Any, ...]:
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


STEPS = {
    "RNN": _rnn,
    "GRU": _gru,
    "LSTM": _lstm,
    "Leaky": _leaky,
    "LightGRU": _light_gru,
    "PeepholeLSTM": _peephole_lstm,
}
