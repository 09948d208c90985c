"""What all recurrent layers of torch.nn's family share: everything but the formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.modules.rnn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from ..step import Step
from . import arguments, known, stack
from .counterpart import Counterpart
from .leaf import leaf


class Layer(Counterpart, RNNBase):
    """A stack of recurrent layers with torch.nn's parameters.

    Construction, names, sizes and random numbers are those of ``torch.nn.RNNBase``; instances
    hold nothing of their own beside it. A subclass adds its formula.
    """

    def _step(self) -> Step:
        """The traced formula of one step."""
        raise NotImplementedError

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        """All layers; the output in the form of the input, the final states in that of ``hx``."""
        step = self._step()
        sizes = self.input_size, self.hidden_size, self.proj_size, self.num_layers
        module = step, *sizes, self.bidirectional, self.batch_first
        every = self._every(step)
        found, key, tensors = known.find(module, input, hx, every)
        dropout = self.dropout if self.training else 0.0
        if found is not None and (results := found.run(tensors, dropout)) is not None:
            return results
        if found is None:
            if self._runs_torch(input, hx, every):
                return self._counterpart.forward(self, input, hx)
            if (proxies := leaf(self, input, hx)) is not None:
                return proxies
        held, two = self._held(step), self.bidirectional
        if found is None:
            call, x, initial = self._read(step, input, hx, held)
            bounds = stack.Bounds(self.num_layers)
        else:
            call, bounds, _ = found
            x, initial = call.arrange(input), call.arrange_states(hx, len(step.states))
        if two:
            held = [[*a, *b] for a, b in zip(held[::2], held[1::2], strict=True)]
        x, finals = stack.run(step, call.rows, x, initial, held, bounds, dropout)
        if found is None:
            known.keep(key, call, bounds, call.plain)
        x, finals = call.restore(x, finals)
        return x, arguments.hx_of(finals)

    def _every(self, step: Step) -> list[Any]:
        """:meth:`_held` in one list, for most modules at once."""
        try:
            every = [*map(self._parameters.__getitem__, self._flat_weights_names)]
        except KeyError:
            every = []
        if len(every) == len(self._all_weights) * len(step.parameters):
            return every
        return [t for mine in self._held(step) for t in mine]

    def _held(self, step: Step) -> list[list[Any]]:
        """The weights that the module holds now, whatever put them there: for each layer and
        direction, in the order of ``step.parameters``."""
        plain: Any = self._parameters  # a parametrized weight is not there but an attribute
        every = []
        for names in self._all_weights:
            try:
                held = [*map(plain.__getitem__, names)]
            except KeyError:
                held = [getattr(self, name) for name in names]
            if len(names) + 2 == len(step.parameters):
                held[2:2] = (None, None)  # there are no biases
            every.append(held)
        return every

    def _read(
        self, step: Step, input: Any, hx: Any, held: Sequence[Sequence[Any]]
    ) -> tuple[arguments.Call, Tensor, list[Tensor | None]]:
        """A call in normal form, its input and its initial states, all of it checked."""
        owner, directions = type(self).__name__, 2 if self.bidirectional else 1
        if len(held) != self.num_layers * directions or not self.num_layers:
            raise RuntimeError(
                f"{owner}: expected weights of {self.num_layers} layers in {directions} "
                f"directions, got {len(held)} sets: make a new module instead of changing its "
                "attributes"
            )
        output = self.proj_size if step.projection else self.hidden_size
        for names, mine in zip(self._all_weights, held, strict=True):
            named: list[str | None] = [*names]
            if len(mine) == len(names) + 2:
                named[2:2] = (None, None)
            arguments.check_weights(owner, step, named, mine, self.hidden_size, output)
        first = next(t for t in held[0] if t is not None)
        call, x = arguments.read(owner, input, self.input_size, self.batch_first, first)
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
        return call, x, initial
