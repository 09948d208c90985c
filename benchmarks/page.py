"""``python -m benchmarks.page``: puts the figures into docs/performance.md, and draws its plots.

Tables go between the marks ``<!-- SECTION -->`` and ``<!-- end -->``; the text around them is
written by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .run import FIGURES, SECTIONS

PAGE = Path("docs/performance.md")
SIZES = {"layers": (7, 5), "roofline": (7, 4.5), "scaling": (9, 5.5)}  # of the plots, in inches


def filled(page: str, figures: dict[str, Any]) -> str:
    """The page with the tables of these figures."""

    def region(match: re.Match[str]) -> str:
        name = match[1]
        text = _about(figures) if name == "about" else SECTIONS[name].show(figures)
        return f"<!-- {name} -->\n\n{text}\n\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", region, page, flags=re.S)


def _about(figures: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in figures["about"].items())


def draw(figures: dict[str, Any]) -> None:
    """The plots, as small SVG files whose text is text."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "elman", "font.size": 8})
    from matplotlib import pyplot as plt

    for name, size in SIZES.items():
        if name in figures:
            figure = plt.figure(figsize=size, layout="constrained")
            SECTIONS[name].plot(figures, figure)
            figure.savefig(PAGE.parent / f"{name}.svg", metadata={"Date": None})


def main() -> None:
    """Writes page and plots."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    draw(figures)


if __name__ == "__main__":
    main()
