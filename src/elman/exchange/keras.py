"""Keras' weights: kernels are transposed, gates in another order, and mostly there is one bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import cells
from ..cell import Cell
from ..nn import GRU, LSTM, RNN, Recurrent
from .layers import Layers, Way, build, place_biases, read, reorder, to_array, to_tensor


class Row(NamedTuple):
    """A layer of Keras, and the cell that has its formula."""

    name: str
    cell: Cell
    gates: str  # in Keras' order, by the cell's names
    config: dict[str, Any]  # the options that make it this formula
    two: bool = False  # whether there is a bias at the input and another at the state


_GATED = {"activation": "tanh", "recurrent_activation": "sigmoid"}
_ACTIVATIONS = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "linear": "identity"}
#: A layer's first row has Keras' defaults.
ROWS = (
    *(
        Row("SimpleRNN", cells.Elman(ours), "h", {"activation": theirs})
        for theirs, ours in _ACTIVATIONS.items()
    ),
    Row("LSTM", cells.LSTM(), "ifgo", _GATED),
    Row("GRU", cells.GRU(), "zrn", _GATED | {"reset_after": True}, two=True),
    Row("GRU", cells.GRU(reset_after=False), "zrn", _GATED | {"reset_after": False}),
)
#: By the number of gates, for arrays alone.
_NAMES = {len(row.gates): row.name for row in ROWS}
_MERGES = {"concat": "concat", "sum": "sum", "ave": "mean", "mul": "mul"}
_TRAINING = "it acts in training alone; for predictions give the arrays, layer.get_weights()"
#: Options that no module of elman has: their value where they do nothing, and the remedy.
_ABSENT: dict[str, tuple[Any, str]] = {
    "dropout": (0.0, _TRAINING),
    "recurrent_dropout": (0.0, _TRAINING),
    "stateful": (False, "give layer.get_weights(), and hand the states on as hx yourself"),
    "time_major": (False, "give layer.get_weights() with batch_first=False"),
}

_Config = Mapping[str, Any]


def from_keras(
    layers: Any, *, batch_first: bool = True, **config: Any
) -> RNN | LSTM | GRU | Recurrent:
    """A module with the weights of Keras' recurrent layers.

    Keras itself is not needed: a layer counts by its ``get_config()`` and ``get_weights()``.

    Args:
        layers: a SimpleRNN, LSTM or GRU, a Bidirectional of one, or an RNN of their cells; or a
            sequence of these, each on the output of the one before. Any but the RNN of cells may be
            the list of its arrays instead, as ``get_weights()`` returns it.
        batch_first: whether the module takes ``(B, T, I)``, as Keras does, or ``(T, B, I)``.
        config: for arrays, options of their layers by Keras' names, where they are not the
            defaults: ``activation``, ``reset_after``, ``merge_mode``.

    Returns:
        :class:`elman.RNN`, :class:`elman.LSTM` or :class:`elman.GRU` where it has what the layers
        have; else, for instance for layers of several sizes, an :class:`elman.Recurrent`. Its
        parameters have the dtype of the weights. It returns all steps, and the final states, which
        are what Keras returns without ``return_sequences``.

    Raises:
        ValueError: an option that elman does not have, by its name; layers of several formulas.
        TypeError: a layer that is no recurrent one.

    The guide is docs/exchange.md.

    >>> import elman, numpy as np
    >>> kernel, recurrent, bias = np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)
    >>> elman.from_keras([kernel, recurrent, bias])
    LSTM(3, 2, batch_first=True)
    """
    several = isinstance(layers, Sequence) and not _is_arrays(layers)
    parts = [_read(layer, config) for layer in (layers if several else [layers])]
    if not parts:
        raise ValueError("from_keras: expected at least one layer, got an empty sequence")
    first = parts[0]
    for part in parts[1:]:
        for what, mine, expected in (
            ("formula", part.cell, first.cell),
            ("merge_mode", part.merge, first.merge),
        ):
            if repr(mine) != repr(expected):
                raise ValueError(
                    f"from_keras: expected all layers to have one {what}, got {expected!r} and "
                    f"{mine!r}: convert them one by one"
                )
    ways = [layer for part in parts for layer in part.ways]
    return build("from_keras", Layers(first.cell, ways, first.merge), batch_first)


def to_keras(module: torch.nn.Module) -> list[list[np.ndarray[Any, Any]]]:
    """The weights of a module, for Keras' layers.

    Args:
        module: of elman or torch.nn: an RNN, LSTM or GRU, a cell of theirs, or a
            :class:`elman.Recurrent` of such a formula.

    Returns:
        For each layer the arrays that its ``set_weights`` takes, those of both directions for a
        Bidirectional. Where Keras has one bias, it is the sum of both.

    Raises:
        ValueError: a formula or an option that Keras does not have.
        TypeError: a module that is not recurrent.

    The guide is docs/exchange.md.

    >>> import elman
    >>> [[array.shape for array in layer] for layer in elman.to_keras(elman.GRU(3, 2))]
    [[(3, 6), (2, 6), (2, 6)]]
    """
    cell, ways, _ = read("to_keras", module)
    row = next((row for row in ROWS if row.cell.trace() is cell.trace()), None)
    if row is None:
        names = ", ".join(dict.fromkeys(_NAMES.values()))
        raise ValueError(f"to_keras: expected a formula that Keras has ({names}), got {cell!r}")
    return [[to_array(t) for way in layer for t in _write(row, way)] for layer in ways]


def _write(row: Row, way: Way) -> list[Tensor]:
    """The arrays of one layer and direction."""
    have = row.cell.gates
    found = [reorder(t, have, row.gates).t() for t in (way.weight_ih, way.weight_hh)]
    if way.bias_ih is not None:
        places = row.gates if row.two else ""
        biases = place_biases("to_keras", row.cell, way, row.gates, places)
        ih, hh = (reorder(b, have, row.gates) for b in biases)
        found.append(torch.stack([ih, hh]) if row.two else ih)
    return found


def _read(layer: Any, config: _Config) -> Layers:
    """A layer, or the arrays of one, which may be several of elman's."""
    if _is_arrays(layer):
        arrays, name, options = list(layer), *_of_arrays(layer, config)
    elif not (hasattr(layer, "get_config") and hasattr(layer, "get_weights")):
        raise TypeError(
            f"from_keras: expected a layer of Keras or its list of arrays, got "
            f"{type(layer).__name__}"
        )
    elif config:
        raise TypeError(
            f"from_keras: expected options for arrays only, since a layer has its own, got "
            f"{', '.join(config)}"
        )
    else:
        arrays, name, options = layer.get_weights(), type(layer).__name__, layer.get_config()
    merge, ways = "concat", [[part] for part in _parts(name, options)]
    if name == "Bidirectional":
        merge, ways = _both(options)
    rows = [[(_row(*part), part[1].get("use_bias", True)) for part in layer] for layer in ways]
    expected = sum(2 + bool(bias) for layer in rows for _, bias in layer)
    if len(arrays) != expected:
        raise ValueError(
            f"from_keras: expected {expected} arrays of {name}, got {len(arrays)}: build the layer "
            "before, by calling it once"
        )
    left = iter(arrays)
    found = [
        [_way(row, [next(left) for _ in range(2 + bool(bias))]) for row, bias in layer]
        for layer in rows
    ]
    return Layers(rows[0][0][0].cell, found, merge)


