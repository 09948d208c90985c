"""What a user of the tasks got wrong; the command line prints the text without a traceback."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager


class TaskError(ValueError):
    """Data, options or a model folder can't be used: says what, where, and how to mend it.

    >>> from elman.tasks import load_model
    >>> load_model("no folder")
    Traceback (most recent call last):
    elman.tasks.errors.TaskError: ...
    """


class DivergedError(TaskError):
    """A training's loss or weights are no finite numbers any more."""


#: Of a network whose states are no numbers any more.
BEYOND = (
    "The network's states grow beyond all bounds; train with another cell, or a lower learning "
    "rate."
)
SHOWN = 5  # places that are named


@contextmanager
def on_disk(path: object, deed: str) -> Iterator[None]:
    """What the system refuses to do with a file is a TaskError; `deed` is "read" or "written"."""
    try:
        yield
    except OSError as error:
        raise TaskError(f"{path}: can't be {deed} ({error.strerror or error}).") from None


def meant(given: object, names: Iterable[str]) -> str:
    """What follows an error about a name: the one that was perhaps meant, if there is one.

    >>> meant("lstmm", ["rnn", "lstm"]), meant("x", ["rnn", "lstm"])
    (" Did you mean 'lstm'?", '')
    """
    close = difflib.get_close_matches(str(given).lower(), list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def places(
    numbers: Sequence[object], one: str = "line", many: str = "lines", total: int | None = None
) -> str:
    """The first few of `total` line numbers, in words; by default the numbers given are all.

    >>> places([7])
    'line 7'
    >>> places([1, 2, 3, 4, 5, 6, 7])
    'lines 1, 2, 3, 4, 5 and 2 more'
    """
    named = ", ".join(str(number) for number in numbers[:SHOWN])
    total = len(numbers) if total is None else total
    if total == 1:
        return f"{one} {named}"
    more = f" and {total - SHOWN} more" if total > SHOWN else ""
    return f"{many} {named}{more}"
