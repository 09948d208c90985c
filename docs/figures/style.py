"""How pictures look, and the few shapes that diagrams are made of.

Backgrounds are transparent and lines dark; on a dark page `assets/site.css` inverts the lightness.
"""

import io
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

INPUT, STATE, OUTPUT, WEIGHT = "#ffe0b2", "#bbdefb", "#c8e6c9", "#e1bee7"  # of boxes
LINES = "#1565c0", "#c62828", "#2e7d32", "#6a1b9a", "#e65100"  # of plots

LOOK = {
    "axes.prop_cycle": mpl.cycler(color=LINES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "savefig.transparent": True,
    "svg.hashsalt": "elman",  # the same file from every build
}


def svg(figure: Figure) -> str:
    """A figure as SVG text."""
    file = io.StringIO()
    with mpl.rc_context(LOOK):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return file.getvalue()


def axes(rows: int = 1, columns: int = 1, width: float = 5.5, height: float = 3.0) -> Any:
    """A figure and its axes, one or an array; sizes in inches."""
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns)


def heat(on: Axes, values: Any) -> None:
    """A matrix of numbers between -1 and 1 as colours, with the numbers on them."""
    on.imshow(
        values.tolist(), cmap="RdBu", vmin=-1.4, vmax=1.4, aspect="auto"
    )  # pale enough for black text
    on.tick_params(length=0)
    on.spines[:].set_visible(False)
    for row, line in enumerate(values.tolist()):
        for column, value in enumerate(line):
            on.text(column, row, f"{value:.4f}", ha="center", va="center", fontsize=9)


def canvas(width: float, height: float, scale: float = 0.6) -> tuple[Figure, Axes]:
    """A figure for a diagram, whose units are about the height of a box."""
    figure = Figure(figsize=(width * scale, height * scale))
    on = figure.add_axes((0, 0, 1, 1))
    on.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    on.axis("off")
    return figure, on


def text(on: Axes, at: tuple[float, float], words: str) -> None:
    """Words or a formula, centred."""
    on.text(*at, words, ha="center", va="center")


def box(
    on: Axes,
    center: tuple[float, float],
    words: str,
    color: str,
    width: float = 1.0,
    height: float = 0.8,
) -> None:
    """A labelled box."""
    x, y = center[0] - width / 2, center[1] - height / 2
    corners = "round,pad=0,rounding_size=0.12"
    on.add_patch(FancyBboxPatch((x, y), width, height, corners, facecolor=color, edgecolor="#333"))
    text(on, center, words)


def arrow(
    on: Axes, start: tuple[float, float], end: tuple[float, float], color: str = "#333"
) -> None:
    """An arrow between two points."""
    on.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=color, shrinkA=0, shrinkB=0
        )
    )


def grid(
    on: Axes, corner: tuple[float, float], rows: int, columns: int, color: str, cell: float = 0.5
) -> None:
    """A matrix as squares; `corner` is its lower left one."""
    for row in range(rows):
        for column in range(columns):
            at = corner[0] + column * cell, corner[1] + row * cell
            on.add_patch(Rectangle(at, cell, cell, facecolor=color, edgecolor="#333", lw=0.8))
