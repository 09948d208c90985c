"""What all recurrent layers of torch.nn's family share: everything but the formula."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar, Literal, Protocol, TypeVar, overload

from torch import Tensor
from torch.nn.modules.rnn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from ..spaces import Sizes
from ..step import Step
from .counterpart import Counterpart
from .layers import LayerStack
from .messages import refusal

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
        self, input: Tensor, hx: State | None = None, *, return_states: Literal[False] = False
    ) -> tuple[Tensor, State]: ...
    @overload
    def __call__(
        self, input: Tensor, hx: State | None = None, *, return_states: Literal[True]
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

    With ``return_states=True`` a call returns a third result in the form of ``h_n``: every layer's
    states at every step, each ``(num_layers * D, T, B, H)``, by layer and direction, the rest in
    the form of the input. They are the states after each step, in the order of the input also where
    the second direction computed them. Of a PackedSequence each is a list of one PackedSequence for
    each layer and direction.

    bfloat16 and float16 layers compute in float32 and round their results once. Where the processor
    has AVX512-BF16, bfloat16 layers, and float32 layers under an autocast to bfloat16, multiply in
    bfloat16 and accumulate in float32. Calls of one step do not.

    Raises:
        ValueError: input that is neither 2-D nor 3-D, or not of the weights' dtype.
        RuntimeError: a shape that does not fit the module, or ``hx`` of another dtype.
        AttributeError: input or ``hx`` that is no tensor.
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
        self, input: Tensor | PackedSequence, hx: Any = None, *, return_states: bool = False
    ) -> Any:
        """All layers; the output in the form of the input, the final states in that of ``hx``; if
        it is to ``return_states``, these too."""
        step = self._step()
        if return_states is not False:
            step = self._full(step, return_states)
        dropout = self.dropout if self.training else 0.0
        results, found = self._repeat(step, input, hx, dropout)
        if results is None and found[0] is None:
            plain = return_states is False
            elsewhere = self._run_elsewhere if plain else self._states_elsewhere
            results = elsewhere(step, found[2], input, hx)
        if results is None:
            results = self._run_layers(step, found, input, hx, return_states=return_states)
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

    def _layer_sizes(self) -> Sequence[Sizes]:
        return [Sizes.of(self)] * len(self._all_weights)


def no_projection(owner: str, proj_size: Any) -> Exception:
    """For a layer that does not project its state."""
    sentence = "proj_size argument is only supported for LSTM, not RNN or GRU"
    return refusal(ValueError, sentence, owner, "no proj_size", repr(proj_size), "leave it out")
