"""Contestants that take turns: a machine that slows down slows all of them."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

K = TypeVar("K")


def call_of(net: torch.nn.Module, x: torch.Tensor, train: bool) -> Callable[[], Any]:
    """A call of a layer: its output, or the gradients of all its parameters."""

    def run() -> Any:
        with torch.set_grad_enabled(train):
            output = net(x)[0]
            return torch.autograd.grad(output.sum(), [*net.parameters()]) if train else output

    return run


def least_seconds(runs: Mapping[K, Callable[[], Any]], rounds: int, calls: int) -> dict[K, float]:
    """The least time of a call of each, in seconds of the processor.

    In each round every contestant makes ``calls`` calls, whose mean counts. A round before the
    first compiles.
    """
    least = dict.fromkeys(runs, float("inf"))
    for turn in range(1 + rounds):
        for who, run in runs.items():
            before = time.process_time()
            for _ in range(calls):
                run()
            if turn:
                least[who] = min(least[who], (time.process_time() - before) / calls)
    return least
