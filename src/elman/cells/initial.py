"""What initialisations of cells are made of; each changes tensors in place, under ``no_grad``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..cell import Cell


def blocks(cell: Cell, parameters: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Views of the rows of each gate in ``weight_ih``, ``weight_hh``, ``bias_ih`` or ``bias_hh``.

    A layer without biases has no blocks of them.

    >>> from elman.cells import MGU
    >>> {gate: rows.shape for gate, rows in blocks(
    ...     MGU(), {"weight_hh": torch.rand(6, 3)}, "weight_hh").items()}
    {'f': torch.Size([3, 3]), 'h': torch.Size([3, 3])}
    """
    step = cell.trace()
    gates = step.x_gates if name.endswith("_ih") else step.u_gates
    if name not in parameters or not gates:
        return {}
    return dict(zip(gates, parameters[name].tensor_split(len(gates)), strict=True))


@torch.no_grad()
def set_bias(
    cell: Cell, parameters: Mapping[str, Tensor], gate: str, value: float | Tensor
) -> None:
    """The sum of a gate's biases becomes ``value``; the first of them holds it."""
    held = torch.as_tensor(value)
    for name in ("bias_ih", "bias_hh"):
        block = blocks(cell, parameters, name).get(gate)
        if block is not None:
            block.copy_(held)
            held = torch.zeros(())


@torch.no_grad()
def set_vectors(parameters: Mapping[str, Tensor], **values: float) -> None:
    """Each element of the named vectors becomes a number."""
    for name, value in values.items():
        parameters[f"weight_{name}"].fill_(value)


@torch.no_grad()
def orthogonal(cell: Cell, parameters: Mapping[str, Tensor]) -> None:
    """Every gate's square block of ``weight_hh`` becomes an orthogonal matrix, head by head."""
    for block in blocks(cell, parameters, "weight_hh").values():
        for head in block.chunk(cell.heads):
            in_float32(head, torch.nn.init.orthogonal_)


def in_float32(tensor: Tensor, change: Callable[[Tensor], object]) -> None:
    """Changes a tensor in place; one of a narrower dtype as float32, since matrices are decomposed
    in no other."""
    wide = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    change(wide)
    if wide is not tensor:
        tensor.copy_(wide)
