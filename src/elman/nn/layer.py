"""What all recurrent layers of torch.nn's family share: everything but the formula."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.modules.rnn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from ..batch import Weights
from ..cell import Step
from . import arguments, stack


class Layer(RNNBase):
    """A stack of recurrent layers with torch.nn's parameters.

    Construction, names, sizes and random numbers are those of ``torch.nn.RNNBase``; instances
    hold nothing of their own beside it. A subclass adds its formula.
    """

    def _step(self) -> Step:
        """The traced formula of one step."""
        raise NotImplementedError

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        """All layers; the output in the form of the input, the final states in that of ``hx``."""
        owner, step = type(self).__name__, self._step()
        directions = 2 if self.bidirectional else 1
        if len(self._all_weights) != self.num_layers * directions or not self.num_layers:
            raise RuntimeError(
                f"{owner}: expected weights of {self.num_layers} layers in {directions} "
                f"directions, got {len(self._all_weights)} sets: make a new module instead of "
                "changing its attributes"
            )
        weights = [
            [self._weights(step, layer, d) for d in range(directions)]
            for layer in range(self.num_layers)
        ]
        first = next(t for t in weights[0][0].flat() if t is not None)
        call = arguments.read(owner, input, self.input_size, self.batch_first, first)
        initial: list[Tensor | None] = []
        for name, given in arguments.states(owner, hx, len(step.states)):
            state = None
            if hx is not None:
                size = "hidden_size" if initial or not step.projection else "proj_size"
                shape = (self.num_layers * directions, call.rows.B, getattr(self, size))
                state = arguments.tensor(owner, name, given, first)
                state = call.order_state(owner, name, state)
                meaning = f"(num_layers * directions, batch, {size})"
                arguments.check_shape(owner, name, state, shape, meaning)
            initial.append(state)
        dropout = self.dropout if self.training else 0.0
        parts = stack.split(initial, self.num_layers, directions)
        x, finals = stack.run(step, call.rows, call.x, parts, weights, dropout)
        results = tuple(call.restore_state(s) for s in stack.join(finals))
        return call.restore(x), results if len(results) > 1 else results[0]

    def _weights(self, step: Step, layer: int, direction: int) -> Weights:
        """The tensors that the module holds now, whatever put them there."""
        index = layer * (2 if self.bidirectional else 1) + direction
        plain: Any = self._parameters  # a parametrized weight is not there but an attribute
        names: list[str | None] = [*self._all_weights[index]]
        if len(names) + 2 == len(step.parameters):
            names[2:2] = (None, None)  # there are no biases
        tensors = [
            plain[name] if name in plain else None if name is None else getattr(self, name)
            for name in names
        ]
        output = self.proj_size if step.projection else self.hidden_size
        owner = type(self).__name__
        return arguments.weights(owner, step, names, tensors, self.hidden_size, output)
