"""``elman.RNN`` and ``elman.RNNCell``, for ``torch.nn.RNN`` and ``torch.nn.RNNCell``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..cells import Elman
from ..step import Step
from .layer import Layer, LayerCall, no_projection
from .messages import refusal
from .steps import StepCall, TorchCell

_MODES = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
_EXPECTED = "nonlinearity 'tanh' or 'relu'"
_STEPS = {mode: Elman(nonlinearity).trace() for nonlinearity, mode in _MODES.items()}


class RNN(Layer, counterpart=torch.nn.RNN):
    """A multi-layer Elman network, ``h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``.

    With ``nonlinearity="relu"``, relu takes the place of tanh.

    Args:
        input_size: features of the input, I.
        hidden_size: units of the state, H.
        num_layers: layers stacked; each takes the output of the one below.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: whether the layers have ``bias_ih`` and ``bias_hh``.
        batch_first: input and output as ``(B, T, features)`` instead of ``(T, B, features)``; the
            states keep their shape.
        dropout: probability with which outputs of all layers but the last are set to zero in
            training.
        bidirectional: a second set of weights runs from the last step to the first (D = 2).
        proj_size: 0: only an LSTM has projections.
        device, dtype: of the parameters; None for torch's defaults.

    Call ``rnn(input, hx=None)`` with input ``(T, B, I)``, ``(T, I)`` or a PackedSequence, and
    ``hx`` ``(num_layers * D, B, H)`` or None for zeros. Returns ``output``, ``(T, B, D * H)``, the
    last layer's state at every step, and ``h_n``, shaped as ``hx``, every layer's final state.

    Raises:
        TypeError: a size that is no int.
        AttributeError: input or states that are no tensors.
        ValueError: a size below 1; a dropout outside of [0, 1]; another nonlinearity; a
            projection; input that is neither 2-D nor 3-D, or not of the weights' dtype; lengths
            beyond the input, or no integers; a ``reset`` that is not bool.
        RuntimeError: input or states whose shape does not fit the layer.

    Source: J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).

    >>> import elman, torch
    >>> rnn = elman.RNN(input_size=2, hidden_size=4, num_layers=2)
    >>> output, h_n = rnn(torch.rand(3, 1, 2))
    >>> output.shape, h_n.shape
    (torch.Size([3, 1, 4]), torch.Size([2, 1, 4]))
    """

    if TYPE_CHECKING:
        __call__: LayerCall[Tensor]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,  # here too, since arguments may be given by position
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if proj_size:
            raise no_projection("RNN", proj_size)
        if nonlinearity not in tuple(_MODES):  # which takes unhashable values too
            sentence = f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            raise refusal(ValueError, sentence, "RNN", _EXPECTED, repr(nonlinearity))
        self.nonlinearity = nonlinearity
        sizes = input_size, hidden_size, num_layers
        flags = bias, batch_first, dropout, bidirectional
        super().__init__(_MODES[nonlinearity], *sizes, *flags, device=device, dtype=dtype)

    def _step(self) -> Step:
        return _STEPS[self.mode]


class RNNCell(TorchCell, counterpart=torch.nn.RNNCell):
    """One step of an Elman network: ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``.

    With ``nonlinearity="relu"``, relu takes the place of tanh; a call with another one raises
    RuntimeError.

    Args:
        input_size: features of the input, I.
        hidden_size: units of the state, H.
        bias: whether the cell has ``bias_ih`` and ``bias_hh``.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device, dtype: of the parameters; None for torch's defaults.

    Call ``cell(input, hx=None)`` with input ``(B, I)`` or ``(I,)`` and ``hx`` ``(B, H)``, ``(H,)``
    or None for zeros; returns the new state, shaped as ``hx``.

    Raises:
        TypeError: a size that is no int.
        AttributeError: input or states that are no tensors.
        ValueError: input or states that are neither 1-D nor 2-D.
        RuntimeError: input or states of a shape or dtype that does not fit the cell; a call
            with another nonlinearity.

    >>> import elman, torch
    >>> elman.RNNCell(4, 6)(torch.rand(2, 4)).shape
    torch.Size([2, 6])
    """

    if TYPE_CHECKING:
        __call__: StepCall[Tensor]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def _step(self) -> Step:
        if self.nonlinearity not in tuple(_MODES):  # as late as torch.nn, where anything constructs
            sentence, got = f"Unknown nonlinearity: {self.nonlinearity}", repr(self.nonlinearity)
            raise refusal(RuntimeError, sentence, type(self).__name__, _EXPECTED, got)
        return _STEPS[_MODES[self.nonlinearity]]
