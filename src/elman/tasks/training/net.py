"""What skorch's training loop is given: the net, its callbacks, and what they record."""

import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split

from ..data.text import Batch, Batches, Ragged
from ..errors import TaskError
from ..model import TextRNN


class TextNet(NeuralNetClassifier):
    """A NeuralNetClassifier whose input is a `Batch` of packed texts."""

    def infer(self, x: Batch, **_: Any) -> torch.Tensor:
        """The scores of the batch, (B, labels)."""
        return self.module_(x.packed)


def one_cycle(step: int, steps: int, warm_up: float = 0.2) -> float:
    """The share of the highest learning rate: up in a straight line, down along a cosine.

    >>> [round(one_cycle(step, 10), 2) for step in range(10)]
    [0.5, 1.0, 1.0, 0.96, 0.85, 0.69, 0.5, 0.31, 0.15, 0.04]
    """
    rising = max(1, round(warm_up * steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return (1 + math.cos(math.pi * min(done, 1.0))) / 2


class Scores(Callback):
    """Records what each epoch gave: accuracies, and the seconds its training steps took.

    skorch's own `valid_acc` would be the same number; this one also knows the accuracy in
    training, after every step, without computing anything twice.
    """

    def on_epoch_begin(self, net: TextNet, **_: Any) -> None:
        """Start counting anew."""
        self.right = {True: 0, False: 0}
        self.seen = {True: 0, False: 0}
        self.began = time.perf_counter()
        self.train_seconds = 0.0

    def on_batch_end(
        self,
        net: TextNet,
        batch: Any,
        training: bool,
        loss: torch.Tensor,
        y_pred: torch.Tensor,
        **_: Any,
    ) -> None:
        """Count the right answers; stop where nothing can be learned any more."""
        if training and not math.isfinite(loss.item()):
            raise TaskError(
                f"The loss became {loss.item()} in epoch {len(net.history)}; "
                f"lower the learning rate (now {net.lr})."
            )
        targets = batch[1]
        self.right[training] += int((y_pred.argmax(1) == targets).sum())
        self.seen[training] += len(targets)
        if training:
            self.train_seconds = time.perf_counter() - self.began

    def on_epoch_end(self, net: TextNet, **_: Any) -> None:
        """Put it into the history."""
        net.history.record("train_seconds", self.train_seconds)
        for training, name in ((True, "train_acc"), (False, "valid_acc")):
            if self.seen[training]:
                net.history.record(name, self.right[training] / self.seen[training])


def make_net(
    model: dict[str, Any],
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    steps: int,
    seed: int,
    class_weights: np.ndarray | None = None,
    valid: Ragged | None = None,
    callbacks: Iterable[tuple[str, Callback]] = (),
) -> TextNet:
    """A net for `TextRNN(**model)`: Adam, one cycle of the learning rate over `steps` steps."""
    return TextNet(
        TextRNN,
        **{f"module__{name}": value for name, value in model.items()},
        criterion=torch.nn.CrossEntropyLoss,
        criterion__weight=None if class_weights is None else torch.tensor(class_weights).float(),
        optimizer=torch.optim.Adam,
        lr=lr,
        max_epochs=epochs,
        batch_size=batch_size,
        iterator_train=Batches,
        iterator_train__shuffle=True,
        iterator_train__seed=seed,
        iterator_valid=Batches,
        train_split=None if valid is None else predefined_split(valid),
        classes=np.arange(model["labels"]),
        callbacks=[
            # Recurrent gradients have rare, huge peaks.
            ("clipping", GradientNormClipping(1.0)),
            (
                "schedule",
                LRScheduler(
                    torch.optim.lr_scheduler.LambdaLR,
                    lr_lambda=lambda step: one_cycle(step, steps),
                    step_every="batch",
                ),
            ),
            ("scores", Scores()),
            *callbacks,
        ],
        callbacks__valid_acc=None,
        callbacks__print_log=None,
    )
