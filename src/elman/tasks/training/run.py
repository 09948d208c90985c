"""A training from its beginning, or from where it was interrupted, to its end."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..data.text import Ragged
from ..errors import DivergedError
from .checkpoint import Checkpoint
from .interrupt import interruptible
from .net import SequenceNet
from .ranks import ranks


def run_training(
    net: SequenceNet,
    texts: Ragged,
    checkpoint: Checkpoint | None = None,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> bool:
    """Train a net from its first step, or from its checkpoint; whether it was interrupted.

    The first step begins with `weights`, or else with random ones.
    The net then has the weights of its best epoch, if it has patience, or else its last ones.
    """
    with torch.random.fork_rng(devices=[]), interruptible() as net.interrupt_:
        torch.manual_seed(net.seed)
        net.initialize()
        if weights is not None:
            net.begin_from(weights)
        own = list(net.callbacks_)
        if checkpoint is not None:
            checkpoint.resume(net)
            net.callbacks_ = [*own, ("checkpoint", checkpoint)]
        try:
            net.partial_fit(texts, None)
            if net.history:
                net.settle()
        except DivergedError:
            if checkpoint is not None:
                checkpoint.remove()  # resumed, it would only diverge again
            raise
        net.callbacks_ = own
    # A callback may end the training with the end of an epoch. Elsewhere it has interrupted it.
    return net.interrupt_.asked or len(net.epochs) < len(net.history)


def run_pass(net: SequenceNet, texts: Ragged) -> None:
    """Train a net for one more pass over texts, at its highest learning rate.

    A KeyboardInterrupt ends it after the step under way; the net can be trained further then, too.
    """
    with torch.random.fork_rng(devices=[]), interruptible() as net.interrupt_:
        if not net.initialized_:
            torch.manual_seed(net.seed)
            net.initialize()
        net.begin_to_learn()
        net.steady = True
        try:
            net.fit_loop(texts, epochs=1)
        finally:
            net.steady = False
            if len(net.epochs) < len(net.history):
                net.history.pop()  # its texts are not those of the next pass


def surroundings() -> dict[str, Any]:
    """How a training was started, as far as its data and parameters don't say."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "processes": ranks(),
        "threads": torch.get_num_threads(),
    }
