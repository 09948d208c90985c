"""Pictures of learn/resets.md."""

import torch
from matplotlib.figure import Figure

import elman

from . import style


def episodes() -> Figure:
    """Five steps, the fourth of which begins a new episode."""
    figure, on = style.canvas(13.2, 3.6)
    style.box(on, (0.8, 2.6), "0", "white")
    for t in range(1, 6):
        x = 0.8 + 2.2 * t - (0.0 if t < 4 else -0.6)
        style.box(on, (x, 2.6), f"$h_{t}$", style.STATE)
        style.box(on, (x, 0.8), f"$x_{t}$", style.INPUT)
        style.arrow(on, (x, 1.2), (x, 2.2))
        if t != 4:
            style.arrow(on, (x - 1.7, 2.6), (x - 0.5, 2.6))
    style.box(on, (8.6, 2.6), "0", "white")
    style.arrow(on, (9.1, 2.6), (9.7, 2.6))
    on.plot((8.0, 8.0), (0.3, 3.3), color="#c62828", lw=1.5, ls="--")
    return figure


def reach() -> Figure:
    """How large the gradient of a loss at the last step is, whole and in windows."""
    figure, axes = style.axes(height=2.8)
    for size, look in ((40, "-"), (20, "--"), (10, ":")):
        torch.manual_seed(0)
        lstm = elman.init.forget_bias_(elman.LSTM(4, 8), 3)
        inputs = torch.rand(40, 1, 4).requires_grad_()
        *_, last = elman.windows(lstm, inputs, size)
        (slope,) = torch.autograd.grad(last.output[-1].sum(), inputs)
        axes.plot(range(1, 41), slope[:, 0].norm(dim=1).tolist(), look, label=f"size = {size}")
    axes.set(xlabel="$t$", ylabel="$\\|\\partial L\\, /\\, \\partial x_t\\|$")
    axes.legend(frameon=False)
    return figure
