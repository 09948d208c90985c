"""What a user of the tasks got wrong; the command line prints the text without a traceback."""

from collections.abc import Sequence


class TaskError(ValueError):
    """Data, options or a model folder can't be used: says what, where, and how to mend it."""


def places(numbers: Sequence[object], one: str = "line", many: str = "lines", show: int = 5) -> str:
    """The first few of many line numbers, in words.

    >>> places([7])
    'line 7'
    >>> places([1, 2, 3, 4, 5, 6, 7])
    'lines 1, 2, 3, 4, 5 and 2 more'
    """
    named = ", ".join(str(number) for number in numbers[:show])
    if len(numbers) == 1:
        return f"{one} {named}"
    more = f" and {len(numbers) - show} more" if len(numbers) > show else ""
    return f"{many} {named}{more}"
