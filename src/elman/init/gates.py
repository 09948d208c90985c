"""Initialisations of biases, by what their gate does, and of learned initial states.

A gate has up to two biases, ``bias_ih`` and ``bias_hh``, of which only the sum counts. Here the
first holds it and the other becomes zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TypeVar

import torch
from torch import Generator, Tensor

from .layers import Layer, change, find

_Module = TypeVar("_Module", bound=torch.nn.Module)
#: A gate's biases, of which only the sum counts, and the sum that they get.
_Sum = tuple[list[Tensor], float | Tensor]


def bias_(module: _Module, value: float = 0.0) -> _Module:
    """The bias of every gate becomes ``value``: the sum of both.

    Vectors of a cell that act as biases are left alone, and so are layers without biases.

    Args:
        module: a recurrent layer of torch.nn or elman, or a model that contains some.
        value: the sum of the two.

    Returns:
        The module that was given.

    Raises:
        TypeError: for what is no module.
        ValueError: for a module without recurrent layers.

    >>> import elman, torch
    >>> rnn = elman.init.bias_(torch.nn.RNN(1, 2), 0.5)
    >>> rnn.bias_ih_l0.tolist(), rnn.bias_hh_l0.tolist()
    ([0.5, 0.5], [0.0, 0.0])
    """
    layers = find("bias_", module)
    _set([(layer.bias(g), value) for layer in layers for g in layer.cell.gates], layers)
    return module


def forget_bias_(module: _Module, value: float = 1.0) -> _Module:
    """The bias of the forget gate becomes ``value``: the larger, the longer a state lasts.

    The forget gate is the one whose sigmoid is the share of the state that stays, such as f of an
    LSTM and z of ``torch.nn.GRU``. Where a cell has only the share that is new, as MGU and MinGRU
    have, its bias becomes ``-value``. A cell says which by its ``keeps`` and ``writes``.

    Args:
        module: a recurrent layer of torch.nn or elman, or a model that contains some.
        value: the sum of the gate's two biases.

    Returns:
        The module that was given.

    Raises:
        TypeError: for what is no module.
        ValueError: for a module without recurrent layers, or with a layer without forget gate or
            without biases.

    Sources: F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to forget: continual prediction with
    LSTM", Neural Computation 12 (2000); R. Jozefowicz, W. Zaremba, I. Sutskever, "An empirical
    exploration of recurrent network architectures", ICML (2015).

    >>> import elman, torch
    >>> lstm = elman.init.forget_bias_(torch.nn.LSTM(2, 3), 1.0)
    >>> (lstm.bias_ih_l0 + lstm.bias_hh_l0)[3:6].tolist()
    [1.0, 1.0, 1.0]
    """
    layers = find("forget_bias_", module)
    wanted: list[_Sum] = []
    for layer in layers:
        keeps, writes = _forgetting(layer)
        wanted += [(bias, value) for bias in keeps] or [(bias, -value) for bias in writes]
    _set(wanted, layers)
    return module


def chrono_(module: _Module, T_max: float, generator: Generator | None = None) -> _Module:
    """Forget biases for dependencies of up to ``T_max`` steps.

    The bias of the forget gate becomes ``log(u)``, with u uniform in ``[1, T_max - 1]`` for each
    unit: a unit remembers for about u steps. The bias of the input gate becomes ``-log(u)``. A cell
    with one of these gates gets that one, see :func:`forget_bias_`.

    Args:
        module: a recurrent layer of torch.nn or elman, or a model that contains some.
        T_max: the longest dependency expected, in steps, at least 2.
        generator: draws the numbers; by default torch's.

    Returns:
        The module that was given.

    Raises:
        TypeError: for what is no module.
        ValueError: as :func:`forget_bias_`, and for ``T_max`` below 2.

    Source: C. Tallec, Y. Ollivier, "Can recurrent neural networks warp time?", ICLR (2018).

    >>> import elman, torch
    >>> gru = elman.init.chrono_(torch.nn.GRU(2, 100), T_max=50)
    >>> steps = (gru.bias_ih_l0 + gru.bias_hh_l0)[100:200].exp()
    >>> bool(steps.min() >= 1), bool(20 < steps.max() < 50)
    (True, True)
    """
    if not T_max >= 2:
        raise ValueError(f"chrono_: expected T_max of at least 2 steps, got {T_max!r}")
    layers = find("chrono_", module)
    wanted: list[_Sum] = []
    for layer in layers:
        none: list[Tensor] = []
        for keeps, writes in zip_longest(*_forgetting(layer), fillvalue=none):
            like = (keeps or writes)[0]
            dtype = torch.promote_types(like.dtype, torch.float32)
            drawn = torch.empty(like.shape, dtype=dtype, device=like.device)
            log = drawn.uniform_(1, T_max - 1, generator=generator).log_()
            wanted += [(bias, value) for bias, value in ((keeps, log), (writes, -log)) if bias]
    _set(wanted, layers)
    return module


def initial_states_(
    module: _Module, std: float = 0.0, generator: Generator | None = None
) -> _Module:
    """Learned initial states become normal with this standard deviation; zero by default.

    Args:
        module: an :class:`elman.Recurrent` with ``learn_initial=True``, or a model with some.
        std: their standard deviation.
        generator: draws the numbers; by default torch's.

    Returns:
        The module that was given.

    Raises:
        TypeError: for what is no module.
        ValueError: where no layer has learned initial states.

    >>> import elman
    >>> net = elman.Recurrent(elman.cells.GRU, 2, 3, learn_initial=True)
    >>> bool(elman.init.initial_states_(net, 0.1).initial_h_l0.abs().max() > 0)
    True
    """
    layers = find("initial_states_", module)
    states = [
        layer.tensor(name)
        for layer in layers
        for name in layer.names
        if name.startswith("initial_")
    ]
    if not states:
        raise ValueError(
            f"initial_states_: expected learned initial states, got {layers[0]} without any: make "
            "an elman.Recurrent with learn_initial=True"
        )
    change(states, lambda state: state.normal_(0, std, generator=generator), layers)
    return module


def separate_forget_bias(layers: Sequence[Layer], value: float) -> None:
    """The bias of the forget gates that have an input gate beside them, as in an LSTM."""
    wanted: list[_Sum] = []
    for layer in layers:
        gates = layer.cell.keeps if layer.cell.writes else ()
        wanted += [(layer.bias(gate), value) for gate in gates if gate in layer.cell.gates]
    _set(wanted, layers)


def _forgetting(layer: Layer) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """The biases of the gates that keep, and of those that write."""
    cell, owner = layer.cell, layer.owner
    if not cell.keeps and not cell.writes:
        raise ValueError(
            f"{owner}: expected every layer to have a forget gate, got {layer}: give the other "
            "layers one by one, or name the gate of a cell of your own in its `keeps`"
        )
    found = [layer.bias(gate) for gate in cell.keeps], [layer.bias(gate) for gate in cell.writes]
    if not all(found[0]) or not all(found[1]):
        raise ValueError(
            f"{owner}: expected {(*cell.keeps, *cell.writes)} to have a bias, got {layer} without "
            "any: make it with bias=True"
        )
    return found


@torch.no_grad()
def _set(wanted: Sequence[_Sum], layers: Sequence[Layer]) -> None:
    """Gives sums of biases their values; the first bias holds it."""
    for bias, value in wanted:
        held = torch.as_tensor(value)
        for tensor in bias:
            tensor.copy_(held)
            held = torch.zeros(())
    for layer in layers:
        layer.store()
