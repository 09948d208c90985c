"""Pictures of learn/options.md."""

import torch
from matplotlib.figure import Figure

from . import style

SEQUENCES = style.INPUT, style.OUTPUT  # a colour for each sequence of the batch


def batch_first() -> Figure:
    """The same two sequences of three steps, in both orders."""
    figure, on = style.canvas(12.0, 3.6)
    for left, title, groups in (
        (0.4, "(T, B, I)", [[(t, b) for b in range(2)] for t in range(3)]),
        (7.0, "(B, T, I)", [[(t, b) for t in range(3)] for b in range(2)]),
    ):
        top = 2.6
        for group in groups:
            for t, b in group:
                style.grid(on, (left + 0.7, top), 1, 2, SEQUENCES[b], cell=0.35)
                style.text(on, (left + 2.6, top + 0.17), f"$t={t + 1},\\ b={b + 1}$")
                top -= 0.35
            top -= 0.2
        style.text(on, (left + 1.4, 3.3), title)
    style.arrow(on, (4.6, 1.9), (6.9, 1.9))
    style.text(on, (5.75, 2.2), "transpose(0, 1)")
    return figure


def nonlinearities() -> Figure:
    """Both functions on the numbers that states are made from."""
    figure, axes = style.axes(height=2.6)
    x = torch.linspace(-3, 3, 121)
    axes.plot(x.tolist(), x.tanh().tolist(), label="tanh")
    axes.plot(x.tolist(), x.relu().tolist(), label="relu", linestyle="--")
    axes.axhline(0, color="#888", lw=0.6)
    axes.axvline(0, color="#888", lw=0.6)
    axes.set(xlabel="$x$", ylim=(-1.2, 3.1))
    axes.legend(frameon=False)
    return figure
