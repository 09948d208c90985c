"""What all recurrent layers of torch.nn's family share: everything but the formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.modules.rnn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from ..batch import Weights
from ..cell import Step
from ..function import recur
from . import arguments


class Layer(RNNBase):
    """A stack of recurrent layers with torch.nn's parameters.

    Construction, names, sizes and random numbers are those of ``torch.nn.RNNBase``; instances
    hold nothing of their own beside it.
    """

    _states: ClassVar[tuple[str, ...]] = ("hx",)  # names of the arguments, for messages

    def _step(self) -> Step:
        """The traced formula of one step."""
        raise NotImplementedError

    def _weights(self, layer: int, direction: int) -> Weights:
        """The tensors that the module holds now, whatever put them there."""
        index = layer * (2 if self.bidirectional else 1) + direction
        plain = self._parameters  # a parametrized weight is not there but an attribute
        tensors: list[Any] = [
            plain[name] if name in plain else getattr(self, name)
            for name in self._all_weights[index]
        ]
        return arguments.weights(type(self).__name__, tensors, self.hidden_size)

    def _run(
        self, input: Tensor | PackedSequence, states: Sequence[Tensor | None]
    ) -> tuple[Any, list[Tensor]]:
        """All layers; the output in the form of the input, and the final states."""
        owner, step = type(self).__name__, self._step()
        directions = 2 if self.bidirectional else 1
        if len(self._all_weights) != self.num_layers * directions or not self.num_layers:
            raise RuntimeError(
                f"{owner}: expected weights of {self.num_layers} layers in {directions} "
                f"directions, got {len(self._all_weights)} sets: make a new module instead of "
                "changing its attributes"
            )
        weights = [
            [self._weights(layer, d) for d in range(directions)] for layer in range(self.num_layers)
        ]
        first = next(t for t in weights[0][0].flat() if t is not None)
        call = arguments.read(owner, input, self.input_size, self.batch_first, first)
        shape = (self.num_layers * directions, call.rows.B, self.hidden_size)
        initial = list(states)
        for i, (name, s) in enumerate(zip(self._states, states, strict=True)):
            if s is not None:
                initial[i] = self._initial(owner, call, name, s, first, shape)
        x, finals = call.x, []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = torch.dropout(x, self.dropout, True)
            given = initial
            if self.num_layers > 1:
                part = slice(layer * directions, (layer + 1) * directions)
                given = [None if s is None else s[part] for s in initial]
            x, final = recur(step, call.rows, x, given, weights[layer])
            finals.append(final)
        joined = finals[0]
        if self.num_layers > 1:
            joined = [torch.cat(parts) for parts in zip(*finals, strict=True)]
        return call.restore(x), [call.restore_state(s) for s in joined]

    @staticmethod
    def _initial(
        owner: str,
        call: arguments.Call,
        name: str,
        state: Tensor,
        weight: Tensor,
        shape: tuple[int, ...],
    ) -> Tensor:
        state = call.order_state(name, arguments.tensor(owner, name, state, weight))
        meaning = "(num_layers * directions, batch, hidden_size)"
        arguments.check_shape(owner, name, state, shape, meaning)
        return state
