"""Ctrl-C while a model learns: the step under way is finished, so that nothing is half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

USUAL: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


class Interrupt:
    """Whether somebody has `asked` for the end."""

    asked = False


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Ctrl-C and SIGTERM only ask for the end, inside; a second Ctrl-C interrupts as ever.

    Signals that the program handles in a way of its own are left alone.
    """
    interrupt = Interrupt()

    def ask(number: int, frame: Any) -> None:
        if interrupt.asked and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        interrupt.asked = True

    taken = []
    if threading.current_thread() is threading.main_thread():  # no other may handle signals
        taken = [number for number, usual in USUAL.items() if signal.getsignal(number) == usual]
    for number in taken:
        signal.signal(number, ask)
    try:
        yield interrupt
    finally:
        for number in taken:
            signal.signal(number, USUAL[number])
