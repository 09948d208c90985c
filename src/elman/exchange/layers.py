"""What every exchange goes through: a formula, and its weights by layer and direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from .. import cells
from ..cell import Cell
from ..cells.modules import cell_of
from ..nn import GRU, LSTM, RNN, Recurrent
from ..nn.cellmodule import CellModule
from ..step import Step

_ENDINGS = ("", "_reverse")


class Way(NamedTuple):
    """The weights of one layer and direction, with torch.nn's names and shapes."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None


class Layers(NamedTuple):
    """A stack: its cell, for each layer its one or two ways, and how outputs of two are merged."""

    cell: Cell
    ways: list[list[Way]]
    merge: str = "concat"


def _family(step: Step) -> tuple[type, dict[str, Any]] | None:
    """The class with torch.nn's parameters that has a formula, and its options."""
    rows: list[tuple[Cell, type, dict[str, Any]]] = [
        (cells.Elman("tanh"), RNN, {}),
        (cells.Elman("relu"), RNN, {"nonlinearity": "relu"}),
        (cells.LSTM(), LSTM, {}),
        (cells.GRU(), GRU, {}),
        (cells.GRU(reset_after=False), GRU, {"reset_after": False}),
    ]
    return next(((kind, options) for cell, kind, options in rows if cell.trace() is step), None)


def build(owner: str, layers: Layers, batch_first: bool) -> RNN | LSTM | GRU | Recurrent:
    """A module with these weights: of torch.nn's family where it has such, else a Recurrent."""
    cell, ways, merge = layers
    _check(owner, layers)
    first = ways[0][0]
    units = [layer[0].weight_hh.shape[1] for layer in ways]
    directions = len(ways[0])
    bias = any(way.bias_ih is not None for layer in ways for way in layer)
    # Nothing is drawn: on the meta device parameters have no memory before they are assigned.
    options: dict[str, Any] = {"bias": bias, "batch_first": batch_first, "device": "meta"}
    options |= {"bidirectional": directions == 2, "dtype": first.weight_ih.dtype}
    found, width = _family(cell.trace()), first.weight_ih.shape[1]
    if found and len({*units}) == 1 and (merge == "concat" or directions == 1):
        kind, more = found
        module = kind(width, units[0], num_layers=len(units), **more, **options)
    else:
        sizes: Any = units[0] if len({*units}) == 1 else units
        module = Recurrent(cell, width, sizes, num_layers=len(units), merge=merge, **options)
    values = {}
    for number, layer in enumerate(ways):
        for way, ending in zip(layer, _ENDINGS, strict=False):
            for name, value in way._asdict().items():
                if bias or not name.startswith("bias"):
                    empty = first.weight_ih.new_zeros(way.weight_ih.shape[0])
                    values[f"{name}_l{number}{ending}"] = empty if value is None else value
    module.load_state_dict({n: v.contiguous() for n, v in values.items()}, assign=True)
    return module.requires_grad_()


def _check(owner: str, layers: Layers) -> None:
    """ValueError if the weights don't make one stack."""
    width, gates = layers.ways[0][0].weight_ih.shape[1], len(layers.cell.gates)
    for number, layer in enumerate(layers.ways):
        units = layer[0].weight_hh.shape[1]
        if len(layer) != len(layers.ways[0]):
            raise ValueError(
                f"{owner}: expected all layers to have {len(layers.ways[0])} directions as layer 0 "
                f"has, got {len(layer)} in layer {number}: convert them one by one"
            )
        shapes = Way(*[(gates * units, n) for n in (width, units)], *[(gates * units,)] * 2)  # type: ignore[arg-type]
        for way in layer:
            for name, value, shape in zip(Way._fields, way, shapes, strict=True):
                if value is not None and value.shape != shape:
                    raise ValueError(
                        f"{owner}: expected {name} of layer {number} to have shape {shape}, "
                        f"transposed where it came from, got {tuple(value.shape)}: a layer takes "
                        "the output of the one below, and both directions have one size"
                    )
                dtype = layers.ways[0][0].weight_ih.dtype
                if value is not None and value.dtype != dtype:
                    raise ValueError(
                        f"{owner}: expected all weights to be of one dtype, {dtype} as those of "
                        f"layer 0, got {value.dtype} in layer {number}: convert them first"
                    )
        width = units * (len(layer) if layers.merge == "concat" else 1)


