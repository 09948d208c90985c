"""Pictures of learn/parameters.md."""

from matplotlib.figure import Figure

from . import style

COLORS = style.INPUT, style.STATE, style.OUTPUT, style.WEIGHT
LAYERS = {"RNN": 1, "GRU": 3, "LSTM": 4}  # blocks of each matrix


def blocks() -> Figure:
    """The parameters of the layers, to scale: one block of rows for each gate."""
    figure, on = style.canvas(15.0, 5.4, scale=0.5)
    for left, (name, count) in zip((0.2, 5.2, 10.2), LAYERS.items(), strict=True):
        style.text(on, (left + 2.0, 5.1), name)
        for block in range(count):
            for at, columns in ((0.0, 2), (1.2, 4), (3.4, 1), (4.1, 1)):
                corner = left + at, 3.4 - block
                style.grid(on, corner, 4, columns, COLORS[block], cell=0.25)
        top = 4.65
        for at, what in ((0.25, "W_{ih}"), (1.7, "W_{hh}"), (3.35, "b_{ih}"), (4.3, "b_{hh}")):
            style.text(on, (left + at, top), f"${what}$")
    return figure
