"""Constraints on recurrent weights, for ``torch.nn.utils.parametrize``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.parametrize import register_parametrization


class Mask(torch.nn.Module):
    """Holds connections at zero: every gate's block of a weight is masked alike.

    Args:
        mask: ``(H, H)``, row i column j for the connection from unit j to unit i; what is zero
            or False there has no connection.

    Raises:
        ValueError: a mask that is not 2-D.
        RuntimeError: a weight that does not consist of blocks of the mask's shape.

    >>> import elman, torch
    >>> from torch.nn.utils.parametrize import register_parametrization
    >>> net = elman.GRU(2, 3)
    >>> _ = register_parametrization(net, "weight_hh_l0", elman.nn.Mask(torch.eye(3)))
    >>> net.weight_hh_l0[:3].nonzero().tolist()
    [[0, 0], [1, 1], [2, 2]]
    """

    mask: Tensor

    def __init__(self, mask: Any) -> None:
        super().__init__()
        mask = torch.as_tensor(mask)
        if mask.dim() != 2:
            raise ValueError(f"Mask: expected mask to be 2-D (H, H), got shape {tuple(mask.shape)}")
        self.register_buffer("mask", mask != 0)

    def forward(self, weight: Tensor) -> Tensor:
        blocks = _blocks("Mask", "mask", weight, self.mask.shape[0], self.mask.shape[1])
        return torch.where(self.mask, blocks, 0.0).flatten(0, 1)

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


class Dale(torch.nn.Module):
    """Gives every unit one sign: all that it sends to others excites, or all inhibits.

    The weights are the absolute values of what is learned, times the sign of the unit that sends
    (their column).

    Args:
        signs: ``(H,)``, 1 for an exciting unit and -1 for an inhibiting one.

    Raises:
        ValueError: signs that are not 1-D or not of 1 and -1 alone.
        RuntimeError: a weight that has not one column for each sign.

    Source: H. F. Song, G. R. Yang, X.-J. Wang, "Training excitatory-inhibitory recurrent neural
    networks for cognitive tasks", PLoS Computational Biology 12 (2016).

    >>> import elman, torch
    >>> from torch.nn.utils.parametrize import register_parametrization
    >>> net = elman.RNN(2, 3)
    >>> _ = register_parametrization(net, "weight_hh_l0", elman.nn.Dale([1, 1, -1]))
    >>> net.weight_hh_l0.sign()[0].tolist()
    [1.0, 1.0, -1.0]
    """

    signs: Tensor

    def __init__(self, signs: Any) -> None:
        super().__init__()
        signs = torch.as_tensor(signs)
        if signs.dim() != 1 or not bool((signs.abs() == 1).all()):
            raise ValueError(
                "Dale: expected signs to be 1-D (H,), each 1 or -1, got "
                f"{signs.flatten()[:20].tolist()} of shape {tuple(signs.shape)}"
            )
        self.register_buffer("signs", signs.to(torch.int8))  # which converts no weight

    def forward(self, weight: Tensor) -> Tensor:
        _blocks("Dale", "signs", weight, 1, self.signs.shape[0])
        return weight.abs() * self.signs

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


def constrain(module: torch.nn.Module, names: Sequence[str | None], mask: Any) -> None:
    """Registers a mask, or a parametrization, on weights of a module; there is none by None."""
    for name in names:
        if name is None:
            raise ValueError(
                f"{type(module).__name__}: a mask is for weight_hh, which this cell does not have"
            )
        constraint = mask if isinstance(mask, torch.nn.Module) else Mask(mask)
        like = getattr(module, name)
        register_parametrization(module, name, constraint.to(like.device))


def _blocks(owner: str, name: str, weight: Tensor, rows: int, columns: int) -> Tensor:
    """A weight ``(G*rows, columns)`` by gates."""
    if weight.dim() != 2 or rows == 0 or weight.shape[0] % rows or weight.shape[1] != columns:
        raise RuntimeError(
            f"{owner}: expected a weight of blocks ({rows}, {columns}), which {name} is for, got "
            f"shape {tuple(weight.shape)}"
        )
    return weight.unflatten(0, (-1, rows))
