"""The functions of a formula: primitives by their names, and what is composed of them.

All work unit by unit, on symbolic values, numbers and tensors. They have the values and gradients
of PyTorch's functions of the same names, also at a kink. A composed function is written with
:func:`elman.where`. Its branches must have finite gradients where they are not taken: zero times
infinity is NaN.

>>> import torch
>>> softplus(torch.tensor([0.0, 30.0]))
tensor([ 0.6931, 30.0000])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .expr import PRIMITIVES, apply, where


def _primitive(name: str, doc: str) -> Callable[..., Any]:
    count = PRIMITIVES[name].count

    def call(*args: Any) -> Any:
        if len(args) != count:
            raise TypeError(f"{name}() takes {count} argument{'s'[: count - 1]}, got {len(args)}")
        return apply(name, *args)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return call


abs = _primitive("abs", "Absolute value, unit by unit; its derivative at 0 is 0.")
sqrt = _primitive("sqrt", "Square root, unit by unit.")
floor = _primitive("floor", "The largest integer that is not above a value; its derivative is 0.")
round_to_bfloat16 = _primitive(
    "round_to_bfloat16",
    "The nearest bfloat16, unit by unit, as ``a.bfloat16().to(a.dtype)``: what a program computes\n"
    "that keeps a value in bfloat16. The gradient is rounded, too, as PyTorch does it.",
)
exp = _primitive("exp", "Exponential, unit by unit.")
expm1 = _primitive("expm1", "exp(a) - 1, unit by unit, precise near 0.")
log = _primitive("log", "Natural logarithm, unit by unit: -infinity of 0, NaN below.")
log1p = _primitive("log1p", "log(1 + a), unit by unit, precise near 0.")
sin = _primitive("sin", "Sine, unit by unit, precise for arguments of any size.")
cos = _primitive("cos", "Cosine, unit by unit, precise for arguments of any size.")
erf = _primitive("erf", "Error function, unit by unit.")
tanh = _primitive("tanh", "Hyperbolic tangent, unit by unit.")
sigmoid = _primitive("sigmoid", "Logistic function 1 / (1 + exp(-a)), unit by unit.")
relu = _primitive("relu", "max(a, 0), unit by unit; NaN passes.")
maximum = _primitive("maximum", "The larger of two values, unit by unit; NaN passes.")
minimum = _primitive("minimum", "The smaller of two values, unit by unit; NaN passes.")
eq = _primitive("eq", "Whether two values are equal, unit by unit; `==` asks for the same object.")
ne = _primitive("ne", "Whether two values differ, unit by unit.")


def clip_gradient(a: Any, bound: float) -> Any:
    """``a`` itself; the gradient that arrives at it is kept between ``-bound`` and ``bound``.

    Raises:
        ValueError: if the bound is no number above 0.
    """
    if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not bound > 0:
        raise ValueError(f"clip_gradient() takes a bound above 0, got {bound!r}")
    return apply("clip_gradient", a, float(bound))


def square(a: Any) -> Any:
    """``a * a``, unit by unit."""
    return a * a


def leaky_relu(a: Any, negative_slope: Any = 0.01) -> Any:
    """``a`` above 0, else ``negative_slope * a``."""
    return where(a > 0, a, a * negative_slope)


def elu(a: Any, alpha: Any = 1.0) -> Any:
    """``a`` above 0, else ``alpha * (exp(a) - 1)`` (Clevert et al., 2016)."""
    return where(a <= 0, expm1(where(a <= 0, a, 0.0)) * alpha, a)


def gelu(a: Any, approximate: str = "none") -> Any:
    """``a`` times the normal distribution function of ``a`` (Hendrycks and Gimpel, 2016); with
    ``approximate="tanh"`` their approximation of it.

    Raises:
        RuntimeError: for any other ``approximate``.
    """
    if approximate == "none":
        return a * 0.5 * (1.0 + erf(a * math.sqrt(0.5)))
    if approximate == "tanh":
        slope = math.sqrt(2 / math.pi)
        return a * 0.5 * (1.0 + tanh(a * (slope + slope * 0.044715 * (a * a))))
    raise RuntimeError(f"approximate must be 'none' or 'tanh', got {approximate!r}")


def silu(a: Any) -> Any:
    """``a * sigmoid(a)``, also known as swish."""
    return a * sigmoid(a)


def softplus(a: Any, beta: Any = 1.0, threshold: Any = 20.0) -> Any:
    """``log(1 + exp(beta * a)) / beta``; ``a`` itself where ``beta * a`` is above the threshold."""
    scaled = a * beta
    linear = scaled > threshold
    return where(linear, a, log1p(exp(where(linear, 0.0, scaled))) / beta)


def softsign(a: Any) -> Any:
    """``a / (1 + |a|)``."""
    return a / (1.0 + abs(a))


def clamp(a: Any, min: Any = None, max: Any = None) -> Any:
    """``a``, but at least ``min`` and at most ``max``; either may be left out.

    At a bound the whole gradient passes, of which ``maximum`` would give half to the bound
    (``torch.clamp``, too, until 2.14, which passes none).

    Raises:
        RuntimeError: if both are left out.
    """
    if min is None and max is None:
        raise RuntimeError("clamp() takes min, max or both as numbers or values, got neither")
    if min is not None:
        a = where(a >= min, a, maximum(a, min))
    if max is not None:
        a = where(a <= max, a, minimum(a, max))
    return a


def hardtanh(a: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """``a``, but at least ``min_val`` and at most ``max_val``; no gradient passes at a bound.

    Raises:
        ValueError: if ``min_val`` is above ``max_val``.
    """
    if min_val > max_val:
        raise ValueError(f"min_val must be at most max_val, got {min_val!r} and {max_val!r}")
    return where(a <= min_val, min_val, where(a >= max_val, max_val, a))


def hardsigmoid(a: Any) -> Any:
    """0 up to -3, 1 from 3 on, and a straight line between them."""
    return (hardtanh(a, -3.0, 3.0) + 3.0) / 6.0


def hardswish(a: Any) -> Any:
    """``a * hardsigmoid(a)`` (Howard et al., 2019)."""
    return a * hardsigmoid(a)
