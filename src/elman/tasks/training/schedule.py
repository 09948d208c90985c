"""The learning rate of every step, and when a training is over: both follow from its history."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

FALL = 0.5  # what an epoch without progress leaves of the learning rate

Epochs = Sequence[Mapping[str, Any]]  # of a history, complete ones


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


def by_progress(step: int, steps_an_epoch: int, epochs: Epochs) -> float:
    """The share of the highest learning rate: up in the first epoch, halved after each bad one.

    A cycle would need to know how many epochs there will be.

    >>> [by_progress(step, 4, []) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    >>> by_progress(8, 4, [{"valid_loss_best": True}, {"valid_loss_best": False}])
    0.5
    """
    bad = sum(not epoch["valid_loss_best"] for epoch in epochs)
    return min(1.0, (step + 1) / steps_an_epoch) * FALL**bad


def out_of_patience(epochs: Epochs, patience: int | None) -> bool:
    """Whether the last `patience` epochs brought nothing better."""
    if patience is None or len(epochs) < patience:
        return False
    return not any(epoch["valid_loss_best"] for epoch in epochs[-patience:])
