"""torchrecurrent's layers: every one whose step is a formula of one or two states."""

from __future__ import annotations

from typing import Any

import torch
import torchrecurrent as theirs
from torch import Tensor
from torchrecurrent.base import DoubleStateRecurrentLayerBase as _Two
from torchrecurrent.base import SingleStateRecurrentLayerBase as _One

from . import torchrecurrent_formulas, torchrecurrent_pairs
from .taken import changed, run, serves
from .torchrecurrent_formulas import Formula

#: Of the code of each layer, see ``taken.changed``; of torchrecurrent 0.2.5.
_DIGESTS = {
    "AntisymmetricRNN": "d1b6b6082b09",
    "GatedAntisymmetricRNN": "6a74138e8b3b",
    "ATR": "ec9b37c7e704",
    "BR": "9cdd00d78dd0",
    "NBR": "783d25076033",
    "CFN": "40afe00c2c35",
    "FastRNN": "af9ae27520ec",
    "FastGRNN": "6fb94d75a9a2",
    "IndRNN": "a06dde2529d0",
    "LiGRU": "786998077001",
    "LightRU": "82f6c6586edf",
    "MGU": "6ef366084a54",
    "MinimalRNN": "e812d7fd3bab",
    "MiRU1": "ba4bed842761",
    "MiRU2": "7256c1189194",
    "MUT1": "186e18be485e",
    "MUT2": "35eec04bf58f",
    "MUT3": "d4c8cf25c10b",
    "SGRN": "a15ba9b07fb6",
    "SGU": "1a4e16c46e5e",
    "DSGU": "3e458b104868",
    "STAR": "c24517c5227e",
    "TRNN": "fe804c7e3fb2",
    "UGRNN": "03efaef0cbf2",
    "coRNN": "08ff8b1de1bb",
    "JANET": "df46212aa167",
    "LEM": "da2d1f7c3311",
    "MultiplicativeLSTM": "fe2c52d6d9ff",
    "NAS": "de3c3e257b99",
    "OriginalLSTM": "5c7db09bb3c7",
    "PeepholeLSTM": "460b3b6ee10b",
    "ResLSTM": "ccd4f3fff81b",
    "RAN": "5da756804505",
    "SCRN": "68861beba2b0",
    "UnICORNN": "a365748cb80b",
    "WMCLSTM": "213f089ff5c4",
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
        if inp.dim() != 3 or not serves(inp, *states, *self.parameters()):
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
