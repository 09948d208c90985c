"""The recurrent layers of a module, and the parts of their parameters that a gate has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized

from ..cell import Cell
from ..cells.initial import in_float32
from ..cells.modules import cell_of
from ..spaces import ONE

_ENDINGS = ("", "_reverse")


class Layer:
    """One layer and direction of a module, whose parameters are to change.

    ``names`` are the module's names of the parameters that it has, by those without layer and
    direction. The tensors that :meth:`matrices`, :meth:`bias` and :meth:`tensor` return are
    changed in place; :meth:`store` then gives parametrized ones back to their parametrization.
    """

    def __init__(
        self, owner: str, module: torch.nn.Module, place: str, cell: Cell, suffix: str
    ) -> None:
        self.owner, self.module, self.place = owner, module, place
        self.cell, self.step = cell, cell.trace()
        names = [*self.step.parameters, *(f"initial_{state}" for state in self.step.states)]
        found = {name: getattr(module, name + suffix, None) for name in names}
        given = {name: t.shape for name, t in found.items() if isinstance(t, Tensor)}
        self.names = {name: name + suffix for name in given}
        self.sizes = self.step.sizes([given.get(name) for name in self.step.parameters])
        self._held: dict[str, Tensor] = {}

    def __str__(self) -> str:
        kind = type(self.module).__name__
        of = f" of {type(self.cell).__name__}" if hasattr(self.module, "cell") else ""
        return f"{kind}{of}{self.place}"

    def tensor(self, name: str) -> Tensor:
        """A parameter, outside of autograd.

        Raises:
            ValueError: for what a hook computes anew at each call.
        """
        if name not in self._held:
            full = self.names[name]
            plain = self.module._parameters.get(full)
            if plain is not None:
                self._held[name] = plain.detach()
            elif is_parametrized(self.module, full):
                self._held[name] = getattr(self.module, full).detach().clone()
            else:
                raise ValueError(
                    f"{self.owner}: expected {full} of {self} to be a parameter, got a tensor that "
                    "a hook computes at each call: initialise before pruning, and use "
                    "torch.nn.utils.parametrizations.weight_norm or spectral_norm"
                )
        return self._held[name]

    def matrices(self, name: str) -> list[Tensor]:
        """The blocks of a weight, one for each gate and head; of a further matrix, its heads."""
        blocks = [b for b in self.step.blocks.values() if b.parameter == name in self.names]
        return [
            head
            for b in blocks
            if b.columns is not ONE
            for head in b.of(self.tensor(name), self.sizes).chunk(b.heads)
        ]

    def joint(self, name: str) -> list[Tensor]:
        """Of each head of a weight the blocks of all gates, ``(gates, rows, columns)``."""
        for b in self.step.blocks.values():
            if b.parameter == name in self.names:
                return [*self.tensor(name).unflatten(0, (b.blocks, b.heads, -1)).unbind(1)]
        return []

    def bias(self, gate: str) -> list[Tensor]:
        """The tensors that add up to a gate's bias; if there is no such gate, a vector."""
        gates = gate in self.cell.gates
        kinds = ("bias_ih", "bias") if gates else ("vector",)
        blocks = [
            self.step.blocks[kind, gate] for kind in kinds if (kind, gate) in self.step.blocks
        ]
        return [
            b.of(self.tensor(b.parameter), self.sizes) for b in blocks if b.parameter in self.names
        ]

    def store(self) -> None:
        """Gives parametrized tensors back, if there are any."""
        for name, tensor in self._held.items():
            if self.names[name] not in self.module._parameters:
                setattr(self.module, self.names[name], tensor)


def find(owner: str, module: Any) -> list[Layer]:
    """All recurrent layers and directions inside a module, in the order of its submodules.

    Raises:
        TypeError: for what is no module.
        ValueError: if there are none.
    """
    if not isinstance(module, torch.nn.Module):
        remedy = "torch.nn.init initialises a tensor" if isinstance(module, Tensor) else "give that"
        raise TypeError(
            f"{owner}: expected a torch.nn.Module, got {type(module).__name__}: {remedy}"
        )
    found = []
    for name, part in module.named_modules():
        cell = cell_of(part)
        if cell is None:
            continue
        count = getattr(part, "num_layers", None)
        suffixes = [""] if count is None else [f"_l{n}{e}" for n in range(count) for e in _ENDINGS]
        layers = [
            Layer(owner, part, f" at {name!r}" if name else "", cell, end) for end in suffixes
        ]
        found += [layer for layer in layers if layer.names]
    if not found:
        raise ValueError(
            f"{owner}: expected a module with recurrent layers of torch.nn or elman, got "
            f"{type(module).__name__}, which has none: give the layer, or the model that it is in, "
            "instead of calling model.apply"
        )
    return found


@torch.no_grad()
def change(
    tensors: Sequence[Tensor], how: Callable[[Tensor], object], layers: Sequence[Layer]
) -> None:
    """Changes the tensors of layers in place, and has the layers store them.

    Those of the meta device have no values.
    """
    for tensor in tensors:
        if tensor.is_meta:
            continue
        in_float32(tensor, how)
    for layer in layers:
        layer.store()
