"""Initialisations of weight matrices, gate by gate: torch.nn.init's, and those of recurrences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from .layers import Layer, change, find

_Module = TypeVar("_Module", bound=torch.nn.Module)
#: Names of weights without layer and direction: one, or several.
Weights = str | Sequence[str]

_RECURRENT: Weights = "weight_hh"
_ALL: Weights = ("weight_ih", "weight_hh")


def orthogonal_(
    module: _Module,
    gain: float = 1.0,
    generator: Generator | None = None,
    *,
    weights: Weights = _RECURRENT,
) -> _Module:
    """Every gate's block of the recurrent weights becomes an orthogonal matrix.

    In a cell with ``heads`` a block is that of one gate and head.
    ``torch.nn.init.orthogonal_`` on the whole ``weight_hh`` of an LSTM makes its columns
    orthonormal, and no gate's block orthogonal. A block that is not square is semi-orthogonal.

    Args:
        module: a recurrent layer of torch.nn or elman, or a model that contains some.
        gain: a factor.
        generator: draws the numbers; by default torch's.
        weights: names of weights without layer and direction; also ``"weight_ih"``,
            ``"weight_hr"`` of a projection, and ``"weight_<name>"`` of a cell's further matrices.

    Returns:
        The module that was given.

    Raises:
        TypeError: for what is no module.
        ValueError: for a module without recurrent layers, or a layer without such weights; a
            weight that a hook computes.

    Source: A. M. Saxe, J. L. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks", ICLR (2014).

    >>> import elman, torch
    >>> lstm = elman.init.orthogonal_(torch.nn.LSTM(2, 3, num_layers=2))
    >>> forget = lstm.weight_hh_l1[3:6]
    >>> torch.allclose(forget @ forget.T, torch.eye(3), atol=1e-6)
    True
    """
    draw = torch.nn.init.orthogonal_
    return _fill("orthogonal_", module, weights, lambda block: draw(block, gain, generator))


def eye_(module: _Module, gain: float = 1.0, *, weights: Weights = _RECURRENT) -> _Module:
    """Every gate's block of the recurrent weights becomes ``gain`` times the identity.

    Arguments, result and errors are those of :func:`orthogonal_`. :func:`irnn_` also sets the
    biases to zero.

    >>> import elman, torch
    >>> elman.init.eye_(torch.nn.RNN(1, 2)).weight_hh_l0.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return _fill("eye_", module, weights, lambda block: torch.nn.init.eye_(block).mul_(gain))


def xavier_uniform_(
    module: _Module,
    gain: float = 1.0,
    generator: Generator | None = None,
    *,
    weights: Weights = _ALL,
) -> _Module:
    """``torch.nn.init.xavier_uniform_`` of every gate's block.

    The outputs of a block are its gate's H units. For the whole matrix they would be those of all
    gates, and the numbers smaller. Arguments, result and errors are those of :func:`orthogonal_`.

    Source: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS (2010).

    >>> import elman, torch
    >>> gru = elman.init.xavier_uniform_(torch.nn.GRU(4, 8))
    >>> bool(gru.weight_ih_l0.abs().max() <= (6 / (4 + 8)) ** 0.5)
    True
    """
    draw = torch.nn.init.xavier_uniform_
    return _fill("xavier_uniform_", module, weights, lambda block: draw(block, gain, generator))


def xavier_normal_(
    module: _Module,
    gain: float = 1.0,
    generator: Generator | None = None,
    *,
    weights: Weights = _ALL,
) -> _Module:
    """``torch.nn.init.xavier_normal_`` of every gate's block.

    Arguments, result, errors and source are those of :func:`xavier_uniform_`.

    >>> import elman, torch
    >>> rnn = elman.init.xavier_normal_(torch.nn.RNN(40, 200))
    >>> abs(rnn.weight_ih_l0.std().item() / (2 / (40 + 200)) ** 0.5 - 1) < 0.05
    True
    """
    draw = torch.nn.init.xavier_normal_
    return _fill("xavier_normal_", module, weights, lambda block: draw(block, gain, generator))


