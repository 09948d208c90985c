"""Reductions: the one table in which they are defined, and the functions of a formula over a row.

They make one number of the units of a row, or of those of each head: sum, largest value, mean, one
unit; softmax and layer normalisation are made of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .errors import FormulaError
from .expr import Node, apply, check_kind, node, where
from .spaces import ONE


@dataclass(frozen=True)
class Reduction:
    """One row of the table of reductions, which make one number of the units of a row, or of those
    of each head: ``attr`` is the number of heads, if there are several, and then the result has the
    units of the value, those of a head alike.

    ``torch(a)`` keeps the dimension. ``derivative(g, y, a)`` gives the value's gradient from the
    result's. ``combine(v, a, b)`` joins two vectors of partial results; of nothing it's ``start``.
    """

    torch: Callable[[torch.Tensor], torch.Tensor]
    derivative: Callable[[Node, Node, Node], Node]
    combine: Callable[..., str]
    start: float


def _share_of_largest(g: Node, y: Node, a: Node) -> Node:
    """Units that are equally large share the gradient, as in ``torch.amax``."""
    largest = apply("eq", a, y)
    count = reduce("sum", where(largest, 1.0, 0.0), heads=heads_of(y))
    return where(apply("ne", a, y), 0.0, g / count)


REDUCTIONS: Mapping[str, Reduction] = {
    "sum": Reduction(
        lambda a: a.sum(-1, keepdim=True), lambda g, y, a: g, lambda v, a, b: v.add(a, b), 0.0
    ),
    "amax": Reduction(
        lambda a: a.amax(-1, keepdim=True),
        _share_of_largest,
        lambda v, a, b: v.call("maximum", a, b),
        -math.inf,
    ),
}


def check_reduced(name: str, value: Any, heads: Any) -> None:
    """Whether a function of the units of a row, or of each head, can have these arguments."""
    if type(heads) is not int or heads < 1:
        raise FormulaError(f"{name}() takes heads of at least 1, got {heads!r}")
    if isinstance(value, Node):
        check_kind(name, 0, value)
        if value.space is ONE:
            raise FormulaError(
                f"{name}() takes a value with units, got one that has none: leave it out"
            )


def reduce(name: str, value: Any, caller: str = "", heads: int = 1) -> Any:
    """A reduction of a symbolic value, for a function of another name perhaps; of a tensor, that of
    PyTorch over the last dimension. Of several ``heads`` each has its own."""
    check_reduced(caller or name, value, heads)
    if not isinstance(value, Node):
        return reduced(name, value, heads)
    if heads == 1:
        return node(name, value, space=ONE)
    if value.space.fixed % heads:
        raise FormulaError(
            f"{caller or name}() takes a value whose units are a multiple of heads={heads}, got "
            f"{value.space.units}"
        )
    return node(name, value, attr=str(heads), space=value.space)


def heads_of(reduction: Node) -> int:
    """How many results a reduction has in a row."""
    return int(reduction.attr or 1)


def unit_of(leaf: Node) -> tuple[int, int]:
    """Which unit of each head a leaf ``unit`` is 1 for, else 0; and how many heads there are."""
    index, heads = leaf.attr.split("/")
    return int(index), int(heads)


def reduced(name: str, value: torch.Tensor, heads: int) -> torch.Tensor:
    """A reduction of a tensor."""
    if heads == 1:
        return REDUCTIONS[name].torch(value)
    parts = value.unflatten(-1, (heads, value.shape[-1] // heads))
    return REDUCTIONS[name].torch(parts).expand_as(parts).flatten(-2)


def sum(value: Any, heads: int = 1) -> Any:
    """The sum of the units of a row: one number, which counts for every unit.

    With several ``heads``, of which each has an equal part of the units, each unit has the sum of
    its head.

    Args:
        value: a value of a formula with units, or a tensor ``(..., units)``.
        heads: how many equal parts of the units are reduced apart.

    Returns:
        One number of each row, ``(..., 1)`` of a tensor; of several heads ``(..., units)``.

    >>> import elman, torch
    >>> elman.sum(torch.tensor([[1.0, 2.0, 6.0]]))
    tensor([[9.]])
    >>> elman.sum(torch.tensor([[1.0, 2.0, 6.0, 3.0]]), heads=2)
    tensor([[3., 3., 9., 9.]])
    """
    return reduce("sum", value, heads=heads)


def amax(value: Any, heads: int = 1) -> Any:
    """The largest unit of a row, or of each of several ``heads``, as ``torch.amax``: equal ones
    share its gradient; NaN passes.

    Args:
        value: a value of a formula with units, or a tensor ``(..., units)``.
        heads: how many equal parts of the units are reduced apart.

    Returns:
        One number of each row, ``(..., 1)`` of a tensor; of several heads ``(..., units)``.

    >>> import elman, torch
    >>> elman.amax(torch.tensor([[1.0, 2.0, 6.0]]))
    tensor([[6.]])
    """
    return reduce("amax", value, heads=heads)


def mean(value: Any, heads: int = 1) -> Any:
    """The mean of the units of a row: one number, which counts for every unit. Or that of each of
    several ``heads``.

    Args:
        value: a value of a formula with units, or a tensor ``(..., units)``.
        heads: how many equal parts of the units are reduced apart.

    Returns:
        One number of each row, ``(..., 1)`` of a tensor; of several heads ``(..., units)``.

    >>> import elman, torch
    >>> elman.mean(torch.tensor([[1.0, 2.0, 6.0]]))
    tensor([[3.]])
    """
    if not isinstance(value, Node):
        total = reduce("sum", value, "mean", heads)
        return value.mean(-1, keepdim=True) if heads == 1 else total * heads / value.shape[-1]
    units = node("units", attr=value.space.name)
    return reduce("sum", value, "mean", heads) / (units if heads == 1 else units / heads)


def take(value: Any, index: int, heads: int = 1) -> Any:
    """Unit ``index`` of a row, as one number, which counts for every unit.

    With several ``heads``, of which each has an equal part of the units, each unit has that unit
    of its head.

    Args:
        value: a value of a formula with units, or a tensor ``(..., H)``.
        index: which unit, from 0 on; negative numbers count from the end.
        heads: into how many equal parts the units are cut.

    Returns:
        A value of a formula; of a tensor, one ``(..., 1)``, or ``(..., H)`` with several heads.

    Raises:
        FormulaError: if the index is no int, or the heads are not at least 1.
        IndexError: if a tensor has no such unit. Of a formula, a layer with too few units raises
            ValueError when it is made.

    >>> import elman, torch
    >>> elman.take(torch.tensor([[1.0, 2.0, 6.0]]), 2)
    tensor([[6.]])
    >>> elman.take(torch.tensor([[1.0, 2.0, 6.0, 3.0]]), 0, heads=2)
    tensor([[1., 1., 6., 6.]])
    """
    check_reduced("take", value, heads)
    if type(index) is not int:
        raise FormulaError(f"take() takes the number of a unit, an int, got {index!r}")
    if not isinstance(value, Node):
        parts = value.unflatten(-1, (heads, -1))
        chosen = parts[..., index, None]
        return chosen[..., 0, :] if heads == 1 else chosen.expand_as(parts).flatten(-2)
    here = node("unit", attr=f"{index}/{heads}", space=value.space)
    return reduce("sum", where(here > 0.0, value, 0.0), "take", heads)


def softmax(value: Any, heads: int = 1) -> Any:
    """``exp(v) / sum(exp(v))`` over the units of a row, or of each of several ``heads``, which add
    up to 1.

    Args:
        value: a value of a formula with units, or a tensor ``(..., units)``.
        heads: how many equal parts of the units are reduced apart.

    Returns:
        As many units as the value has, positive, with the sum 1 in each row or head.

    >>> import elman, torch
    >>> elman.softmax(torch.tensor([[0.0, 0.0]]))
    tensor([[0.5000, 0.5000]])
    """
    powers = apply("exp", value - amax(value, heads))
    return powers / sum(powers, heads)


def layer_norm(*values: Any, eps: float = 1e-5, heads: int = 1) -> Any:
    """Every row of a value less its mean, divided by its standard deviation.

    ``(v - mean(v)) / sqrt(mean((v - mean(v))**2) + eps)``: what ``torch.nn.functional.layer_norm``
    computes without weight and bias. Several values are normalised as one row, as the gates of
    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization" (2016); they come back as a tuple.

    Args:
        values: one value or more, with as many units each.
        eps: added to the variance.
        heads: into how many equal parts the units are cut, each of which is normalised alone, as by
            ``torch.nn.functional.group_norm``.

    Returns:
        The value with mean 0 and variance 1 in each row; of several values a tuple of as many.

    >>> import elman, torch
    >>> elman.layer_norm(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[-1.2247,  0.0000,  1.2247]])
    """

    def average(parts: list[Any]) -> Any:
        total = mean(parts[0], heads)
        for part in parts[1:]:
            total = total + mean(part, heads)
        return total if len(parts) == 1 else total / len(parts)

    middle = average(list(values))
    centred = [v - middle for v in values]
    scale = apply("sqrt", average([c * c for c in centred]) + eps)
    normal = tuple(c / scale for c in centred)
    return normal[0] if len(normal) == 1 else normal
