"""Pictures of learn/gates.md."""

import torch
from matplotlib.figure import Figure

import elman

from . import style
from .style import INPUT, OUTPUT, STATE, WEIGHT


def lstm() -> Figure:
    """One step of an LSTM: the cell state runs through at the top."""
    figure, on = style.canvas(13.0, 6.6)
    style.box(on, (0.9, 5.6), "$c_{t-1}$", STATE, width=1.2)
    style.box(on, (12.1, 5.6), "$c_t$", STATE, width=1.2)
    style.box(on, (0.9, 1.2), "$h_{t-1}$", OUTPUT, width=1.2)
    style.box(on, (2.6, 0.4), "$x_t$", INPUT, width=1.2)
    style.box(on, (12.1, 2.9), "$h_t$", OUTPUT, width=1.2)
    # What is read goes along the bottom, and up into every gate.
    for start, end in (((1.5, 1.2), (8.6, 1.2)), ((2.6, 0.8), (2.6, 1.2))):
        on.plot(*zip(start, end, strict=True), color="#333", lw=1)
    gates = {3.6: ("$\\sigma$", "$f_t$"), 5.2: ("$\\sigma$", "$i_t$"), 6.8: ("tanh", "$g_t$")}
    for x, (function, name) in (gates | {8.6: ("$\\sigma$", "$o_t$")}).items():
        style.box(on, (x, 2.2), function, WEIGHT)
        style.arrow(on, (x, 1.2), (x, 1.8))
        style.text(on, (x + 0.35, 2.9), name)
    circle = {"width": 0.6, "height": 0.6}
    for at, sign in (((3.6, 5.6), "$\\times$"), ((6.0, 5.6), "$+$"), ((6.0, 4.0), "$\\times$")):
        style.box(on, at, sign, "white", **circle)
    style.box(on, (10.2, 4.4), "tanh", STATE)
    style.box(on, (10.2, 2.9), "$\\times$", "white", **circle)
    for start, end in (
        ((1.5, 5.6), (3.3, 5.6)),
        ((3.9, 5.6), (5.7, 5.6)),
        ((6.3, 5.6), (11.5, 5.6)),
        ((3.6, 2.6), (3.6, 5.3)),
        ((5.2, 2.6), (5.85, 3.7)),
        ((6.8, 2.6), (6.15, 3.7)),
        ((6.0, 4.3), (6.0, 5.3)),
        ((10.2, 5.6), (10.2, 4.8)),
        ((10.2, 4.0), (10.2, 3.2)),
        ((9.1, 2.2), (9.9, 2.75)),
        ((10.5, 2.9), (11.5, 2.9)),
    ):
        style.arrow(on, start, end)
    return figure


def reach() -> Figure:
    """How large the gradient of a loss at the last step is at each step before."""
    figure, axes = style.axes(height=3.2)
    for layer, forget, dashes in (
        (elman.RNN, 0, "-"),
        (elman.GRU, 0, "--"),
        (elman.LSTM, 0, ":"),
        (elman.LSTM, 3, "-."),
    ):
        torch.manual_seed(0)
        net = layer(input_size=8, hidden_size=32)
        if forget:
            with torch.no_grad():
                net.bias_ih_l0[32:64] = forget
        inputs = torch.randn(50, 1, 8).requires_grad_()
        (slope,) = torch.autograd.grad(net(inputs)[0][-1].sum(), inputs)
        label = f"{layer.__name__}, $b_f$ = {forget}" if forget else layer.__name__
        axes.semilogy(range(1, 51), slope[:, 0].norm(dim=1).tolist(), dashes, label=label)
    axes.set(xlabel="$t$", ylabel="$\\|\\partial L\\, /\\, \\partial x_t\\|$")
    axes.legend(frameon=False)
    return figure
