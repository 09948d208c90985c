"""torchrecurrent's layers: every one whose step is a formula of one or two states."""

from __future__ import annotations

from typing import Any

import torch
import torchrecurrent as theirs
from torch import Tensor
from torchrecurrent.base import DoubleStateRecurrentLayerBase as _Two
from torchrecurrent.base import SingleStateRecurrentLayerBase as _One

from . import torchrecurrent_formulas, torchrecurrent_pairs
from .taken import changed, plain, run, serves
from .torchrecurrent_formulas import Formula

#: Of the code of each layer, see ``taken.changed``; of torchrecurrent 0.2.5.
_DIGESTS = {
    "AntisymmetricRNN": "dd5f531a6800",
    "GatedAntisymmetricRNN": "ba9d76d89097",
    "ATR": "4c234a72a515",
    "BR": "05746458cb4e",
    "NBR": "6c25112f623f",
    "CFN": "53317fbd92c8",
    "FastRNN": "dafbd0e1f37d",
    "FastGRNN": "831fb02215b6",
    "IndRNN": "6d072a623d7f",
    "LiGRU": "6c7dd39f15c5",
    "LightRU": "9ad0b6487cbf",
    "MGU": "ec78cf3e1972",
    "MinimalRNN": "0c861241c31a",
    "MiRU1": "d973fce4c013",
    "MiRU2": "f860aa3e9ae7",
    "MUT1": "9bb71b97cc69",
    "MUT2": "6cbf22ba0698",
    "MUT3": "a03701d7d351",
    "SGRN": "361fe55af109",
    "SGU": "f0295e9eb7d6",
    "DSGU": "85b261889b28",
    "STAR": "0d76a5565202",
    "TRNN": "e6f4f10f1c16",
    "UGRNN": "e71925928228",
    "coRNN": "01122fa91c0f",
    "JANET": "5cf58ee18715",
    "LEM": "8a0c81a73a52",
    "MultiplicativeLSTM": "84ed7ce0ab84",
    "NAS": "aac49d161f72",
    "OriginalLSTM": "9974002eee43",
    "PeepholeLSTM": "f07e6c7206c9",
    "ResLSTM": "65ff1563b4ac",
    "RAN": "5a1978f5b561",
    "SCRN": "692994ec24d5",
    "UnICORNN": "180e042b1063",
    "WMCLSTM": "dd407a19b59d",
}

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
    return changed(_DIGESTS[name], base.forward, type(cells[0]).forward) or globals()[name]
