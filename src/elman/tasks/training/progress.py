"""A live line for a training under way: epoch, loss, accuracy, texts a second, time left."""

import time
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from skorch.callbacks import Callback

from .net import TextNet


class ProgressBar(Callback):
    """Shows every training step on `console`, and leaves one line for each epoch.

    Where the console is no terminal only those lines appear.
    """

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name = console, name

    def on_train_begin(self, net: TextNet, X: Any = None, **_: Any) -> None:
        """Draw the bar."""
        self.steps = -(-len(X) // net.batch_size)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(self.name, total=self.steps * net.max_epochs, figures="")
        self.bar.start()

    def on_epoch_begin(self, net: TextNet, **_: Any) -> None:
        """Start counting anew."""
        self.loss, self.right, self.seen, self.began = 0.0, 0, 0, time.perf_counter()

    def on_batch_end(
        self,
        net: TextNet,
        batch: Any,
        training: bool,
        loss: torch.Tensor,
        y_pred: torch.Tensor,
        **_: Any,
    ) -> None:
        """Move the bar."""
        if not training:
            return
        targets = batch[1]
        self.seen += len(targets)
        self.loss += loss.item() * len(targets)
        self.right += int((y_pred.argmax(1) == targets).sum())
        rate = self.seen / (time.perf_counter() - self.began)
        self.bar.update(
            self.task,
            advance=1,
            description=f"{self.name}, epoch {len(net.history)}/{net.max_epochs}",
            figures=f"loss {self.loss / self.seen:.3f}  accuracy {self.right / self.seen:.1%}  "
            f"{rate:,.0f} texts/s ",
        )

    def on_epoch_end(self, net: TextNet, **_: Any) -> None:
        """Leave a line behind."""
        epoch = net.history[-1]
        held_out = f"  held out {epoch['valid_acc']:.1%}" if "valid_acc" in epoch else ""
        self.console.print(
            f"{self.name}, epoch {epoch['epoch']}/{net.max_epochs}  "
            f"loss {epoch['train_loss']:.3f}  accuracy {epoch['train_acc']:.1%}{held_out}  "
            f"{epoch['train_seconds']:.1f} s",
            highlight=False,
        )

    def on_train_end(self, net: TextNet, **_: Any) -> None:
        """Take the bar away; a training that an error ends gets here too late, see `stop`."""
        self.stop()

    def stop(self) -> None:
        """Give the terminal back."""
        if hasattr(self, "bar"):
            self.bar.stop()
