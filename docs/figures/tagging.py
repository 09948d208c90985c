"""Pictures of learn/tagging.md."""

import itertools

from matplotlib.figure import Figure

from . import style
from .style import INPUT, OUTPUT, STATE

SPOKEN = "Lǐ", "Léi", "zài"  # the characters
SCORES = ("2.0", "1.5", "$-\\infty$"), ("0.0", "0.5", "2.0"), ("2.0", "0.0", "1.0")  # O, B, I
BEST = 1, 2, 0
WIDE, HIGH = 4.0, 1.6


def lattice() -> Figure:
    """Three tags at three steps, and the edges between them with their scores."""
    figure, on = style.canvas(12.0, 5.9)
    at = [[(2.0 + WIDE * t, 4.9 - HIGH * tag) for tag in range(3)] for t in range(3)]
    for t, (before, after) in itertools.product(range(2), itertools.product(range(3), repeat=2)):
        start, end = at[t][before], at[t + 1][after]
        if (before, after) == (0, 2) or (t, before) == (0, 2):  # no path goes there
            continue
        color = style.LINES[1] if (before, after) == (BEST[t], BEST[t + 1]) else "#bbb"
        style.arrow(on, (start[0] + 0.8, start[1]), (end[0] - 0.8, end[1]), color)
    for t, spoken in enumerate(SPOKEN):
        for tag, (letter, score) in enumerate(zip("OBI", SCORES[t], strict=True)):
            color = OUTPUT if BEST[t] == tag else STATE
            style.box(on, at[t][tag], f"{letter}   {score}", color, width=1.6)
        style.box(on, (2.0 + WIDE * t, 0.5), spoken, INPUT, width=1.6)
    for t in range(2):  # from B to I
        style.text(on, (2.0 + WIDE * (t + 0.73), 3.3 - HIGH * 0.6), "+1.0")
    return figure
