"""elman: ``elman.Recurrent`` of the catalogue's cell, or the layer that torch.nn also has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import elman

from .task import Task, parameters

VARIANTS = ("",)
BUILT_IN = {"elman": elman.RNN, "gru": elman.GRU, "lstm": elman.LSTM}


def prepare(task: Task, variant: str) -> tuple[Callable[[], Any], Callable[[], list[np.ndarray]]]:
    """The layer in this mode, and what it gives."""
    if task.cell in BUILT_IN:
        module = BUILT_IN[task.cell](task.I, task.H)
    else:
        module = elman.Recurrent(elman.cells.by_name(task.cell), task.I, task.H)
    return of_module(task, module)


def of_module(
    task: Task, module: torch.nn.Module
) -> tuple[Callable[[], Any], Callable[[], list[np.ndarray]]]:
    """Any module with torch's parameters in their order."""
    arrays = {name: torch.from_numpy(array) for name, array in task.arrays().items()}
    names = parameters(arrays)
    learned = list(module.parameters())
    with torch.no_grad():
        for parameter, name in zip(learned, names, strict=True):
            parameter.copy_(arrays[name])
    x, grad = arrays["x"], arrays["grad"]

    def infer() -> torch.Tensor:
        with torch.no_grad():
            return module(x)[0]

    def train() -> torch.Tensor:
        for parameter in learned:
            parameter.grad = None
        output = module(x)[0]
        output.backward(grad)
        return output.detach()

    if task.mode == "inference":
        return infer, lambda: [infer().numpy()]
    return train, lambda: [train().numpy(), *(p.grad.numpy() for p in learned)]
