"""Loops of one's own in training, beside ``elman.scan``: ``python -m benchmarks.scans``.

An LSTM and a GRU cell in a loop, and the recurrent state-space model of PlaNet and Dreamer (a GRU
cell, an MLP with layer normalisation, a distribution that is sampled and fed back): as a loop over
torch.nn's cells, a loop over elman's, ``elman.scan``, and JAX's ``scan`` of the same cell if it is
installed. By turns, on one thread; shown is the least time of a forward and backward pass in
milliseconds, and in brackets that of the loop over torch.nn's cells divided by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map

import elman

ROUNDS, CALLS = 10, 2
SIZES = {"LSTM": (33, 48, 96), "GRU": (50, 50, 200), "RSSM": (50, 16, 200)}


class OfCell(nn.Module):
    """A cell whose output is its first state."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, states: Any, x: Tensor) -> Any:
        states = self.cell(x, states)
        return states, states[0] if isinstance(states, tuple) else states


class RSSM(nn.Module):
    """D. Hafner et al., "Learning Latent Dynamics for Planning from Pixels" (2019)."""

    def __init__(self, units: int, latent: int = 30, action: int = 6) -> None:
        super().__init__()
        self.cell = nn.GRUCell(latent + action, units)
        self.hidden = nn.Sequential(nn.Linear(2 * units, units), nn.LayerNorm(units), nn.ELU())
        self.posterior = nn.Linear(units, 2 * latent)

    def forward(self, carry: Any, x: Any) -> Any:
        h, z = carry
        h = self.cell(torch.cat([z, x["action"]], -1), h)
        hidden = self.hidden(torch.cat([h, x["seen"]], -1))
        mean, deviation = self.posterior(hidden).chunk(2, -1)
        z = mean + (F.softplus(deviation) + 0.1) * x["noise"]
        return (h, z), (h, mean)


def loop(body: Any, carry: Any, xs: Any) -> Any:
    """Step by step."""
    ys = []
    for t in range(tree_leaves(xs)[0].shape[0]):
        carry, y = body(carry, tree_map(lambda tensor, t=t: tensor[t], xs))
        ys.append(y)
    return carry, tree_map(lambda *steps: torch.stack(steps), *ys)


def trained(run: Callable[..., Any], body: nn.Module, carry: Any, xs: Any) -> Callable[[], Any]:
    """A forward and a backward pass."""

    def call() -> Any:
        total = sum(y.sum() for y in tree_leaves(run(body, carry, xs)[1]))
        return torch.autograd.grad(total, [*body.parameters()])

    return call


def runs_of(name: str) -> dict[str, Callable[[], Any]]:
    """What is compared, by name."""
    T, B, H = SIZES[name]
    h = torch.zeros(B, H)
    if name == "RSSM":
        xs: Any = {"action": torch.randn(T, B, 6), "seen": torch.randn(T, B, H)}
        xs["noise"] = torch.randn(T, B, 30)
        body, carry = RSSM(H), (h, torch.zeros(B, 30))
        ours: nn.Module = elman.accelerate(RSSM(H))
    else:
        xs, carry = torch.randn(T, B, H), (h, h) if name == "LSTM" else h
        body = OfCell(getattr(nn, f"{name}Cell")(H, H))
        ours = OfCell(getattr(elman, f"{name}Cell")(H, H))
    found = {
        "loop over torch.nn's cell": trained(loop, body, carry, xs),
        "over elman's": trained(loop, ours, carry, xs),
        "elman.scan": trained(elman.scan, body, carry, xs),
    }
    if name != "RSSM" and (jax := jax_scan(name, xs)):
        found["JAX's scan"] = jax
    return found


def jax_scan(name: str, x: Tensor) -> Callable[[], Any] | None:
    """The cell in ``jax.lax.scan``, its inputs projected before the loop; None without JAX."""
    try:
        import jax
        from jax import numpy as jnp
    except ImportError:
        return None
    H, G = x.shape[-1], {"LSTM": 4, "GRU": 3}[name]
    shapes = ((G * H, H), (G * H, H), (G * H,), (G * H,))
    weights = [jnp.asarray(torch.randn(shape).numpy() / H**0.5) for shape in shapes]

    def lstm(carry: Any, x: Any, w: Any, b: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(x + h @ w.T + b, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(h: Any, x: Any, w: Any, b: Any) -> Any:
        (r, z, n), (hr, hz, hn) = jnp.split(x, 3, -1), jnp.split(h @ w.T + b, 3, -1)
        r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
        h = (1 - z) * jnp.tanh(n + r * hn) + z * h
        return h, h

    def total(weights: Any, x: Any) -> Any:
        w_ih, w_hh, b_ih, b_hh = weights
        h = jnp.zeros(x.shape[1:])
        step, first = (lstm, (h, h)) if name == "LSTM" else (gru, h)
        projected = x @ w_ih.T + b_ih
        return jax.lax.scan(lambda c, v: step(c, v, w_hh, b_hh), first, projected)[1].sum()

    given, gradient = jnp.asarray(x.numpy()), jax.jit(jax.grad(total))
    return lambda: jax.block_until_ready(gradient(weights, given))


def main() -> None:
    """Prints a line for each model."""
    torch.set_num_threads(1)
    for name, (T, B, H) in SIZES.items():
        runs = runs_of(name)
        least = dict.fromkeys(runs, float("inf"))
        for _ in range(ROUNDS):
            for who, run in runs.items():
                for _ in range(CALLS):
                    before = time.perf_counter()
                    run()
                    least[who] = min(least[who], time.perf_counter() - before)
        first = next(iter(least.values()))
        shown = [f"{who} {1e3 * s:.2f} ({first / s:.2f})" for who, s in least.items()]
        print(f"{name} T{T} B{B} H{H}: {', '.join(shown)}")


if __name__ == "__main__":
    main()
