"""What is seen of a training: a live line while it runs, and a line for every epoch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from skorch.callbacks import Callback

from .net import SequenceNet

WIDE = 100  # columns, at least, for a long bar
TIME = 7  # columns of the time left
EVERY = 20.0  # seconds from a line on what is under way to the next, where there is no terminal


@contextmanager
def under_way(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows that something takes a while, and, when called, how much of it is done.

    On a terminal that is one line, which goes away; elsewhere a line at first, and then at most one
    every few seconds.
    """
    lines = _Lines(console)
    with console.status(what) as status:
        if not console.is_terminal:
            console.print(f"{what} ...", highlight=False)

        def told(done: int, total: int) -> None:
            status.update(f"{what}: {done:,} of {total:,}")
            lines.show(what, done, total)

        yield told


class _Lines:
    """Lines on what is under way, where there is no terminal, and not too many of them."""

    def __init__(self, console: Console) -> None:
        self.console, self.since = console, monotonic()

    def show(self, what: str, done: int, total: int) -> None:
        """A line, unless there was one a moment ago."""
        if not self.console.is_terminal and monotonic() - self.since >= EVERY:
            self.console.print(f"{what}: {done:,} of {total:,}", highlight=False)
            self.since = monotonic()


class ProgressBar(Callback):
    """Shows every training step on `console`, and leaves one line for each epoch.

    A narrow terminal shows fewer figures. Where the console is no terminal only the lines of the
    epochs appear, whole, and before these some on what takes long.
    """

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name, self.lines = console, name, _Lines(console)

    def on_train_begin(self, net: SequenceNet, X: Any = None, **_: Any) -> None:
        """Draw the bar, as far along as the training is."""
        steps = len(net.get_iterator(X, training=True))
        done = sum("train_loss" in step for epoch in net.history for step in epoch["batches"])
        if done:
            epoch, step = divmod(done, steps)
            self.console.print(
                f"{self.name}: resumes in epoch {epoch + 1}/{net.max_epochs}, "
                f"after {step:,} of its {steps:,} steps",
                highlight=False,
            )
        self._draw(self.name, done, steps * net.max_epochs)

    def _draw(self, what: str, done: int, total: int) -> None:
        """A new bar."""
        self.stop()
        self.length = 24 if self.console.width >= WIDE else 8
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=self.length),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(what, total=total, completed=done, figures="")
        self.bar.start()

    def prepare(self, what: str, done: int, total: int) -> None:
        """Show how much is done of what comes before the first step."""
        if not done:
            self._draw(f"{self.name}, {what}", done, total)
        self.bar.update(self.task, completed=done)
        self.lines.show(f"{self.name}, {what}", done, total)

    def on_epoch_begin(self, net: SequenceNet, **_: Any) -> None:
        """Start counting anew, or from what was done before an interruption."""
        self.texts = self.right = 0
        self.loss = self.seconds = 0.0
        for step in net.history[-1]["batches"]:
            self._count(step)

    def on_batch_end(self, net: SequenceNet, training: bool, **_: Any) -> None:
        """Move the bar."""
        if not training:
            return
        step = net.history[-1]["batches"][-1]
        self._count(step)
        where = f"{self.name}, epoch {len(net.history)}/{net.max_epochs}"
        figures = [
            (0, f"loss {self.loss / self.texts:.3f}"),
            (1, _accuracy(step, self.right / self.texts)),
            (3, f"lr {step['train_lr']:.1e}"),
            (2, self._speed(net)),
        ]
        room = self.console.width - len(where) - self.length - TIME - 3
        self.bar.update(self.task, advance=1, description=where, figures=_fitting(figures, room))

    def _speed(self, net: SequenceNet) -> str:
        """How much is read in a second; nothing where no time has been measured yet."""
        return f"{self.texts / self.seconds:,.0f} {net.unit}/s" if self.seconds else ""

    def on_epoch_end(self, net: SequenceNet, **_: Any) -> None:
        """Leave a line behind."""
        epoch, held_out, loss, left = net.history[-1], "", "", ""
        if "valid_loss" in epoch:
            held_out = f"held out {net.shown(epoch)}"
            loss = f"held-out loss {epoch['valid_loss']:.3f}"
        if len(net.history) < net.max_epochs:
            took = sum(e["train_seconds"] + e.get("valid_seconds", 0.0) for e in net.history)
            ahead = took / len(net.history) * (net.max_epochs - len(net.history))
            left = f"{timedelta(seconds=round(ahead))} left"
        parts = [
            (0, f"{self.name}, epoch {epoch['epoch']}/{net.max_epochs}"),
            (0, f"loss {epoch['train_loss']:.3f}"),
            (2, _accuracy(epoch, epoch.get("train_acc", 0.0))),
            (0, held_out),
            (3, loss),
            (6, f"lr {epoch['lr']:.1e}"),
            (4, f"{epoch['train_seconds']:.1f} s"),
            (5, self._speed(net)),
            (1, left),
        ]
        room = self.console.width if self.console.is_terminal else None
        self.console.print(_fitting(parts, room), highlight=False, soft_wrap=True)

    def on_train_end(self, net: SequenceNet, **_: Any) -> None:
        """Take the bar away; a training that an error ends gets here too late, see `stop`."""
        self.stop()
        if net.best_weights_:
            best = max(epoch["epoch"] for epoch in net.epochs if epoch["valid_loss_best"])
            self.console.print(f"{self.name}: the weights are those of epoch {best}, the best")

    def stop(self) -> None:
        """Give the terminal back."""
        if hasattr(self, "bar"):
            self.bar.stop()

    def _count(self, step: dict[str, Any]) -> None:
        self.texts += step["train_batch_size"]
        self.right += step.get("train_right", 0)
        self.loss += step["train_loss"] * step["train_batch_size"]
        self.seconds += step["train_seconds"]


def _accuracy(figures: Any, share: float) -> str:
    """The share of right answers in training, of what counts them."""
    return f"accuracy {share:.1%}" if {"train_right", "train_acc"} & set(figures) else ""


def _fitting(parts: Sequence[tuple[int, str]], room: int | None) -> str:
    """The parts beside one another; those of the highest numbers go first where room is short.

    >>> _fitting([(0, "loss 0.1"), (2, "lr 0.01"), (1, "5 s")], 14)
    'loss 0.1  5 s'
    """
    shown = [part for part in parts if part[1]]
    while True:
        line = "  ".join(text for _, text in shown)
        if room is None or len(line) <= room or len(shown) < 2:
            return line
        shown.remove(max(shown, key=lambda part: part[0]))
