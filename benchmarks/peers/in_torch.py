"""PyTorch: a loop over the steps, as users write their own cells; the input projected at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from .in_elman import of_module
from .task import Task, parameters

VARIANTS = ("",)


class Loop(torch.nn.Module):
    """A form of :mod:`.task`, step by step."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.form, self.hidden_size = task.form, task.H
        arrays = task.arrays()
        for name in parameters(arrays):
            setattr(self, name, torch.nn.Parameter(torch.empty(arrays[name].shape)))

    def forward(self, input: Tensor) -> tuple[Tensor]:
        form, vectors = self.form, [getattr(self, f"v{i}") for i in range(self.form.vectors)]
        states = [input.new_zeros(input.shape[1], self.hidden_size)] * form.states
        outputs = []
        for x in linear(input, self.w_ih, self.b_ih):
            u = linear(states[0], self.w_hh, self.b_hh)
            states = list(
                form.formula(
                    torch, x.chunk(form.gates, -1), u.chunk(form.gates, -1), states, vectors
                )
            )
            outputs.append(states[0])
        return (torch.stack(outputs),)


def prepare(task: Task, variant: str) -> tuple[Callable[[], Any], Callable[[], list[np.ndarray]]]:
    """The loop in this mode, and what it gives."""
    return of_module(task, Loop(task))
