"""torchrecurrent's layers: every one whose step is a formula of one or two states."""

from __future__ import annotations

from typing import Any

import torch
import torchrecurrent as theirs
from torch import Tensor
from torchrecurrent.base import DoubleStateRecurrentLayerBase as _Two
from torchrecurrent.base import SingleStateRecurrentLayerBase as _One

from . import TORCHRECURRENT, torchrecurrent_formulas, torchrecurrent_pairs
from .taken import changed, plain, run, serves
from .torchrecurrent_formulas import Formula

#: By the name of a layer: its formula.
FORMULAS: dict[str, type[Formula]] = {
    ("coRNN" if found is torchrecurrent_pairs.CoRNN else name): found
    for room in (torchrecurrent_formulas, torchrecurrent_pairs)
    for name, found in vars(room).items()
    if isinstance(found, type) and issubclass(found, Formula) and found.gates
}


class _Layers(torch.nn.Module):
    """A stack of layers whose cells have a formula."""

    def forward(self, inp: Tensor, state: Any = None) -> Any:
        owner: Any = self
        cells, formula = list(owner.cells), FORMULAS[type(self).__name__]
        two = len(formula.states) > 1
        states = [] if state is None else list(state) if two else [state]
        kind = getattr(theirs, f"{type(self).__name__}Cell")
        taken = inp.dim() == 3 and all(plain(c, kind) and not formula.foreign(c) for c in cells)
        if not (taken and serves(inp, *states, *self.parameters())):
            return super().forward(inp, state)
        x = inp.transpose(0, 1) if owner.batch_first else inp
        masks = self._masks(x, len(cells) - 1)
        finals = []
        for layer, cell in enumerate(cells):
            begin = [s[layer] for s in states] or [None] * len(formula.states)
            x, final = run(formula(cell), x, begin, formula.tensors(cell))
            finals.append(final)
            if masks and layer < len(cells) - 1:
                x = x * torch.stack([step[layer] for step in masks])
        ends = tuple(map(torch.stack, zip(*finals, strict=True)))
        return (x.transpose(0, 1) if owner.batch_first else x), (ends if two else ends[0])

    def _masks(self, x: Tensor, links: int) -> list[list[Tensor]]:
        """What dropout multiplies by between layers, drawn step by step as theirs is."""
        drop: Any = self.dropout_layer
        if drop is None or not drop.training or not links:
            return []
        units: Any = self.hidden_size
        ones = x.new_ones(x.shape[1], units)
        return [[drop(ones) for _ in range(links)] for _ in range(x.shape[0])]


#: By the name of a layer: a subclass of the library's that runs its formula.
for _name in FORMULAS:
    _bases = (_Layers, getattr(theirs, _name))
    globals()[_name] = type(_name, _bases, {"__module__": __name__, "__qualname__": _name})


def convert(layer: torch.nn.Module) -> Any:
    """What a layer becomes, or why it is left alone."""
    name = type(layer).__name__
    cells: Any = layer.cells
    foreign = FORMULAS[name].foreign(cells[0])
    if foreign:
        return f"elman has no function for its activation {foreign}"
    base = next(c for c in (_One, _Two) if isinstance(layer, c))
    _, digest = TORCHRECURRENT[name]
    return changed(digest, base.forward, type(cells[0]).forward) or globals()[name]
