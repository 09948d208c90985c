"""What all recurrent layers of torch.nn's family share: everything but the formula."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar, Literal, Protocol, TypeVar, overload

from torch import Tensor
from torch.nn.modules.rnn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from ..dispatch.select import set_path
from ..padded import Padded
from ..spaces import Sizes
from ..step import Step
from . import cached
from .counterpart import Counterpart
from .layers import LayerStack
from .marks import given
from .messages import refusal
from .stack import Asked, StackCall, StackResults
from .states import hx_of, states_of

#: What arguments have to be, by the word with which torch.nn's sentence about them begins.
_EXPECTED = {
    **dict.fromkeys(("input_size", "hidden_size", "num_layers"), "an int of at least 1"),
    **dict.fromkeys(("bias", "batch_first"), "True or False"),
    "dropout": "a number between 0 and 1",
    "proj_size": "0 or an int below hidden_size",
}

State = TypeVar("State")


class LayerCall(Protocol[State]):
    """A call for type checkers: the output in the form of the input, the final states in that of
    ``hx``, and the states at every step if it is to return them."""

    @overload
    def __call__(
        self,
        input: Tensor,
        hx: State | None = None,
        *,
        lengths: Sequence[int] | Tensor | None = None,
        reset: Tensor | None = None,
        reset_to: State | Literal[0] | None = None,
        return_states: Literal[False] = False,
    ) -> tuple[Tensor, State]: ...
    @overload
    def __call__(
        self,
        input: Tensor,
        hx: State | None = None,
        *,
        lengths: Sequence[int] | Tensor | None = None,
        reset: Tensor | None = None,
        reset_to: State | Literal[0] | None = None,
        return_states: Literal[True],
    ) -> tuple[Tensor, State, State]: ...
    @overload
    def __call__(
        self,
        input: PackedSequence,
        hx: State | None = None,
        *,
        return_states: Literal[False] = False,
    ) -> tuple[PackedSequence, State]: ...
    @overload
    def __call__(
        self, input: PackedSequence, hx: State | None = None, *, return_states: Literal[True]
    ) -> tuple[PackedSequence, State, Any]: ...


class Layer(Counterpart, LayerStack, RNNBase):
    """It takes the arguments of ``torch.nn.{name}``, has its parameters (``weight_ih_l0``,
    ``weight_hh_l0_reverse``, ...), draws the same random numbers and computes the same numbers.

    Args:
        input_size: features of the input, I.
        hidden_size: units of the state, H.
        num_layers: layers stacked; each takes the output of the one below.
        bias: whether the layers have ``bias_ih`` and ``bias_hh``.
        batch_first: input and output as ``(B, T, features)`` instead of ``(T, B, features)``;
            the states keep their shape.
        dropout: probability with which outputs of all layers but the last are set to zero in
            training.
        bidirectional: a second set of weights runs from the last step to the first; outputs of
            both are concatenated (D = 2).

    Beyond torch.nn's arguments, a call on padded input takes by name

    - ``lengths``: how many steps of each row count, ``(B,)``, in any order, 0 allowed: a list or a
      tensor of integers. The output is zero after them, and the final states are those of the
      last step; the second direction begins there.
    - ``reset``: bools ``(T, B)``, in the form of the input (``(B, T)``, ``(T,)``): True where a row
      begins anew. Before such a step its state returns to the initial one. In the second direction
      it does so after the step before, so nothing crosses a reset either way.
    - ``reset_to``: what a reset returns to instead: states in the form of ``hx``, or 0.

    Each sequence between two resets has the bits that it has alone. Final states are those of each
    row's last step (of its first one in the second direction).

    With ``return_states=True`` a call returns a third result in the form of ``h_n``: every layer's
    states at every step, each ``(num_layers * D, T, B, H)``, by layer and direction, the rest in
    the form of the input. They are the states after each step, in the order of the input also where
    the second direction computed them. Of a PackedSequence each is a list of one PackedSequence for
    each layer and direction.

    bfloat16 and float16 layers compute in float32 and round their results once. Where the processor
    has AVX512-BF16, bfloat16 layers, and float32 layers under an autocast to bfloat16, multiply in
    bfloat16 and accumulate in float32. Calls of one step do not.

    Raises:
        ValueError: input that is neither 2-D nor 3-D, or not of the weights' dtype; lengths beyond
            the input or no integers; ``reset`` of another dtype than bool, or for a PackedSequence.
        RuntimeError: a shape that does not fit the module, or ``hx`` of another dtype.
        AttributeError: input or ``hx`` that is no tensor.

    The guide is docs/guides/sequences.md.
    """

    # The docstring is a part of those of RNN, LSTM and GRU, which add the formula. Construction,
    # names, sizes and random numbers are those of RNNBase; instances hold nothing beside it.

    _options: ClassVar = attrgetter(
        *("input_size", "hidden_size", "proj_size", "num_layers", "bidirectional", "batch_first")
    )

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

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Any = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        reset_to: Any = None,
        return_states: bool = False,
    ) -> Any:
        """All layers; the output in the form of the input, the final states in that of ``hx``; if
        it is to ``return_states``, these too."""
        step, plain = self._step(), return_states is False
        if not plain:
            step = self._full(step, return_states)
        marks, results, found = None, None, cached.UNKNOWN
        if lengths is not None or reset is not None or reset_to is not None:
            marks = given(input, self.batch_first, lengths, reset, reset_to)
        if marks is None:  # or if they are those of a plain call
            dropout = self.dropout if self.training else 0.0
            results, found = self._repeat(self, step, input, hx, dropout)
            if results is not None:
                return results if plain else self._repeated_states(step, *results)
            if found[0] is None:
                elsewhere = self._run_elsewhere if plain else self._states_elsewhere
                results = elsewhere(step, found[2], input, hx)
        else:
            named = {**marks._asdict(), "return_states": None if plain else True}
            results = self._leaf(input, hx, **named)
        if results is None:
            results = self._run_layers(step, found, Asked(input, hx, marks, None, not plain))
        return results

    def _states_elsewhere(self, step: Step, tensors: Sequence[Any], input: Any, hx: Any) -> Any:
        """What :meth:`_run_elsewhere` says, with the states: the counterpart gives out the first
        one of the last layer only."""
        results = self._leaf(input, hx, return_states=True)
        if results is None and self.num_layers == len(step.outputs) == 1:
            results = self._run_elsewhere(step, tensors, input, hx)
            if results is not None:
                output, h_n = results
                return self._with_states(step, output, [h_n], [[output]])
        return results

    def _run_padded(self, stack: StackCall, some: Padded) -> StackResults:
        step, initial, counts = stack.step, stack.initial, some.packed.counts
        if not self._runs_torch(stack.tensors):
            return super()._run_padded(stack, some)
        if counts is None:  # no step counts: torch.nn has no such call
            with set_path("reference"):
                return super()._run_padded(stack, some)
        if stack.return_states and not self.num_layers == len(step.outputs) == 1:
            # The counterpart gives out the last layer's only.
            return super()._run_padded(stack, some)
        begin = None if initial[0] is None else hx_of(initial)
        packed = PackedSequence(some.select(stack.x), counts)
        found, final = self._counterpart.forward(self, packed, begin)
        output = some.restore(found.data)
        return StackResults(output, states_of(final, len(step.states)), [[output]])

    def _layer_sizes(self) -> Sequence[Sizes]:
        return [Sizes.of(self)] * len(self._all_weights)


def no_projection(owner: str, proj_size: Any) -> Exception:
    """For a layer that does not project its state."""
    sentence = "proj_size argument is only supported for LSTM, not RNN or GRU"
    return refusal(ValueError, sentence, owner, "no proj_size", repr(proj_size), "leave it out")
