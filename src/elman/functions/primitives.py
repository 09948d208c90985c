"""The primitives of a formula by their names, and what is next to them."""

from __future__ import annotations

from typing import Any

from ..expr import apply, where


def abs(a: Any) -> Any:
    """Absolute value, unit by unit; its derivative at 0 is 0.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.abs(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([1., 0., 2.])
    """
    return apply("abs", a)


def sqrt(a: Any) -> Any:
    """Square root, unit by unit.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.sqrt(torch.tensor([0.0, 4.0]))
    tensor([0., 2.])
    """
    return apply("sqrt", a)


def floor(a: Any) -> Any:
    """The largest integer that is not above a value; its derivative is 0.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.floor(torch.tensor([-0.5, 1.5]))
    tensor([-1.,  1.])
    """
    return apply("floor", a)


def round_to_bfloat16(a: Any) -> Any:
    """The nearest bfloat16, unit by unit, as ``a.bfloat16().to(a.dtype)``: what a program computes
    that keeps a value in bfloat16. The gradient is rounded, too, as PyTorch does it.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.round_to_bfloat16(torch.tensor([1.0, 1.001, 1.01]))
    tensor([1.0000, 1.0000, 1.0078])
    """
    return apply("round_to_bfloat16", a)


def exp(a: Any) -> Any:
    """Exponential, unit by unit.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.exp(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0.3679, 1.0000, 7.3891])
    """
    return apply("exp", a)


def expm1(a: Any) -> Any:
    """``exp(a) - 1``, unit by unit, precise near 0.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.expm1(torch.tensor([0.0, 1e-7]))
    tensor([0.0000e+00, 1.0000e-07])
    """
    return apply("expm1", a)


def log(a: Any) -> Any:
    """Natural logarithm, unit by unit: -infinity of 0, NaN below.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.log(torch.tensor([0.0, 1.0, 2.0]))
    tensor([  -inf, 0.0000, 0.6931])
    """
    return apply("log", a)


def log1p(a: Any) -> Any:
    """``log(1 + a)``, unit by unit, precise near 0.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.log1p(torch.tensor([0.0, 1e-7]))
    tensor([0.0000e+00, 1.0000e-07])
    """
    return apply("log1p", a)


def sin(a: Any) -> Any:
    """Sine, unit by unit, precise for arguments of any size (in radians).

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.sin(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.8415,  0.0000,  0.9093])
    """
    return apply("sin", a)


def cos(a: Any) -> Any:
    """Cosine, unit by unit, precise for arguments of any size (in radians).

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.cos(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([ 0.5403,  1.0000, -0.4161])
    """
    return apply("cos", a)


def erf(a: Any) -> Any:
    """Error function, unit by unit.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.erf(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.8427,  0.0000,  0.9953])
    """
    return apply("erf", a)


def tanh(a: Any) -> Any:
    """Hyperbolic tangent, unit by unit.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.tanh(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.7616,  0.0000,  0.9640])
    """
    return apply("tanh", a)


def sigmoid(a: Any) -> Any:
    """Logistic function ``1 / (1 + exp(-a))``, unit by unit.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.sigmoid(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0.2689, 0.5000, 0.8808])
    """
    return apply("sigmoid", a)


def relu(a: Any) -> Any:
    """``max(a, 0)``, unit by unit; NaN passes.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.relu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return apply("relu", a)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two values, unit by unit; NaN passes.

    Args:
        a, b: values of a formula, numbers or tensors, of one shape.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.maximum(torch.tensor([-1.0, 0.0, 2.0]), torch.zeros(3))
    tensor([0., 0., 2.])
    """
    return apply("maximum", a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two values, unit by unit; NaN passes.

    Args:
        a, b: values of a formula, numbers or tensors, of one shape.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.minimum(torch.tensor([-1.0, 0.0, 2.0]), torch.zeros(3))
    tensor([-1.,  0.,  0.])
    """
    return apply("minimum", a, b)


def eq(a: Any, b: Any) -> Any:
    """Whether two values are equal, unit by unit; `==` asks for the same object.

    Args:
        a, b: values of a formula, numbers or tensors, of one shape.

    Returns:
        A comparison, for :func:`elman.where`; of tensors, one of bools.

    >>> import elman, torch
    >>> elman.eq(torch.tensor([-1.0, 0.0, 2.0]), torch.zeros(3))
    tensor([False,  True, False])
    """
    return apply("eq", a, b)


def ne(a: Any, b: Any) -> Any:
    """Whether two values differ, unit by unit.

    Args:
        a, b: values of a formula, numbers or tensors, of one shape.

    Returns:
        A comparison, for :func:`elman.where`; of tensors, one of bools.

    >>> import elman, torch
    >>> elman.ne(torch.tensor([-1.0, 0.0, 2.0]), torch.zeros(3))
    tensor([ True, False,  True])
    """
    return apply("ne", a, b)


def square(a: Any) -> Any:
    """``a * a``, unit by unit.

    Args:
        a: a value of a formula, a number or a tensor.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.square(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([1., 0., 4.])
    """
    return a * a


def clamp(a: Any, min: Any = None, max: Any = None) -> Any:
    """``a``, but at least ``min`` and at most ``max``; either may be left out.

    At a bound the whole gradient passes, of which ``maximum`` would give half to the bound
    (``torch.clamp``, too, until 2.14, which passes none).

    Args:
        a: a value of a formula, a number or a tensor.
        min: the least that it becomes; None for no bound.
        max: the most that it becomes; None for no bound.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    Raises:
        RuntimeError: if both are left out.

    >>> import elman, torch
    >>> elman.clamp(torch.tensor([-1.0, 0.0, 2.0]), min=-0.5, max=0.5)
    tensor([-0.5000,  0.0000,  0.5000])
    """
    if min is None and max is None:
        raise RuntimeError("clamp() takes min, max or both as numbers or values, got neither")
    if min is not None:
        a = where(a >= min, a, maximum(a, min))
    if max is not None:
        a = where(a <= max, a, minimum(a, max))
    return a


def clip_gradient(a: Any, bound: float) -> Any:
    """``a`` itself; the gradient that arrives at it is kept between ``-bound`` and ``bound``.

    Args:
        a: a value of a formula, a number or a tensor.
        bound: the largest absolute value of the gradient, above 0.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    Raises:
        ValueError: if the bound is no number above 0.

    >>> import elman, torch
    >>> elman.clip_gradient(torch.tensor([-1.0, 0.0, 2.0]), 1.0)
    tensor([-1.,  0.,  2.])
    """
    if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not bound > 0:
        raise ValueError(f"clip_gradient() takes a bound above 0, got {bound!r}")
    return apply("clip_gradient", a, float(bound))
