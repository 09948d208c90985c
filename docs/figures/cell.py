"""Pictures of learn/cell.md."""

from matplotlib.figure import Figure

from . import style
from .style import INPUT, OUTPUT, STATE


def loop() -> Figure:
    """A layer around three steps, and a cell that is called for each."""
    figure, on = style.canvas(11.8, 4.4)
    style.box(on, (3.0, 2.1), "RNN", STATE, width=5.2, height=1.1)
    for t in range(1, 4):
        x = 1.7 * t - 0.4
        style.box(on, (x, 0.5), f"$x_{t}$", INPUT)
        style.box(on, (x, 3.8), f"$h_{t}$", OUTPUT)
        style.arrow(on, (x, 0.9), (x, 1.55))
        style.arrow(on, (x, 2.65), (x, 3.4))
    style.box(on, (8.4, 2.1), "RNNCell", STATE, width=2.2, height=1.1)
    style.box(on, (8.4, 0.5), "$x$", INPUT)
    style.box(on, (8.4, 3.8), "$h$", OUTPUT)
    style.arrow(on, (8.4, 0.9), (8.4, 1.55))
    style.arrow(on, (8.4, 2.65), (8.4, 3.4))
    for start, end in (((8.9, 3.8), (10.8, 3.8)), ((10.8, 3.8), (10.8, 2.1))):
        on.plot(*zip(start, end, strict=True), color="#333", lw=1)
    style.arrow(on, (10.8, 2.1), (9.5, 2.1))
    style.text(on, (10.7, 1.75), "for x in inputs")
    return figure
