"""PyTorch: a loop over the steps, as users write their own cells; the input projected at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from elman.bench.contestants import Modules
from elman.bench.task import Task

from .formulas import STEPS


class Loop(torch.nn.Module):
    """One layer, step by step."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task
        for name, array in task.parameters().items():
            setattr(self, name, torch.nn.Parameter(torch.empty(array.shape)))

    def forward(self, input: Tensor) -> tuple[Tensor]:
        w_ih, w_hh, b_ih, b_hh, *vectors = self.parameters()
        task, outputs = self.task, []
        states = [input.new_zeros(task.B, task.H)] * task.states_of_a_step
        for x in linear(input, w_ih, b_ih):
            u = linear(states[0], w_hh, b_hh)
            gates = (a.chunk(task.gates, -1) for a in (x, u))
            states = list(STEPS[task.layer](torch, *gates, states, vectors))
            outputs.append(states[0])
        return (torch.stack(outputs),)


LOOP = Modules(Loop, *STEPS)
