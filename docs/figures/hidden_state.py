"""Pictures of learn/hidden-state.md."""

from matplotlib.figure import Figure

from . import style
from .style import INPUT, OUTPUT, STATE


def unrolled() -> Figure:
    """One cell over three time steps: what each step reads, and what it passes on."""
    figure, axes = style.canvas(10.4, 4.2)
    style.text(axes, (0.6, 2.1), "$h_0$")
    for t in range(1, 4):
        x = 2.9 * t - 0.5
        style.box(axes, (x, 2.1), "tanh", STATE, width=1.4, height=1.1)
        style.box(axes, (x, 0.4), f"$x_{t}$", INPUT)
        style.box(axes, (x, 3.8), f"$h_{t}$", OUTPUT)
        style.arrow(axes, (x, 0.8), (x, 1.55))
        style.arrow(axes, (x, 2.65), (x, 3.4))
        style.arrow(axes, (x - 2.2 if t > 1 else 0.95, 2.1), (x - 0.7, 2.1))
        style.text(axes, (x + 0.4, 1.15), "$W_{ih}$")
        style.text(axes, (x - 1.25, 2.4), "$W_{hh}$")
    style.arrow(axes, (8.9, 2.1), (9.7, 2.1))
    style.text(axes, (10.05, 2.1), "$h_n$")
    return figure


def step() -> Figure:
    """The shapes of one step: two products, two biases, tanh."""
    figure, axes = style.canvas(13.2, 3.4)
    parts = [  # what it is, rows, columns, colour, what follows
        ("$h_t$", 4, 1, OUTPUT, "$=\\,\\tanh($"),
        ("$W_{ih}$", 4, 2, style.WEIGHT, ""),
        ("$x_t$", 2, 1, INPUT, "$+$"),
        ("$b_{ih}$", 4, 1, style.WEIGHT, "$+$"),
        ("$W_{hh}$", 4, 4, style.WEIGHT, ""),
        ("$h_{t-1}$", 4, 1, STATE, "$+$"),
        ("$b_{hh}$", 4, 1, style.WEIGHT, "$)$"),
    ]
    x = 0.2
    for name, rows, columns, color, after in parts:
        style.grid(axes, (x, 1.7 - rows / 4), rows, columns, color)
        style.text(axes, (x + columns / 4, 3.1), name)
        style.text(axes, (x + columns / 4, 0.25), f"${rows}\\times{columns}$")
        x += columns / 2
        gap = 1.6 if "tanh" in after else 0.6
        style.text(axes, (x + gap / 2, 1.7), after)
        x += gap
    return figure


def shapes() -> Figure:
    """A batch as blocks: the input, all states of the last layer, the last state."""
    figure, axes = style.canvas(12.4, 3.8)
    for left, name, columns, color, size in [
        (0.2, "input", 2, INPUT, "(T, B, I)"),
        (5.2, "output", 4, OUTPUT, "(T, B, H)"),
    ]:
        for t in range(3):  # each step a little behind the one before
            style.grid(axes, (left + 0.55 * (2 - t), 0.9 + 0.55 * (2 - t)), 2, columns, color)
        style.text(axes, (left + 1.4, 3.5), f"{name} {size}")
    style.grid(axes, (10.0, 1.45), 2, 4, STATE)
    style.text(axes, (11.0, 3.5), "$h_n$ (1, B, H)")
    style.arrow(axes, (3.2, 2.1), (4.9, 2.1))
    style.text(axes, (4.05, 2.45), "RNN")
    style.arrow(axes, (8.6, 2.0), (9.8, 2.0))
    style.text(axes, (9.2, 2.35), "$t = T$")
    return figure
