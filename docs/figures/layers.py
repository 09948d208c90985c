"""Pictures of learn/layers.md."""

from matplotlib.figure import Figure

from . import style
from .style import INPUT, OUTPUT, STATE

STEPS = {1: 2.0, 2: 5.0, 3: 8.0}  # where each step is, from left to right


def stacked() -> Figure:
    """Two layers over three steps; on the right the final state of each."""
    figure, on = style.canvas(11.2, 5.6)
    for t, x in STEPS.items():
        style.box(on, (x, 0.4), f"$x_{t}$", INPUT)
        for layer, y in enumerate((2.0, 3.8)):
            style.box(on, (x, y), f"$h_{t}^{layer}$", STATE, width=1.2, height=0.9)
            style.arrow(on, (x, y - (1.2 if layer == 0 else 1.35)), (x, y - 0.45))
            style.arrow(on, (x + 0.6, y), (x + (2.4 if t < 3 else 1.3), y))
        style.arrow(on, (x, 4.25), (x, 4.9))
        style.text(on, (x, 5.2), f"output[{t - 1}]")
    for layer, y in enumerate((2.0, 3.8)):
        style.text(on, (10.2, y), f"$h_n$[{layer}]")
    return figure


def directions() -> Figure:
    """Two directions over three steps, and where each ends."""
    figure, on = style.canvas(11.2, 5.6)
    for t, x in STEPS.items():
        style.box(on, (x, 0.4), f"$x_{t}$", INPUT)
        style.box(on, (x - 0.5, 2.2), f"$h_{t}$", STATE, width=0.9)
        style.box(on, (x + 0.5, 3.6), f"$h_{t}'$", OUTPUT, width=0.9)
        style.arrow(on, (x - 0.2, 0.8), (x - 0.5, 1.8))
        style.arrow(on, (x + 0.2, 0.8), (x + 0.5, 3.2))
        style.arrow(on, (x - 0.5, 2.6), (x - 0.2, 4.9))
        style.arrow(on, (x + 0.5, 4.0), (x + 0.2, 4.9))
        style.text(on, (x, 5.2), f"output[{t - 1}]")
        style.arrow(on, (x - 0.05, 2.2), (x + (2.05 if t < 3 else 1.5), 2.2))
        style.arrow(on, (x + 0.05, 3.6), (x - (2.05 if t > 1 else 1.0), 3.6))
    style.text(on, (10.1, 2.2), "$h_n$[0]")
    style.text(on, (0.5, 3.6), "$h_n$[1]")
    return figure
