"""Pictures of learn/own-cell.md."""

from matplotlib.figure import Figure

from . import style
from .style import INPUT, STATE, WEIGHT


def mgu() -> Figure:
    """One step of a minimal gated unit: the state runs through at the top."""
    figure, on = style.canvas(12.0, 6.4)
    style.box(on, (0.9, 5.4), "$h_{t-1}$", STATE, width=1.2)
    style.box(on, (11.1, 5.4), "$h_t$", STATE, width=1.2)
    style.box(on, (0.9, 0.8), "$x_t$", INPUT, width=1.2)
    circle = {"width": 0.6, "height": 0.6}
    for at in ((8.0, 5.4), (4.6, 3.9), (9.2, 2.2)):
        style.box(on, at, "$\\times$", "white", **circle)
    style.box(on, (9.2, 5.4), "$+$", "white", **circle)
    style.box(on, (8.0, 3.9), "$1-$", "white", width=0.8, height=0.6)
    style.box(on, (2.8, 2.2), "$\\sigma$", WEIGHT)
    style.box(on, (6.4, 2.2), "tanh", WEIGHT)
    for at, words in (((3.2, 3.0), "$f_t$"), ((7.3, 1.9), "$n_t$")):
        style.text(on, at, words)
    lines = (
        ((1.5, 0.8), (6.4, 0.8)),  # the input, along the bottom
        ((2.8, 2.6), (2.8, 3.9)),  # the gate, up and to the right
        ((5.4, 3.9), (5.4, 3.0)),  # the state times the gate
        ((5.4, 3.0), (6.4, 3.0)),
        ((4.1, 3.9), (4.1, 4.7)),  # the gate again, over to the candidate
        ((4.1, 4.7), (7.0, 4.7)),
        ((7.0, 4.7), (7.0, 3.1)),
        ((7.0, 3.1), (9.2, 3.1)),
        ((4.9, 3.9), (5.4, 3.9)),
        ((1.8, 5.4), (1.8, 2.2)),  # the state, down to the gate
        ((9.5, 2.2), (9.9, 2.2)),  # what is added, up to the state
        ((9.9, 2.2), (9.9, 4.2)),
        ((9.9, 4.2), (9.2, 4.2)),
    )
    for start, end in lines:
        on.plot(*zip(start, end, strict=True), color="#333", lw=1)
    for start, end in (
        ((1.5, 5.4), (7.7, 5.4)),
        ((8.3, 5.4), (8.9, 5.4)),
        ((9.5, 5.4), (10.5, 5.4)),
        ((1.8, 2.2), (2.3, 2.2)),
        ((2.8, 0.8), (2.8, 1.8)),
        ((6.4, 0.8), (6.4, 1.8)),
        ((2.8, 3.9), (4.3, 3.9)),
        ((4.6, 5.4), (4.6, 4.2)),
        ((6.4, 3.0), (6.4, 2.6)),
        ((7.0, 3.9), (7.6, 3.9)),
        ((8.0, 4.2), (8.0, 5.1)),
        ((6.9, 2.2), (8.9, 2.2)),
        ((9.2, 3.1), (9.2, 2.5)),
        ((9.2, 4.2), (9.2, 5.1)),
    ):
        style.arrow(on, start, end)
    return figure
