"""What is seen of a training: a live line while it runs, and a line for every epoch."""

from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from skorch.callbacks import Callback

from .net import SequenceNet


class ProgressBar(Callback):
    """Shows every training step on `console`, and leaves one line for each epoch.

    Where the console is no terminal only those lines appear.
    """

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name = console, name

    def on_train_begin(self, net: SequenceNet, X: Any = None, **_: Any) -> None:
        """Draw the bar, as far along as the training is."""
        steps = len(net.get_iterator(X, training=True))
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        done = sum("train_loss" in step for epoch in net.history for step in epoch["batches"])
        self.task = self.bar.add_task(
            self.name, total=steps * net.max_epochs, completed=done, figures=""
        )
        self.bar.start()

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
        self.bar.update(
            self.task,
            advance=1,
            description=f"{self.name}, epoch {len(net.history)}/{net.max_epochs}",
            figures=f"loss {self.loss / self.texts:.3f}  {_accuracy(step, self.right / self.texts)}"
            f"lr {step['train_lr']:.1e}  {self.texts / self.seconds:,.0f} {net.unit}/s ",
        )

    def on_epoch_end(self, net: SequenceNet, **_: Any) -> None:
        """Leave a line behind."""
        epoch, held_out, left = net.history[-1], "", ""
        if "valid_loss" in epoch:
            held_out = f"held out {net.shown(epoch)} (loss {epoch['valid_loss']:.3f})  "
        if len(net.history) < net.max_epochs:
            took = sum(e["train_seconds"] + e.get("valid_seconds", 0.0) for e in net.history)
            ahead = took / len(net.history) * (net.max_epochs - len(net.history))
            left = f"  {timedelta(seconds=round(ahead))} left"
        self.console.print(
            f"{self.name}, epoch {epoch['epoch']}/{net.max_epochs}  "
            f"loss {epoch['train_loss']:.3f}  {_accuracy(epoch, epoch.get('train_acc', 0.0))}"
            f"{held_out}lr {epoch['lr']:.1e}  {epoch['train_seconds']:.1f} s  "
            f"{self.texts / self.seconds:,.0f} {net.unit}/s{left}",
            highlight=False,
        )

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
    return f"accuracy {share:.1%}  " if {"train_right", "train_acc"} & set(figures) else ""