def read(owner: str, given: torch.nn.Module) -> Layers:
    """The formula and the weights that a module of torch.nn or elman holds now."""
    cell = cell_of(given)
    if cell is None or not isinstance(given, (RNNBase, RNNCellBase, CellModule)):
        raise TypeError(
            f"{owner}: expected a recurrent module of elman or torch.nn, got "
            f"{type(given).__name__}: give the layer instead of the model that it is in"
        )
    module: Any = given
    for option in ("proj_size", "residual", "learn_initial", "zoneout", "state_clip"):
        if getattr(module, option, False):
            raise ValueError(
                f"{owner}: expected {type(module).__name__} without {option}, which is no part of "
                f"those layers, got {option}={getattr(module, option)!r}"
            )
    if not hasattr(module, "num_layers"):  # a cell
        return Layers(cell, [[_way(owner, module, "")]])
    endings = _ENDINGS if module.bidirectional else _ENDINGS[:1]
    ways = [[_way(owner, module, f"_l{n}{e}") for e in endings] for n in range(module.num_layers)]
    return Layers(cell, ways, getattr(module, "merge", "concat"))


def _way(owner: str, module: Any, ending: str) -> Way:
    found: Any = [(name, getattr(module, name + ending, None)) for name in Way._fields]
    return Way._make(t if t is None else _on_cpu(owner, n + ending, t) for n, t in found)


def _on_cpu(owner: str, name: str, value: Tensor) -> Tensor:
    if value.is_meta:
        raise ValueError(
            f"{owner}: expected {name} to have values, got a tensor on the meta device: load its "
            "weights first, for instance after module.to_empty(device='cpu')"
        )
    return value.detach().cpu()


def reorder(value: Tensor, gates: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Blocks of rows, one for each gate, in another order."""
    blocks = value.unflatten(0, (len(gates), -1))
    return blocks[[[*gates].index(gate) for gate in wanted]].flatten(0, 1)


def place_biases(
    owner: str, cell: Cell, way: Way, inputs: str, hidden: str, apart: str = ""
) -> tuple[Tensor, Tensor]:
    """Both biases, each zero where the other framework has no place for it.

    A framework may have a bias at the input of some gates and at the state of others. Where it has
    one of them, it gets the sum of both.

    Args:
        inputs: the gates with a place at the input.
        hidden: the gates with a place at the state.
        apart: the gates in whose formula the two do not add up.
    """
    gates, zeros = cell.gates, way.weight_ih.new_zeros(way.weight_ih.shape[0])
    given = [zeros if b is None else b for b in (way.bias_ih, way.bias_hh)]
    ih, hh = (b.unflatten(0, (len(gates), -1)).clone() for b in given)
    for number, gate in enumerate(gates):
        for here, there, place, other in (
            (ih, hh, gate in inputs, gate in hidden),
            (hh, ih, gate in hidden, gate in inputs),
        ):
            if place or not here[number].any():
                continue
            if gate in apart or not other:
                name = "bias_ih" if here is ih else "bias_hh"
                raise ValueError(
                    f"{owner}: expected {name} of gate {gate!r} to be zero, since the layer that "
                    f"it goes to has none, got {here[number].abs().max().item():.3g} in it"
                )
            there[number] += here[number]
            here[number] = 0
    return ih.flatten(), hh.flatten()


def to_tensor(owner: str, name: str, value: Any) -> Tensor:
    """A copy of an array of any framework."""
    if isinstance(value, Tensor):
        found = _on_cpu(owner, name, value).clone()
    else:
        array = np.array(value)
        if array.dtype.name == "bfloat16":  # of ml_dtypes, unknown to PyTorch
            found = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        elif array.dtype.kind == "f":
            found = torch.from_numpy(array)
        else:
            raise TypeError(
                f"{owner}: expected {name} to be an array of floating point numbers, got "
                f"{array.dtype} from {type(value).__name__}"
            )
    return found


def to_array(value: Tensor) -> np.ndarray[Any, Any]:
    """A copy as an array; of float32 for bfloat16, which NumPy does not have."""
    value = value.float() if value.dtype == torch.bfloat16 else value
    return np.array(value.numpy(), order="C")
