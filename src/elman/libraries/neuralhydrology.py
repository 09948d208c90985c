"""NeuralHydrology's entity-aware LSTM, whose input gate is the same at every step."""

from __future__ import annotations

from typing import Any

import torch
from neuralhydrology.modelzoo.ealstm import EALSTM, _DynamicGates
from torch import Tensor

from .. import functions
from ..cell import Cell
from .taken import changed, plain, printed_as, run, serves


class _EntityAware(Cell):
    gates = ("f", "o", "g")
    states: tuple[str, ...] = ("h", "c")
    inputs = ("i",)

    def step(self, x: Any, _: Any, s: Any) -> Any:
        f, o, g = (getattr(x, k) + self.product(k, s.h) for k in "fog")
        c = functions.sigmoid(f) * s.c + self.input("i") * functions.tanh(g)
        h = functions.sigmoid(o) * functions.tanh(c)
        return tuple({"h": h, "c": c}[state] for state in self.states)


class _CellStates(_EntityAware):
    """The same recurrence, with the other state at every step as its output."""

    states = ("c", "h")


_OUTPUTS, _CELL_STATES = _EntityAware(), _CellStates()


@printed_as(EALSTM)
class EntityAwareLSTM(EALSTM):
    """``neuralhydrology``'s ``EALSTM`` by elman's kernels.

    It returns both states at every step, and a layer of elman's has one output: so it runs twice.
    """

    def forward(self, data: dict[str, Any]) -> dict[str, Tensor]:
        dynamic = self.dynamic_gates
        static = [data[name] for name in ("x_s", "x_one_hot") if name in data]
        x = data["x_d"].values() if isinstance(data["x_d"], dict) else [data["x_d"]]
        taken = bool(static) and plain(dynamic, _DynamicGates)
        if not (taken and serves(*x, *static, *self.parameters())):
            return dict(super().forward(data))
        x, constant = self.embedding_net(data, concatenate_output=False)
        weights = {
            "weight_ih": dynamic.weight_ih.t(),
            "weight_hh": dynamic.weight_hh.t(),
            "bias_ih": dynamic.bias,
        }
        i = torch.sigmoid(self.input_gate(constant)).expand(x.shape[0], -1, -1)
        h, c = (
            run(cell, x, [None, None], weights, {"i": i})[0].transpose(0, 1)
            for cell in (_OUTPUTS, _CELL_STATES)
        )
        return {"h_n": h, "c_n": c} | self.head(self.dropout(h))


def convert(_: torch.nn.Module) -> Any:
    """What a model becomes, or why it is left alone."""
    code = EALSTM.forward, EALSTM._cell, _DynamicGates.forward
    return changed("c8370bb75fbd", *code) or EntityAwareLSTM
