"""``python -m benchmarks.page``: puts the figures into the documents, and draws their plots.

Tables go between the marks ``<!-- SECTION -->`` and ``<!-- end -->``; the text around them is
written by hand. ``<!-- means -->`` is the summary of the section ``layers``. What another command
prints goes by hand after a mark of two words, such as ``<!-- printed parts -->``. The Chinese pages
repeat all of it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from . import chinese, layers
from .run import FIGURES, SECTIONS

DOCS = Path("docs")
DOCUMENTS = tuple(DOCS / name for name in ("performance.md", "measurements.md"))
SIZES = {"layers": (7, 5), "roofline": (7, 4.5), "scaling": (9, 5.5)}  # of plots, in inches


def filled(text: str, figures: dict[str, Any]) -> str:
    """The document with the tables of these figures."""

    def region(match: re.Match[str]) -> str:
        name, mark, shown = match.groups()
        if name.startswith("printed "):
            return match[0]
        if name == "about":
            about = dict(figures[name])
            later = about.pop("later", {})
            about |= {f"commit of the section {part}": commit for part, commit in later.items()}
            shown = "\n".join(f"- {what}: {value}" for what, value in about.items())
        elif name == "means":
            shown = layers.means(figures) if figures.get("layers") else "Not measured."
        else:
            shown = SECTIONS[name].show(figures) if figures.get(name) else "Not measured."
        return f"{name}{mark}\n{shown}\n\n"

    return chinese.REGION.sub(region, text)


def draw(figures: dict[str, Any]) -> None:
    """The plots, as small SVG files whose text is text."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "elman", "font.size": 8})
    from matplotlib import pyplot as plt

    for name, size in SIZES.items():
        if figures.get(name):
            figure = plt.figure(figsize=size, layout="constrained")
            SECTIONS[name].plot(figures, figure)
            figure.savefig(DOCS / f"{name}.svg", metadata={"Date": None})


def main() -> None:
    """Writes all documents and plots."""
    if not FIGURES.exists():
        sys.exit(f"{FIGURES} is not there: python -m benchmarks measures it")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        document.write_text(filled(text, figures), encoding="utf-8")
    for english, page in chinese.pages(DOCS):
        text, source = (it.read_text(encoding="utf-8") for it in (page, english))
        page.write_text(chinese.mirrored(text, source), encoding="utf-8")
    draw(figures)


if __name__ == "__main__":
    main()
