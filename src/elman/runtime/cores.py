"""Work that threads share on the cores that are there: what they wait for is not Python."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

MOST = 8
"""Threads: a kernel has some ten parts, and one of them takes a third of the time."""


def cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Linux alone has it
        return os.cpu_count() or 1


def side_by_side(run: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """What ``run`` makes of each item, in the order of the items.

    The caller and helpers take the next item whenever they are free. The items may be made as they
    are taken, by one thread at a time. The first exception ends it, once all helpers are done.

    >>> side_by_side(str, range(3))
    ['0', '1', '2']
    """
    turn, numbered = threading.Lock(), enumerate(items)
    found, failed = dict[int, _Result](), list[BaseException]()

    def work() -> None:
        try:
            while not failed:
                with turn:
                    taken = next(numbered, None)
                if taken is None:
                    return
                found[taken[0]] = run(taken[1])
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            failed.append(error)

    helpers = [threading.Thread(target=work, daemon=True) for _ in range(min(MOST, cores()) - 1)]
    try:
        with contextlib.suppress(RuntimeError):  # as many as the system allows
            for helper in helpers:
                helper.start()
        work()
    except BaseException as error:  # noqa: BLE001 - an interrupt, which waits for the helpers
        failed.append(error)
    while running := [helper for helper in helpers if helper.is_alive()]:
        try:
            running[0].join()
        except BaseException as error:  # noqa: BLE001 - the same
            failed.append(error)
    if failed:
        raise failed[0]
    return [found[number] for number in sorted(found)]
