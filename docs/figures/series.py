"""Pictures of learn/series.md."""

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor

import elman

from . import style

SHOWN = -31  # the window


def wandering() -> Tensor:
    """Two hundred days with a pattern, noise, and a level that wanders."""
    torch.manual_seed(0)
    hours = torch.arange(24 * 200)
    angle = 2 * math.pi * hours / 24
    regular = angle.sin() + 0.5 * (2 * angle).sin() + 0.3 * torch.randn(len(hours))
    torch.manual_seed(1)
    level = (0.3 * torch.randn(200)).cumsum(0)
    return regular + level.repeat_interleave(24)


def network(past: Tensor, future: Tensor) -> Tensor:
    """What a GRU forecasts for all windows, having learned from the first 120."""
    level = past[:, -24:].mean(1, keepdim=True)
    inputs = (past - level).T[..., None]
    torch.manual_seed(0)
    gru, head = elman.GRU(1, 32), torch.nn.Linear(32, 24)
    optimizer = torch.optim.Adam([*gru.parameters(), *head.parameters()], lr=0.01)
    for _ in range(60):
        told = level[:120] + head(gru(inputs[:, :120])[1][0])
        (told - future[:120]).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return level + head(gru(inputs)[1][0])


def forecast() -> Figure:
    """The last day that is known, the next one, and three forecasts of it."""
    both = wandering().unfold(0, 8 * 24, 24)
    past, future = both[:, : 7 * 24], both[:, 7 * 24 :]
    told = {
        "naive": (past[SHOWN, -24:], ":"),
        "average": (past[SHOWN].view(7, 24).mean(0), "--"),
        "GRU": (network(past, future)[SHOWN], "-"),
    }
    figure, axes = style.axes(width=7.0, height=3.2)
    axes.plot(range(-24, 24), both[SHOWN, -48:].tolist(), ".", color="#888", label="series")
    for name, (values, dashes) in told.items():
        axes.plot(range(24), values.tolist(), dashes, label=name)
    axes.axvline(-0.5, color="#333", lw=0.8)
    axes.set(xlabel="hours", xticks=range(-24, 25, 6))
    axes.legend(frameon=False, ncols=2)
    return figure