def _is_arrays(layer: Any) -> bool:
    return (
        isinstance(layer, Sequence) and all(hasattr(a, "shape") for a in layer) and len(layer) > 0
    )


def _of_arrays(arrays: Sequence[Any], config: _Config) -> tuple[str, _Config]:
    """The class and the options of a layer by its arrays."""
    each = 3 if len(arrays) % 3 == 0 else 2
    kernels = [a for i, a in enumerate(arrays) if i % each < 2]
    if len(arrays) not in (2, 3, 4, 6) or any(len(a.shape) != 2 for a in kernels):
        raise ValueError(
            "from_keras: expected a layer's arrays, kernel, recurrent kernel and perhaps bias, for "
            f"one or two directions, got shapes {[tuple(a.shape) for a in arrays]}"
        )
    units, columns = arrays[1].shape
    name = _NAMES.get(columns // max(units, 1))
    if name is None or columns % units:
        raise ValueError(
            "from_keras: expected a recurrent kernel (H, G*H) of G=1, 3 or 4 gates, got shape "
            f"{(units, columns)}"
        )
    both = len(arrays) >= 4
    known = {key for row in ROWS if row.name == name for key in row.config} | {*_ABSENT}
    known |= {"merge_mode"} if both else set()
    unknown = [key for key in config if key not in known]
    if unknown:
        raise TypeError(
            f"from_keras: got an unexpected option {unknown[0]!r} for the arrays of {name} in "
            f"{'two directions' if both else 'one direction'}; known are {sorted(known)}"
        )
    bias = each == 3
    options = {"use_bias": bias, **config}
    if name == "GRU" and bias:
        options.setdefault("reset_after", len(arrays[2].shape) == 2)
    if not both:
        return name, options
    layer = {"class_name": name, "config": options}
    return "Bidirectional", {"layer": layer, "merge_mode": config.get("merge_mode", "concat")}


def _parts(name: str, config: _Config, backwards: bool = False) -> list[tuple[str, _Config]]:
    """What a layer of one direction consists of, from bottom to top: classes and options."""
    for option, (value, remedy) in _ABSENT.items():
        if config.get(option, value) != value:
            raise ValueError(
                f"from_keras: expected {name} with {option}={value!r}, got {config[option]!r}, "
                f"which elman does not have: {remedy}"
            )
    if config.get("go_backwards", backwards) != backwards:
        raise ValueError(
            f"from_keras: expected {name} with go_backwards={backwards}, got {not backwards}: give "
            "layer.get_weights(), and turn the input round yourself"
        )
    if name == "RNN":
        return _parts(config["cell"]["class_name"], config["cell"]["config"])
    if name == "StackedRNNCells":
        inside = [_parts(cell["class_name"], cell["config"]) for cell in config["cells"]]
        return [part for parts in inside for part in parts]
    return [(name.removesuffix("Cell"), config)]


def _both(config: _Config) -> tuple[str, list[list[tuple[str, _Config]]]]:
    """The merge and the two directions of a Bidirectional."""
    merge = config.get("merge_mode", "concat")
    if merge not in _MERGES:
        raise ValueError(
            f"from_keras: expected Bidirectional with a merge_mode of {list(_MERGES)}, got "
            f"{merge!r}: give layer.get_weights(), and cut the output in two"
        )
    forward, back = config["layer"], config.get("backward_layer")
    if back is None:  # as written by Keras 2, and for arrays
        back = {**forward, "config": {**forward["config"], "go_backwards": True}}
    ahead = _parts(forward["class_name"], forward["config"])
    behind = _parts(back["class_name"], back["config"], backwards=True)
    if len(ahead) != 1 or len(behind) != 1 or _row(*ahead[0]) is not _row(*behind[0]):
        raise ValueError(
            "from_keras: expected Bidirectional of one layer with one formula in both directions, "
            f"got {[name for name, _ in ahead]} and {[name for name, _ in behind]}, or other "
            "options: convert the directions one by one"
        )
    return _MERGES[merge], [[ahead[0], behind[0]]]


def _row(name: str, config: _Config) -> Row:
    """The row of a layer with these options."""
    rows = [row for row in ROWS if row.name == name]
    if not rows:
        raise TypeError(
            f"from_keras: expected {', '.join(dict.fromkeys(_NAMES.values()))}, their cells in an "
            f"RNN, or Bidirectional, got {name}: give the recurrent layers alone"
        )
    given = {key: config.get(key, default) for key, default in rows[0].config.items()}
    row = next((row for row in rows if row.config == given), None)
    if row is None:
        for key, value in given.items():
            choice = list(dict.fromkeys(row.config[key] for row in rows))
            if value not in choice:
                raise ValueError(
                    f"from_keras: expected {name} with {key} of {choice}, got {value!r}: write the "
                    "formula as an elman.Cell"
                )
    assert row is not None
    return row


def _way(row: Row, arrays: Sequence[Any]) -> Way:
    """The weights of one layer and direction."""
    names = ("kernel", "recurrent kernel", "bias")
    tensors = [to_tensor("from_keras", *pair) for pair in zip(names, arrays, strict=False)]
    gates, wanted = row.gates, row.cell.gates
    columns = len(gates) * tensors[1].shape[0]
    kernels = [(t.shape[0], columns) for t in tensors[:2]]
    for name, tensor, shape in zip(
        names, tensors, [*kernels, (2, columns) if row.two else (columns,)], strict=False
    ):
        if tensor.shape != shape:
            raise ValueError(
                f"from_keras: expected the {name} of {row.name} with {row.config} to have shape "
                f"{shape}, got {tuple(tensor.shape)}"
            )
    kernel, recurrent = (reorder(t.t(), gates, wanted) for t in tensors[:2])
    if len(tensors) == 2:
        return Way(kernel, recurrent)
    bias = tensors[2]
    ih, hh = bias if row.two else (bias, torch.zeros_like(bias))
    return Way(kernel, recurrent, reorder(ih, gates, wanted), reorder(hh, gates, wanted))