def kaiming_uniform_(
    module: _Module,
    a: float = 0.0,
    mode: Any = "fan_in",
    nonlinearity: Any = "leaky_relu",
    generator: Generator | None = None,
    *,
    weights: Weights = _ALL,
) -> _Module:
    """``torch.nn.init.kaiming_uniform_`` of every gate's block.

    The outputs of a block are its gate's H units. The other arguments, result and errors are those
    of :func:`orthogonal_`.

    Args:
        a: the slope of the activation below zero.
        mode: ``"fan_in"`` or ``"fan_out"``: which way the size of values is kept.
        nonlinearity: the activation, as in ``torch.nn.init.calculate_gain``.

    Source: K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV (2015).

    >>> import elman, torch
    >>> rnn = elman.init.kaiming_uniform_(torch.nn.RNN(4, 8), nonlinearity="relu")
    >>> bool(rnn.weight_ih_l0.abs().max() <= (6 / 4) ** 0.5)
    True
    """
    draw = torch.nn.init.kaiming_uniform_
    return _fill(
        *("kaiming_uniform_", module, weights),
        lambda block: draw(block, a, mode, nonlinearity, generator),
    )


def kaiming_normal_(
    module: _Module,
    a: float = 0.0,
    mode: Any = "fan_in",
    nonlinearity: Any = "leaky_relu",
    generator: Generator | None = None,
    *,
    weights: Weights = _ALL,
) -> _Module:
    """``torch.nn.init.kaiming_normal_`` of every gate's block.

    Arguments, result, errors and source are those of :func:`kaiming_uniform_`.

    >>> import elman, torch
    >>> rnn = elman.init.kaiming_normal_(torch.nn.RNN(40, 200), nonlinearity="relu")
    >>> abs(rnn.weight_ih_l0.std().item() / (2 / 40) ** 0.5 - 1) < 0.05
    True
    """
    draw = torch.nn.init.kaiming_normal_
    return _fill(
        *("kaiming_normal_", module, weights),
        lambda block: draw(block, a, mode, nonlinearity, generator),
    )


def lecun_normal_(
    module: _Module, generator: Generator | None = None, *, weights: Weights = _ALL
) -> _Module:
    """A normal distribution of variance ``1 / inputs``, cut at two standard deviations.

    This is ``lecun_normal`` of Flax and Keras, which keeps the variance although it cuts. The
    arguments, result and errors are those of :func:`orthogonal_`.

    Source: Y. LeCun, L. Bottou, G. B. Orr, K.-R. Müller, "Efficient BackProp" (1998).

    >>> import elman, torch
    >>> rnn = elman.init.lecun_normal_(torch.nn.RNN(40, 200))
    >>> abs(rnn.weight_ih_l0.std().item() * 40**0.5 - 1) < 0.05
    True
    """

    return _fill("lecun_normal_", module, weights, lambda block: lecun(block, generator))


def unit_norm_(
    module: _Module,
    gain: float = 1.0,
    generator: Generator | None = None,
    *,
    weights: Weights = _ALL,
) -> _Module:
    """The weights into every unit of a gate get a random direction and the norm ``gain``.

    Arguments, result and errors are those of :func:`orthogonal_`.

    Source: the ``normc_initializer`` of P. Dhariwal et al., "OpenAI Baselines" (2017).

    >>> import elman, torch
    >>> rnn = elman.init.unit_norm_(torch.nn.RNN(5, 3))
    >>> torch.allclose(rnn.weight_ih_l0.norm(dim=1), torch.ones(3))
    True
    """

    def draw(block: Tensor) -> None:
        block.normal_(generator=generator)
        block.mul_(gain / block.norm(dim=1, keepdim=True))

    return _fill("unit_norm_", module, weights, draw)


