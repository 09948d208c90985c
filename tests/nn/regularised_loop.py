"""Layers with regularisation once more: a plain loop in float64, given the numbers that were drawn.

Nothing here comes from elman but the numbers and the weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

State = Sequence[Tensor]


def lstm(x: Tensor, u: Tensor, states: State, candidate: Any) -> State:
    i, f, g, o = (x + u).chunk(4, -1)
    c = torch.sigmoid(f) * states[1] + torch.sigmoid(i) * torch.tanh(g) * candidate
    return torch.sigmoid(o) * torch.tanh(c), c


def gru(x: Tensor, u: Tensor, states: State, candidate: Any) -> State:
    (xr, xz, xn), (ur, uz, un) = x.chunk(3, -1), u.chunk(3, -1)
    r, z = torch.sigmoid(xr + ur), torch.sigmoid(xz + uz)
    return ((1 - z) * torch.tanh(xn + r * un) * candidate + z * states[0],)


def elman(x: Tensor, u: Tensor, states: State, candidate: Any) -> State:
    return (torch.tanh(x + u),)


STEPS = {"LSTM": (lstm, "hc"), "GRU": (gru, "h"), "Elman": (elman, "h")}


def _of(value: Any, place: int) -> Any:
    return value[place] if isinstance(value, (tuple, list)) else value


def _clipped(value: Tensor, bound: float | None) -> Tensor:
    if bound is not None:
        value = value * 1.0
        value.register_hook(lambda g: g.clamp(-bound, bound))
    return value


def direction(
    cell: str,
    x: Tensor,
    weights: State,
    options: Mapping[str, Any],
    random: Mapping[str, Tensor],
    lengths: Sequence[int],
    reverse: bool,
) -> tuple[Tensor, State]:
    """One direction of a layer, ``(T, B, I)``; ``random`` has the numbers of every step by name."""
    step, names = STEPS[cell]
    w_ih, w_hh, b_ih, b_hh = weights
    T, B, _ = x.shape
    states: State = [x.new_zeros(B, w_hh.shape[1]) for _ in names]
    outputs: list[Any] = [None] * T
    for t in reversed(range(T)) if reverse else range(T):

        def drawn(name: str, default: float, t: int = t) -> Any:
            return random[name][t] if name in random else default

        u = linear(states[0] * drawn("state_dropout_h", 1.0), w_hh, b_hh)
        new = []
        computed = step(linear(x[t], w_ih, b_ih), u, states, drawn("candidate_1", 1.0))
        for i, (name, old, plain) in enumerate(zip(names, states, computed, strict=True)):
            noisy, bound = plain + drawn(f"state_noise_{name}", 0.0), _of(options["state_clip"], i)
            clipped = noisy if bound is None else noisy.clamp(-bound, bound)
            kept = torch.where(torch.as_tensor(drawn(f"zoneout_{name}", 0.0)) == 1, old, clipped)
            new.append(_clipped(kept, _of(options["grad_clip"], i)))
        active = (torch.tensor(lengths) > t)[:, None]
        outputs[t] = torch.where(active, new[0], 0.0)
        states = [torch.where(active, n, old) for n, old in zip(new, states, strict=True)]
    return torch.stack(outputs), states


def layers(
    cell: str,
    x: Tensor,
    weights: Sequence[State],
    options: Mapping[str, Any],
    masks: Sequence[tuple[Tensor | None, Mapping[str, Tensor], Tensor | None]],
    lengths: Sequence[int],
) -> tuple[Tensor, State]:
    """Layers in one direction or two, ``len(weights) / len(masks)`` of them; ``masks`` are of each
    layer the factors of its input and output, and what its steps read."""
    D = len(weights) // len(masks)
    finals: list[State] = []
    for layer, (first, random, last) in enumerate(masks):
        x = x if first is None else x * first
        found = []
        for d in range(D):
            own = {name: t.chunk(D, -1)[d] for name, t in random.items()}
            mine = weights[layer * D + d]
            found.append(direction(cell, x, mine, options, own, lengths, d == 1))
        x = torch.cat([output for output, _ in found], -1)
        x = x if last is None else x * last
        finals += [states for _, states in found]
    return x, [torch.stack(parts) for parts in zip(*finals, strict=True)]
