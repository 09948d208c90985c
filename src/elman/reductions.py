"""Values of a whole row in a formula: its mean over the units, and layer normalisation."""

from __future__ import annotations

from typing import Any

from .errors import FormulaError
from .expr import Node, apply, check_kind, node
from .spaces import ONE


def mean(value: Any) -> Any:
    """The mean over the units of a row: one number, which counts for every unit.

    >>> import elman, torch
    >>> elman.mean(torch.tensor([[1.0, 2.0, 6.0]]))
    tensor([[3.]])
    """
    if not isinstance(value, Node):
        return value.mean(-1, keepdim=True)
    check_kind("mean", 0, value)
    if value.space is ONE:
        raise FormulaError("mean() takes a value with units, got one that has none: leave it out")
    return node("sum", value, space=ONE) / node("units", attr=value.space.name)


def layer_norm(*values: Any, eps: float = 1e-5) -> Any:
    """Every row of a value less its mean, divided by its standard deviation.

    ``(v - mean(v)) / sqrt(mean((v - mean(v))**2) + eps)``: what ``torch.nn.functional.layer_norm``
    computes without weight and bias. Several values are normalised as one row, as the gates of
    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization" (2016); they come back as a tuple.

    Args:
        values: one value or more, with as many units each.
        eps: added to the variance.

    >>> import elman, torch
    >>> elman.layer_norm(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[-1.2247,  0.0000,  1.2247]])
    """

    def average(parts: list[Any]) -> Any:
        total = mean(parts[0])
        for part in parts[1:]:
            total = total + mean(part)
        return total if len(parts) == 1 else total / len(parts)

    middle = average(list(values))
    centred = [v - middle for v in values]
    scale = apply("sqrt", average([c * c for c in centred]) + eps)
    normal = tuple(c / scale for c in centred)
    return normal[0] if len(normal) == 1 else normal
