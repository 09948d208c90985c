"""``elman.GRU`` and ``elman.GRUCell``, for ``torch.nn.GRU`` and ``torch.nn.GRUCell``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import cells
from ..step import Step
from .layer import Layer, LayerCall, no_projection
from .steps import StepCall, TorchCell

_STEPS = {after: cells.GRU(reset_after=after).trace() for after in (True, False)}


class _ResetAfter:
    """Where the reset acts. An instance holds it only where torch.nn's have nothing to hold."""

    reset_after = True

    def _set_reset(self, after: bool) -> None:
        if not isinstance(after, bool):
            raise TypeError(f"reset_after must be True or False, got {after!r}")
        if not after:
            self.reset_after = False

    def _step(self) -> Step:
        return _STEPS[self.reset_after]

    def extra_repr(self) -> str:
        shown: str = super().extra_repr()  # type: ignore[misc]
        return shown if self.reset_after else f"{shown}, reset_after=False"


class GRU(_ResetAfter, Layer, counterpart=torch.nn.GRU):
    """A multi-layer gated recurrent unit.

    A step computes ``r = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)``, z likewise,
    ``n = tanh(W_in x_t + b_in + r * (W_hn h_{t-1} + b_hn))``, and
    ``h_t = (1 - z) * n + z * h_{t-1}``.

    ``reset_after=False`` lets the reset act before the product, as in the paper and with Keras'
    ``reset_after=False``: ``n = tanh(W_in x_t + b_in + W_hn (r * h_{t-1}) + b_hn)``. torch.nn has
    no such layer; the parameters are the same. What is no bool raises TypeError.

    Args:
        reset_after: whether the reset acts after the product.

    The other arguments are those of :class:`elman.RNN`.

    Call ``gru(input, hx=None)`` with input ``(T, B, I)``, ``(T, I)`` or a PackedSequence, and
    ``hx`` ``(num_layers * D, B, H)`` or None for zeros. Returns ``output``, ``(T, B, D * H)``, the
    last layer's state at every step, and ``h_n``, shaped as ``hx``, every layer's final state.

    Raises:
        TypeError: a size that is no int; a ``reset_after`` that is no bool.
        AttributeError: input or states that are no tensors.
        ValueError: a size below 1; a dropout outside of [0, 1]; a projection; input that is
            neither 2-D nor 3-D, or not of the weights' dtype; lengths beyond the input, or no
            integers; a ``reset`` that is not bool.
        RuntimeError: input or states whose shape does not fit the layer.

    Source: that of :class:`elman.cells.GRU`.

    >>> import elman, torch
    >>> gru = elman.GRU(input_size=2, hidden_size=4, num_layers=2)
    >>> output, h_n = gru(torch.rand(3, 1, 2))
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
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,  # here too, since arguments may be given by position
        device: Any = None,
        dtype: Any = None,
        *,
        reset_after: bool = True,
    ) -> None:
        if proj_size:
            raise no_projection("GRU", proj_size)
        sizes = input_size, hidden_size, num_layers
        flags = bias, batch_first, dropout, bidirectional
        super().__init__("GRU", *sizes, *flags, device=device, dtype=dtype)
        self._set_reset(reset_after)


class GRUCell(_ResetAfter, TorchCell, counterpart=torch.nn.GRUCell):
    """One step of a gated recurrent unit, with the formula and ``reset_after`` of :class:`GRU`.

    Args:
        reset_after: whether the reset acts after the product.

    The other arguments are those of :class:`elman.RNNCell`.

    Call ``cell(input, hx=None)`` with input ``(B, I)`` or ``(I,)`` and ``hx`` ``(B, H)``, ``(H,)``
    or None for zeros; returns the new state, shaped as ``hx``.

    Raises:
        TypeError: a size that is no int; a ``reset_after`` that is no bool.
        AttributeError: input or states that are no tensors.
        ValueError: input or states that are neither 1-D nor 2-D.
        RuntimeError: input or states of a shape or dtype that does not fit the cell.

    >>> import elman, torch
    >>> elman.GRUCell(4, 6, reset_after=False)
    GRUCell(4, 6, reset_after=False)
    """

    if TYPE_CHECKING:
        __call__: StepCall[Tensor]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        reset_after: bool = True,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device=device, dtype=dtype)
        self._set_reset(reset_after)
