"""Whole initialisations of a layer, as papers and other frameworks have them."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from .gates import bias_, separate_forget_bias
from .layers import change, find
from .matrices import eye_, lecun

_Module = TypeVar("_Module", bound=torch.nn.Module)


def irnn_(module: _Module, gain: float = 1.0) -> _Module:
    """Recurrent weights become ``gain`` times the identity in every gate, and biases zero.

    For ReLU: such a network copies its state until something is added. The weights of the input
    stay as they are. :class:`elman.cells.IRNN` begins so.

    Args:
        module: a recurrent layer of torch.nn or elman, or a model that contains some.
        gain: a factor; below 1 the network forgets.

    Returns:
        The module that was given.

    Raises:
        TypeError: for what is no module.
        ValueError: for a module without recurrent layers, or a layer without ``weight_hh``.

    Source: Q. V. Le, N. Jaitly, G. E. Hinton, "A simple way to initialize recurrent networks of
    rectified linear units", arXiv:1504.00941 (2015).

    >>> import elman, torch
    >>> rnn = elman.init.irnn_(torch.nn.RNN(1, 2, nonlinearity="relu"))
    >>> rnn.weight_hh_l0.tolist(), rnn.bias_ih_l0.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    """
    return bias_(eye_(module, gain))


def keras_(module: _Module, generator: Generator | None = None) -> _Module:
    """The defaults of Keras' layers: Glorot's uniform distribution, orthogonal, forget bias 1.

    Keras draws each matrix as a whole, for all gates at once. So the columns of ``weight_hh`` are
    orthonormal, and no gate's block is orthogonal. Heads are drawn one by one. The forget bias is 1
    where a cell has a forget and an input gate, as the LSTM; all other biases are zero, as in the
    GRU. Further matrices and vectors of a cell stay as they are.

    Args:
        module: a recurrent layer of torch.nn or elman, or a model that contains some.
        generator: draws the numbers; by default torch's.

    Returns:
        The module that was given.

    Raises:
        TypeError: for what is no module.
        ValueError: for a module without recurrent layers.

    Source: ``keras.layers.LSTM``, ``GRU`` and ``SimpleRNN`` of Keras 3.

    >>> import elman, torch
    >>> lstm = elman.init.keras_(torch.nn.LSTM(2, 3))
    >>> (lstm.bias_ih_l0 + lstm.bias_hh_l0).tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    layers = find("keras_", module)
    for name, draw in (
        ("weight_ih", torch.nn.init.xavier_uniform_),
        ("weight_hh", torch.nn.init.orthogonal_),
    ):

        def jointly(gates: Tensor, draw: Any = draw) -> None:
            gates.copy_(draw(gates.flatten(0, 1), 1.0, generator).view_as(gates))

        change([gates for layer in layers for gates in layer.joint(name)], jointly, layers)
    bias_(module)
    separate_forget_bias(layers, 1.0)
    return module


def flax_(module: _Module, generator: Generator | None = None) -> _Module:
    """The defaults of Flax' cells: LeCun's normal distribution, orthogonal gates, zero biases.

    So begin the cells of ``flax.linen`` and ``flax.nnx.LSTMCell``. ``nnx.GRUCell`` and
    ``nnx.OptimizedLSTMCell`` draw one orthogonal matrix for all gates, as :func:`keras_` does.
    Arguments, result and errors are those of :func:`keras_`.

    Source: ``flax.linen.LSTMCell``, ``GRUCell`` and ``SimpleCell`` of Flax 0.12.

    >>> import elman, torch
    >>> elman.init.flax_(torch.nn.LSTM(2, 1)).bias_ih_l0.tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    layers = find("flax_", module)
    inputs, recurrent = (
        [gate for layer in layers for gate in layer.matrices(name)]
        for name in ("weight_ih", "weight_hh")
    )
    change(inputs, lambda gate: lecun(gate, generator), layers)
    change(recurrent, lambda gate: torch.nn.init.orthogonal_(gate, 1.0, generator), layers)
    return bias_(module)