def sparse_(
    module: _Module,
    sparsity: float,
    std: float = 0.01,
    generator: Generator | None = None,
    *,
    weights: Weights = _RECURRENT,
) -> _Module:
    """The share ``sparsity`` of each column of a gate's block is zero, the rest normal.

    So a unit sends to few others, as by ``torch.nn.init.sparse_``. Here ``generator`` draws also
    which weights are zero. The zeros are initial values: the ``mask`` of :class:`elman.Recurrent`
    keeps them. The other arguments, result and errors are those of :func:`orthogonal_`.

    Args:
        sparsity: between 0 and 1; the number of zeros in a column is rounded up.
        std: standard deviation of the other weights.

    Raises:
        ValueError: also for a sparsity outside of [0, 1].

    Source: J. Martens, "Deep learning via Hessian-free optimization", ICML (2010).

    >>> import elman, torch
    >>> rnn = elman.init.sparse_(torch.nn.RNN(2, 4), 0.75)
    >>> (rnn.weight_hh_l0 == 0).sum(0).tolist()
    [3, 3, 3, 3]
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: expected sparsity between 0 and 1, got {sparsity!r}")

    def draw(block: Tensor) -> None:
        block.normal_(0, std, generator=generator)
        order = torch.rand(block.shape, device=block.device, generator=generator).argsort(0)
        block[order.argsort(0) < math.ceil(sparsity * len(block))] = 0

    return _fill("sparse_", module, weights, draw)


def spectral_radius_(
    module: _Module, radius: float = 0.9, *, weights: Weights = _RECURRENT
) -> _Module:
    """Scales every gate's block so that its largest eigenvalue has this absolute value.

    It draws nothing: call :func:`sparse_` or another function before. With a radius below 1 a
    network that is not trained mostly forgets its initial state, as an echo state network has to.
    The other arguments, result and errors are those of :func:`orthogonal_`.

    Args:
        radius: the spectral radius, at least 0.

    Raises:
        ValueError: also for a block that is not square, or whose eigenvalues are all zero.

    Source: H. Jaeger, "The 'echo state' approach to analysing and training recurrent neural
    networks", GMD report 148 (2001).

    >>> import elman, torch
    >>> rnn = elman.init.spectral_radius_(torch.nn.RNN(2, 8), 0.95)
    >>> round(torch.linalg.eigvals(rnn.weight_hh_l0).abs().max().item(), 4)
    0.95
    """
    if not radius >= 0:
        raise ValueError(f"spectral_radius_: expected radius of at least 0, got {radius!r}")

    layers, blocks = _blocks("spectral_radius_", module, weights)
    present = [_spectral_radius(block) for block in blocks]  # of all, before one changes
    for block, now in zip(blocks, present, strict=True):
        block.mul_(radius / now)
    for layer in layers:
        layer.store()
    return module


def _spectral_radius(block: Tensor) -> float:
    if block.shape[0] != block.shape[1]:
        raise ValueError(
            "spectral_radius_: expected square blocks of weights, one for each gate, got shape "
            f"{tuple(block.shape)}: give other `weights`"
        )
    if block.is_meta:
        return 1.0
    wide = block.to(torch.promote_types(block.dtype, torch.float32))
    found = torch.linalg.eigvals(wide).abs().max().item()
    if found == 0:
        raise ValueError(
            "spectral_radius_: expected a block with an eigenvalue other than zero, got none: draw "
            "its weights before, with less sparsity"
        )
    return found


def lecun(block: Tensor, generator: Generator | None) -> Tensor:
    """:func:`lecun_normal_` of one block."""
    std = 1 / math.sqrt(block.shape[1]) / 0.87962566103423978  # of a normal cut at two of them
    return torch.nn.init.trunc_normal_(block, 0.0, std, -2 * std, 2 * std, generator)


def _fill(
    owner: str, module: _Module, weights: Weights, draw: Callable[[Tensor], object]
) -> _Module:
    """Changes the blocks of these weights in all layers."""
    layers, blocks = _blocks(owner, module, weights)
    change(blocks, draw, layers)
    return module


def _blocks(
    owner: str, module: torch.nn.Module, weights: Weights
) -> tuple[list[Layer], list[Tensor]]:
    """All layers, and the blocks of these weights, of which every layer has some."""
    names = (weights,) if isinstance(weights, str) else tuple(weights)
    layers, blocks, met = find(owner, module), list[Tensor](), set[str]()
    for layer in layers:
        mine = {name: layer.matrices(name) for name in names}
        if not any(mine.values()):
            has = [name for name in layer.names if layer.matrices(name)]
            raise ValueError(
                f"{owner}: expected every layer to have a matrix of {names}, got {layer} with "
                f"{has}: give `weights`, or one layer instead of the model"
            )
        met |= {name for name, found in mine.items() if found}
        blocks += [block for found in mine.values() for block in found]
    if unknown := [name for name in names if name not in met]:
        raise ValueError(
            f"{owner}: expected names of matrices, got {unknown[0]!r}, which no layer has"
        )
    return layers, blocks
