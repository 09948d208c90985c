"""torch.nn's modules under torch.compile, where it can change anything.

As it comes, it leaves recurrent modules to torch.nn. Allowed to trace them, it unrolls the loop
over time, and compiles for minutes where there are more than a few steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from elman.bench.contestants import BUILT_IN, TORCH, Call, Modules
from elman.bench.task import Task

STEPS = 3  # that are unrolled at most


class Compiled(Modules):
    """Left to torch.nn, or unrolled."""

    def forms(self, task: Task) -> Sequence[str]:
        return ["", "unrolled"] if task.T <= STEPS and task.layer in BUILT_IN else []

    def prepare(self, task: Task, form: str) -> Call:
        torch.compiler.reset()  # or the tasks of one process would count as one's variants
        torch._dynamo.config.allow_rnn = form == "unrolled"
        return super().prepare(task, "")


COMPILED = Compiled(lambda task: torch.compile(TORCH.module(task)), *BUILT_IN)
