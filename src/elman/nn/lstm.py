"""``elman.LSTM`` and ``elman.LSTMCell``, for ``torch.nn.LSTM`` and ``torch.nn.LSTMCell``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import cells
from ..step import Step
from .layer import Layer, LayerCall
from .steps import StepCall, TorchCell

_STEP, _PROJECTED = cells.LSTM().trace(), cells.LSTM(projection=True).trace()


class LSTM(Layer, counterpart=torch.nn.LSTM):
    """A multi-layer long short-term memory.

    With ``W x + b`` short for ``W_ih x_t + b_ih + W_hh h_{t-1} + b_hh``, a step computes the gates
    ``i, f, o = sigmoid(W x + b)`` and ``g = tanh(W x + b)``, each with rows of its own, then
    ``c_t = f * c_{t-1} + i * g`` and ``h_t = o * tanh(c_t)``. If ``proj_size`` P is not zero,
    ``h_t = W_hr (o * tanh(c_t))``, of P units, P < H; else P = H.

    Args:
        proj_size: units P of the projected state, below H; 0 for none.

    The other arguments are those of :class:`elman.RNN`.

    Call ``lstm(input, hx=None)`` with input ``(T, B, I)``, ``(T, I)`` or a PackedSequence, and
    ``hx`` a tuple of h, ``(num_layers * D, B, P)``, and c, ``(num_layers * D, B, H)``, or None for
    zeros. Returns ``output``, ``(T, B, D * P)``, the last layer's h at every step, and
    ``(h_n, c_n)``, shaped as ``hx``, every layer's final states. What is no tuple of two raises
    as in torch.nn, also TypeError or IndexError.

    Raises:
        TypeError: a size that is no int; states that are no tuple.
        IndexError: a tuple of other than two states.
        AttributeError: input or states that are no tensors.
        ValueError: a size below 1; a dropout outside of [0, 1]; a projection not below H; input
            that is neither 2-D nor 3-D, or not of the weights' dtype; lengths beyond the input, or
            no integers; a ``reset`` that is not bool.
        RuntimeError: input or states whose shape does not fit the layer.

    Sources: those of :class:`elman.cells.LSTM`.

    >>> import elman, torch
    >>> lstm = elman.LSTM(input_size=2, hidden_size=4, proj_size=3)
    >>> output, (h_n, c_n) = lstm(torch.rand(5, 1, 2))
    >>> output.shape, h_n.shape, c_n.shape
    (torch.Size([5, 1, 3]), torch.Size([1, 1, 3]), torch.Size([1, 1, 4]))
    >>> _, _, (h, c) = lstm(torch.rand(5, 1, 2), return_states=True)
    >>> h.shape, c.shape
    (torch.Size([1, 5, 1, 3]), torch.Size([1, 5, 1, 4]))

    A rollout of recurrent reinforcement learning in one call: states are carried on from the last
    rollout, and are zeros where an episode starts. (Of a ``done`` of floats take ``done.bool()``.)

    >>> lstm, carried = elman.LSTM(2, 4), None
    >>> for _ in range(2):
    ...     x, starts = torch.rand(5, 3, 2), torch.rand(5, 3) < 0.2
    ...     output, carried = lstm(x, carried, reset=starts, reset_to=0)
    >>> output.shape
    torch.Size([5, 3, 4])
    """

    if TYPE_CHECKING:
        __call__: LayerCall[tuple[Tensor, Tensor]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = input_size, hidden_size, num_layers
        flags = bias, batch_first, dropout, bidirectional
        super().__init__("LSTM", *sizes, *flags, proj_size, device, dtype)

    def _step(self) -> Step:
        return _PROJECTED if self.proj_size else _STEP


class LSTMCell(TorchCell, counterpart=torch.nn.LSTMCell):
    """One step of a long short-term memory, with the formula of :class:`LSTM`.

    The arguments are those of :class:`elman.RNNCell`.

    Call ``cell(input, hx=None)`` with input ``(B, I)`` or ``(I,)`` and ``hx`` a tuple of h and c,
    each ``(B, H)`` or ``(H,)``, or None for zeros; returns the new ``(h, c)``. What is no tuple of
    two raises as in torch.nn, also TypeError or IndexError.

    Raises:
        TypeError: a size that is no int; states that are no tuple.
        IndexError: a tuple of other than two states.
        AttributeError: input or states that are no tensors.
        ValueError: input or states that are neither 1-D nor 2-D.
        RuntimeError: input or states of a shape or dtype that does not fit the cell.

    >>> import elman, torch
    >>> h, c = elman.LSTMCell(4, 6)(torch.rand(2, 4))
    >>> h.shape
    torch.Size([2, 6])
    """

    if TYPE_CHECKING:
        __call__: StepCall[tuple[Tensor, Tensor]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device=device, dtype=dtype)

    def _step(self) -> Step:
        return _STEP
