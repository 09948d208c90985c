"""Activations of a formula, composed of primitives.

A composed function is written with :func:`elman.where`. Its branches must have finite gradients
where they are not taken: zero times infinity is NaN.
"""

from __future__ import annotations

import math
from typing import Any

from ..expr import where
from .primitives import abs, erf, exp, expm1, log1p, sigmoid, tanh


def leaky_relu(a: Any, negative_slope: Any = 0.01) -> Any:
    """``a`` above 0, else ``negative_slope * a``.

    Args:
        a: a value of a formula, a number or a tensor.
        negative_slope: the slope below 0.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.leaky_relu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.0100,  0.0000,  2.0000])
    """
    return where(a > 0, a, a * negative_slope)


def elu(a: Any, alpha: Any = 1.0) -> Any:
    """``a`` above 0, else ``alpha * (exp(a) - 1)``.

    Args:
        a: a value of a formula, a number or a tensor.
        alpha: minus the limit far below 0.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    Source: D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and accurate deep network
    learning by exponential linear units", ICLR (2016).

    >>> import elman, torch
    >>> elman.elu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.0000,  2.0000])
    """
    return where(a <= 0, expm1(where(a <= 0, a, 0.0)) * alpha, a)


def gelu(a: Any, approximate: str = "none") -> Any:
    """``a`` times the normal distribution function of ``a``.

    Args:
        a: a value of a formula, a number or a tensor.
        approximate: ``"none"``, or ``"tanh"`` for the authors' approximation.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    Raises:
        RuntimeError: for any other ``approximate``.

    Source: D. Hendrycks, K. Gimpel, "Gaussian error linear units", arXiv:1606.08415 (2016).

    >>> import elman, torch
    >>> elman.gelu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.1587,  0.0000,  1.9545])
    """
    if approximate == "none":
        return a * 0.5 * (1.0 + erf(a * math.sqrt(0.5)))
    if approximate == "tanh":
        slope = math.sqrt(2 / math.pi)
        return a * 0.5 * (1.0 + tanh(a * (slope + slope * 0.044715 * (a * a))))
    raise RuntimeError(f"approximate must be 'none' or 'tanh', got {approximate!r}")


def silu(a: Any) -> Any:
    """``a * sigmoid(a)``, also known as swish.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    Source: S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units for neural network
    function approximation in reinforcement learning", Neural Networks 107 (2018).

    >>> import elman, torch
    >>> elman.silu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.2689,  0.0000,  1.7616])
    """
    return a * sigmoid(a)


def softplus(a: Any, beta: Any = 1.0, threshold: Any = 20.0) -> Any:
    """``log(1 + exp(beta * a)) / beta``; ``a`` itself where ``beta * a`` is above the threshold.

    Args:
        a: a value of a formula, a number or a tensor.
        beta: how sharp the bend at 0 is.
        threshold: from where on it is linear.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.softplus(torch.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.0000])
    """
    scaled = a * beta
    linear = scaled > threshold
    return where(linear, a, log1p(exp(where(linear, 0.0, scaled))) / beta)


def softsign(a: Any) -> Any:
    """``a / (1 + |a|)``.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.softsign(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.5000,  0.0000,  0.6667])
    """
    return a / (1.0 + abs(a))


def hardtanh(a: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """``a``, but at least ``min_val`` and at most ``max_val``; no gradient passes at a bound.

    Args:
        a: a value of a formula, a number or a tensor.
        min_val, max_val: the bounds.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    Raises:
        ValueError: if ``min_val`` is above ``max_val``.

    >>> import elman, torch
    >>> elman.hardtanh(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    if min_val > max_val:
        raise ValueError(f"min_val must be at most max_val, got {min_val!r} and {max_val!r}")
    return where(a <= min_val, min_val, where(a >= max_val, max_val, a))


def hardsigmoid(a: Any) -> Any:
    """0 up to -3, 1 from 3 on, and a straight line between them.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.hardsigmoid(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0.3333, 0.5000, 0.8333])
    """
    return (hardtanh(a, -3.0, 3.0) + 3.0) / 6.0


def hardswish(a: Any) -> Any:
    """``a * hardsigmoid(a)``.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    Source: A. Howard et al., "Searching for MobileNetV3", ICCV (2019).

    >>> import elman, torch
    >>> elman.hardswish(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.3333,  0.0000,  1.6667])
    """
    return a * hardsigmoid(a)
