"""torch.nn's modules under torch.compile."""

from __future__ import annotations

import torch

from elman.bench.contestants import BUILT_IN, TORCH, Modules
from elman.bench.task import Task


def _compiled(task: Task) -> torch.nn.Module:
    torch.compiler.reset()  # or the tasks of one process would count as one function's variants
    return torch.compile(TORCH.module(task))


COMPILED = Modules(_compiled, *BUILT_IN)
