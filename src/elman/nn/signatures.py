"""What calls of modules take and return, for type checkers: a call of torch.nn's gives ``Any``."""

from __future__ import annotations

from typing import Protocol, TypeVar, overload

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

State = TypeVar("State")


class LayerCall(Protocol[State]):
    """A layer: the output in the form of the input, and the final states in that of ``hx``."""

    @overload
    def __call__(self, input: Tensor, hx: State | None = None) -> tuple[Tensor, State]: ...
    @overload
    def __call__(
        self, input: PackedSequence, hx: State | None = None
    ) -> tuple[PackedSequence, State]: ...


class StepCall(Protocol[State]):
    """One step: the new states, in the form of ``hx``."""

    def __call__(self, input: Tensor, hx: State | None = None) -> State: ...
