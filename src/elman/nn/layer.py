"""What all recurrent layers of torch.nn's family share: everything but the formula."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.modules.rnn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from ..spaces import Sizes
from ..step import Step
from . import arguments, known, stack
from .checks import check_weights, no_sets
from .counterpart import Counterpart
from .leaf import leaf
from .messages import refusal
from .states import hx_of

#: What arguments have to be, by the word with which torch.nn's sentence about them begins.
_EXPECTED = {
    **dict.fromkeys(("input_size", "hidden_size", "num_layers"), "an int of at least 1"),
    **dict.fromkeys(("bias", "batch_first"), "True or False"),
    "dropout": "a number between 0 and 1",
    "proj_size": "0 or an int below hidden_size",
}


class Layer(Counterpart, RNNBase):
    """A stack of recurrent layers with torch.nn's parameters.

    Construction, names, sizes and random numbers are those of ``torch.nn.RNNBase``; instances
    hold nothing of their own beside it. A subclass adds its formula.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        try:
            RNNBase.__init__(self, *arguments, **options)  # in front of the counterpart, see `face`
        except (TypeError, ValueError) as error:
            name = str(error).partition(" ")[0]
            if name not in _EXPECTED:
                raise
            given = inspect.signature(RNNBase).bind(*arguments, **options).arguments[name]
            expected, owner = f"{name} to be {_EXPECTED[name]}", type(self).__name__
            raise refusal(type(error), str(error), owner, expected, repr(given)) from None

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
                return self._by_torch(
                    input, hx, lambda: self._read(step, input, hx, self._held(step))
                )
            usual = isinstance(input, (Tensor, PackedSequence)) and hx is None
            if not usual and (proxies := leaf(self, input, hx)) is not None:
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
        return x, hx_of(finals)

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
    ) -> tuple[arguments.Call, Tensor, Sequence[Tensor | None]]:
        """A call in normal form, its input and its initial states, all of it checked."""
        owner, directions = type(self).__name__, 2 if self.bidirectional else 1
        if len(held) != self.num_layers * directions or not self.num_layers:
            raise no_sets(owner, self.num_layers, directions, len(held))
        sizes = Sizes.of(self)
        for names, mine in zip(self._all_weights, held, strict=True):
            named: list[str | None] = [*names]
            if len(mine) == len(names) + 2:
                named[2:2] = (None, None)
            check_weights(owner, step, named, mine, sizes)
        first = next(t for t in held[0] if t is not None)
        count = len(step.states)
        call, x, given = arguments.read(
            owner, input, hx, count, self.input_size, self.batch_first, first
        )
        lead, B = self.num_layers * directions, call.rows.B
        shapes = [(lead, B, sizes[step.space(name)]) for name in step.states]
        initial = arguments.read_states(owner, call, x, given, shapes, first)
        return call, x, initial or [None] * count


def no_projection(owner: str, proj_size: Any) -> Exception:
    """For a layer that does not project its state."""
    sentence = "proj_size argument is only supported for LSTM, not RNN or GRU"
    return refusal(ValueError, sentence, owner, "no proj_size", repr(proj_size), "leave it out")
