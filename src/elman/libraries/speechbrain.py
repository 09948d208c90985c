"""SpeechBrain's light GRUs: the loop over time; normalisation and dropout masks stay theirs."""

from __future__ import annotations

from typing import Any

import torch
from speechbrain.nnet.RNN import LiGRU_Layer, SLiGRU_Layer
from torch import Tensor

from .. import functions
from ..cell import Cell
from ..reductions import layer_norm
from .taken import blank, changed, plain, printed_as, run, serves

_ACTIVATIONS = {torch.nn.Tanh: "tanh", torch.nn.ReLU: "relu", torch.nn.LeakyReLU: "leaky_relu"}


class _Cell(Cell):
    """``a`` and ``z`` are what the input brings; ``drop`` is 0, or ``1 / (1 - p)``."""

    gates = ("a", "z")
    inputs: tuple[str, ...] = ("a", "z")

    def __init__(self, activation: str, eps: float | None) -> None:
        self.activation, self.eps = activation, eps

    def step(self, _: Any, u: Any, s: Any) -> Any:
        a, z = u.a, u.z
        if self.eps is not None:
            a, z = layer_norm(a, z, eps=self.eps)
        z = functions.sigmoid(self.input("z") + z)
        candidate = getattr(functions, self.activation)(self.input("a") + a)
        return z * s.h + (1 - z) * self._dropped(candidate)

    def _dropped(self, candidate: Any) -> Any:
        return candidate


class _Dropping(_Cell):
    inputs = (*_Cell.inputs, "drop")

    def _dropped(self, candidate: Any) -> Any:
        return candidate * self.input("drop")


def _loop(layer: Any, w: Tensor, ht: Tensor, eps: float | None = None) -> Tensor | None:
    """All hidden states of a layer, ``(B, T, H)``, from what the input brings, ``(B, T, 2H)``, and
    the first state; None where kernels don't run."""
    if not (plain(layer.u, torch.nn.Linear) and layer.u.bias is None and _activation(layer)):
        return None
    weight = layer.u.weight
    if not serves(w, ht, weight):
        return None
    mask = layer._sample_drop_mask(w)
    B, T = w.shape[:2]
    a, z = w.transpose(0, 1).chunk(2, -1)
    inputs, cell = {"a": a, "z": z}, _Cell
    if layer.training:
        inputs["drop"], cell = mask.to(w.dtype).expand(T, B, -1), _Dropping
    formula = cell(_activation(layer), eps)
    h, _ = run(formula, blank(w, T, B), [ht.expand(B, -1)], {"weight_hh": weight}, inputs)
    return h.transpose(0, 1)


@printed_as(LiGRU_Layer)
class LiGRULayer(LiGRU_Layer):
    """``speechbrain.nnet.RNN.LiGRU_Layer`` by elman's kernels."""

    def _ligru_cell(self, w: Tensor, ht: Tensor) -> Tensor:
        h = _loop(self, w, ht)
        return super()._ligru_cell(w, ht) if h is None else h


@printed_as(SLiGRU_Layer)
class SLiGRULayer(SLiGRU_Layer):
    """``speechbrain.nnet.RNN.SLiGRU_Layer`` by elman's kernels."""

    def _sligru_cell(self, w: Tensor, ht: Tensor) -> Tensor:
        h = _loop(self, w, ht, self.layer_norm.eps)
        return super()._sligru_cell(w, ht) if h is None else h


def _activation(layer: Any) -> str:
    return "sin" if layer.act is torch.sin else _ACTIVATIONS.get(type(layer.act), "")


def convert(layer: Any) -> Any:
    """What a layer becomes, or why it is left alone."""
    if not _activation(layer):
        return f"its activation is {layer.act!r}"
    if type(layer) is LiGRU_Layer:
        return changed("2cca985e6a69", LiGRU_Layer._ligru_cell) or LiGRULayer
    if layer.layer_norm.elementwise_affine:
        return "its normalisation of the recurrent part is learned"
    return changed("31c018686be2", SLiGRU_Layer._sligru_cell) or SLiGRULayer
