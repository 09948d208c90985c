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

    Call ``rnn(input, hx=None)`` with input ``(T, B, I)``, ``(T, I)`` or a PackedSequence, and
    ``hx`` ``(num_layers * D, B, H)`` or None for zeros. Returns ``output``, ``(T, B, D * H)``, the
    last layer's state at every step, and ``h_n``, shaped as ``hx``, every layer's final state.

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

    Call ``cell(input, hx=None)`` with input ``(B, I)`` or ``(I,)`` and ``hx`` ``(B, H)``, ``(H,)``
    or None for zeros; returns the new state, shaped as ``hx``.

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
