"""Pictures of learn/lengths.md."""

from matplotlib.figure import Figure

from . import style

LENGTHS = 4, 2, 3
PADDING = "#e0e0e0"


def padding() -> Figure:
    """The steps of a padded batch, one row a sequence."""
    figure, on = style.canvas(8.0, 3.9)
    for row, length in enumerate(LENGTHS):
        for t in range(max(LENGTHS)):
            real = t < length
            words = f"$x_{t + 1}$" if real else "0"
            at = 2.2 + 1.4 * t, 3.4 - 1.1 * row
            style.box(on, at, words, style.INPUT if real else PADDING, width=1.2)
        style.text(on, (0.7, 3.4 - 1.1 * row), f"$b={row + 1}$")
    return figure
