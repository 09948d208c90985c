"""Weights that are held in fewer bytes than a module's: the dtypes, and the numbers they leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..batch import zeroed
from ..compiler.narrow import LARGEST, LEAST_SCALE, SCALE_UNIT
from ..compiler.plan import plan_of
from ..step import Step


class WeightDtype(NamedTuple):
    """How weight matrices of float32 are held."""

    narrow: str  # the panels' format, see `bind`
    rounded: Callable[[Tensor], Tensor]  # a matrix, with numbers that such panels hold exactly


def _to_bfloat16(matrix: Tensor) -> Tensor:
    return matrix.to(torch.bfloat16).to(matrix.dtype)


def _to_int8(matrix: Tensor) -> Tensor:
    """Each row as whole numbers, at most 127, times a scale of its own."""
    if not matrix.isfinite().all():
        raise ValueError(
            "expected finite numbers, got infinite ones or NaN; torch.bfloat16 has both"
        )
    largest = matrix.abs().amax(1, keepdim=True)
    scale = ((largest / LARGEST).view(torch.int32) & -SCALE_UNIT).view(torch.float32)
    scale = torch.where(scale < LEAST_SCALE, 1.0, scale)
    return (matrix / scale).round() * scale


#: By ``weight_dtype``, of everything that takes one.
WEIGHT_DTYPES = {
    torch.bfloat16: WeightDtype("weights", _to_bfloat16),
    torch.int8: WeightDtype("int8", _to_int8),
}


def check_weight_dtype(owner: str, given: Any) -> None:
    """ValueError if that is no ``weight_dtype``."""
    known = isinstance(given, torch.dtype) and given in WEIGHT_DTYPES
    if given is not None and not known:
        names = ", ".join(map(str, WEIGHT_DTYPES))
        raise ValueError(f"{owner}: expected weight_dtype to be {names} or None, got {given!r}")


def check_formula(owner: str, step: Step, weight_dtype: torch.dtype | None) -> None:
    """ValueError if weights of a step cannot be of that dtype: a matrix with a scale for each row
    has none for each column."""
    if weight_dtype is torch.int8 and plan_of(step).tied:
        raise ValueError(
            f"{owner}: weight_dtype={weight_dtype} is for matrices that are applied as they are, "
            "got a cell that applies one transposed: torch.bfloat16 does for all"
        )


def narrow_of(weight_dtype: torch.dtype | None) -> str:
    """What ``bind`` is told for such weights."""
    return "" if weight_dtype is None else WEIGHT_DTYPES[weight_dtype].narrow


def copies(
    owner: str,
    step: Step,
    names: Sequence[str | None],
    weights: Sequence[Tensor | None],
    weight_dtype: torch.dtype | None,
) -> list[Tensor | None]:
    """Copies of a layer's weights; of matrices with the numbers of ``weight_dtype``, and zeros for
    what a mask leaves out.

    Raises:
        ValueError: weights that are not float32, or not finite where they have to be.
    """

    def copy(parameter: str, name: str | None, given: Tensor) -> Tensor:
        own = zeroed(step, parameter, given.detach().clone())
        if weight_dtype is None:
            return own
        if own.dtype != torch.float32:
            raise ValueError(
                f"{owner}: weight_dtype={weight_dtype} is for modules of torch.float32, got one of "
                f"{own.dtype}: module.float() converts it"
            )
        if own.dim() < 2:
            return own
        try:
            return WEIGHT_DTYPES[weight_dtype].rounded(own)
        except ValueError as error:
            raise ValueError(f"{owner}: weight_dtype={weight_dtype}: {name}: {error}") from None

    every = zip(step.parameters, names, weights, strict=True)
    return [None if t is None else copy(parameter, name, t) for parameter, name, t in every]
