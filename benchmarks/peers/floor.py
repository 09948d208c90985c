"""PyTorch's autograd around a function that does nothing: what no training step here undercuts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from elman.bench.contestants import TORCH, Call
from elman.bench.task import Task

STEPS = 3  # beyond which the function itself would take longer than the call of it


class _Known(torch.autograd.Function):
    """Gives an output and gradients that are known already."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, gradients: Sequence[Tensor], *_: Tensor) -> Tensor:
        ctx.gradients = gradients
        return output.clone()

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> Any:
        return (None, None, *ctx.gradients)


def forms(task: Task) -> Sequence[str]:
    """Tiny training only."""
    return [""] if task.mode == "training" and task.T <= STEPS else []


def function(task: Task) -> tuple[Callable[[], Tensor], list[torch.nn.Parameter]]:
    """What gives the output of one of torch.nn's, and the parameters that it has gradients for."""
    output, *gradients = TORCH.prepare(task, "")()
    parameters = list(TORCH.module(task).parameters())

    def forward() -> Tensor:
        found: Tensor = _Known.apply(output, gradients, *parameters)
        return found

    return forward, parameters


def prepare(task: Task, form: str) -> Call:
    """A step whose results come from one of torch.nn."""
    forward, parameters = function(task)
    arriving = torch.from_numpy(task.gradient())

    def train() -> Sequence[Any]:
        for parameter in parameters:
            parameter.grad = None
        found = forward()
        found.backward(arriving)
        return (found.detach(), *(parameter.grad for parameter in parameters))

    return train
