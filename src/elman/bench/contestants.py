"""The contestants that every user has: torch.nn's modules, and elman's modules and sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

import elman

from .task import Task

Call = Callable[[], Sequence[Any]]
BUILT_IN = ("RNN", "GRU", "LSTM")
TOLERANCE = 2e-4  # of the largest value of an array, for float32
#: For bfloat16, which has eight bits: gradients of long sequences gather what each step has lost.
NARROW_TOLERANCE = 0.05


class Contestant(Protocol):
    """One system, as the worker sees it; it may have a ``tolerance`` of its own."""

    def forms(self, task: Task) -> Sequence[str]:
        """In which forms it can do the task, of which the fastest counts; none if it can't."""

    def prepare(self, task: Task, form: str) -> Call:
        """The call to be timed. It gives the output and, in training, the gradients of all
        parameters; for inference it is called where autograd is off."""


class Modules:
    """torch modules made by ``make(task)``, called as their users do."""

    def __init__(self, make: Callable[[Task], torch.nn.Module], *names: str) -> None:
        self._make, self._names = make, names

    def forms(self, task: Task) -> Sequence[str]:
        return [""] if task.layer in self._names else []

    def module(self, task: Task) -> torch.nn.Module:
        """With the task's parameters."""
        made = self._make(task)
        with torch.no_grad():
            for parameter, array in zip(made.parameters(), task.parameters().values(), strict=True):
                parameter.copy_(torch.from_numpy(array))
        return made

    def prepare(self, task: Task, form: str) -> Call:
        """The ``form`` "float64" is what the others are compared with."""
        kind = getattr(torch, form or "float32")
        module = self.module(task).to(kind)
        learned = list(module.parameters())
        x, gradient, *states = (
            torch.from_numpy(array).to(kind)
            for array in (task.input(), task.gradient(), *task.states())
        )
        if task.streaming:
            return _steps(module, x, states)

        def infer() -> Sequence[Tensor]:
            return (module(x)[0],)

        def train() -> Sequence[Any]:
            for parameter in learned:
                parameter.grad = None
            output = module(x)[0]
            output.backward(gradient)
            return (output.detach(), *(parameter.grad for parameter in learned))

        return infer if task.mode == "inference" else train


def _steps(module: torch.nn.Module, x: Tensor, states: Sequence[Tensor]) -> Call:
    state = _state(states)

    def step() -> Sequence[Tensor]:
        nonlocal state
        output, state = module(x, state)
        return (output,)

    return step


def _state(states: Sequence[Tensor]) -> Any:
    return tuple(states) if len(states) > 1 else states[0]


class Narrow:
    """Modules of bfloat16, called with such inputs."""

    tolerance = NARROW_TOLERANCE

    def __init__(self, modules: Modules) -> None:
        self._modules = modules

    def forms(self, task: Task) -> Sequence[str]:
        return ["bfloat16"] if self._modules.forms(task) else []

    def prepare(self, task: Task, form: str) -> Call:
        return self._modules.prepare(task, form)


class Sessions:
    """elman's sessions, for inference in one direction, with weights of a dtype; within which
    ``tolerance`` they agree follows from that."""

    def __init__(self, weight_dtype: torch.dtype | None, tolerance: float) -> None:
        self._weight_dtype, self.tolerance = weight_dtype, tolerance

    def forms(self, task: Task) -> Sequence[str]:
        can = task.mode == "inference" and task.layer in BUILT_IN and not task.bidirectional
        return [""] if can else []

    def prepare(self, task: Task, form: str) -> Call:
        session = elman.Stream(ELMAN.module(task), task.B, self._weight_dtype)
        x = torch.from_numpy(task.input())
        if task.streaming:
            session.restore(_state([torch.from_numpy(state) for state in task.states()]))
            (row,) = x
            return lambda: (session.step(row)[None],)

        def whole() -> Sequence[Tensor]:
            session.reset()
            return (session.chunk(x),)

        return whole


def _of(namespace: Any) -> Callable[[Task], torch.nn.Module]:
    def make(task: Task) -> torch.nn.Module:
        options: Any = {"num_layers": task.num_layers, "bidirectional": task.bidirectional}
        if task.layer in BUILT_IN:
            return getattr(namespace, task.layer)(task.I, task.H, **options)
        return elman.Recurrent(elman.cells.by_name(task.layer), task.I, task.H, **options)

    return make


TORCH = Modules(_of(torch.nn), *BUILT_IN)
ELMAN = Modules(_of(elman), *BUILT_IN, "Leaky", "LightGRU", "PeepholeLSTM")
FROZEN = Modules(lambda task: elman.freeze(_of(elman)(task).eval()), *BUILT_IN)
NARROW_TORCH, NARROW_ELMAN = Narrow(TORCH), Narrow(ELMAN)
SESSION = Sessions(None, TOLERANCE)
#: Rounding to 8 bits moves a weight by up to 2**-9 of it; a few steps and layers add to that.
HALF_SESSION = Sessions(torch.bfloat16, 2**-7)
