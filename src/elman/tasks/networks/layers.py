"""Recurrent layers by the names of their cells, of elman or of torch.nn."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from torch import nn

import elman
from elman.cells import CATALOGUE, GRU, LSTM, Elman

from ..errors import TaskError, meant

Backend = Literal["elman", "torch"]
CellLike = str | Mapping[str, Any] | elman.Cell | type[elman.Cell]

#: Whose layers run, and how a report names them.
BACKENDS = {"elman": "elman", "torch": "torch.nn"}

#: The cells by name: those of the catalogue that need nothing but the input, and "rnn" as users of
#: torch.nn say.
CELLS = {"rnn": Elman, **{name: cell for name, cell in CATALOGUE.items() if not cell.inputs}}

#: What torch.nn has for a cell.
TORCH: list[tuple[elman.Cell, Callable[..., nn.Module]]] = [
    (Elman(), nn.RNN),
    (Elman("relu"), partial(nn.RNN, nonlinearity="relu")),
    (LSTM(), nn.LSTM),
    (GRU(), nn.GRU),
]


def find_cell(cell: Any) -> elman.Cell:
    """The cell that a name, a name with hyper-parameters, a class or an object stands for.

    >>> find_cell("gru"), find_cell({"name": "leaky", "leak": 0.5})
    (GRU(reset_after=True), Leaky(leak=0.5, nonlinearity='tanh'))
    """
    hyper: dict[str, Any] = {}
    if isinstance(cell, Mapping):
        hyper = dict(cell)
        cell = hyper.pop("name", None)
    if isinstance(cell, str):
        if cell.lower() not in CELLS:
            raise TaskError(
                f"cell must be one of {', '.join(CELLS)}. Got {cell!r}.{meant(cell, CELLS)}"
            )
        cell = CELLS[cell.lower()]
    try:
        found = cell(**hyper) if isinstance(cell, type) else cell
        step = found.trace() if isinstance(found, elman.Cell) else None
    except (TypeError, ValueError) as error:
        raise TaskError(f"cell {cell.__name__}: {error}.") from None
    if step is None:
        raise TaskError(
            "cell must be a name, a mapping of a 'name' and the cell's arguments, or an elman.Cell "
            f"or its class. Got {cell!r}."
        )
    if step.inputs:
        raise TaskError(
            f"cell {found!r} reads further inputs at every step ({', '.join(step.inputs)}), which "
            "texts don't have; choose a cell without."
        )
    return found


def layer_name(cell: CellLike, backend: Backend) -> str:
    """What a report calls the recurrent layers.

    >>> layer_name("gru", "torch"), layer_name("lightgru", "elman")
    ('torch.nn.GRU', 'elman.LightGRU')
    """
    kind = type(find_cell(cell))
    return f"{BACKENDS[backend]}.{'RNN' if kind is Elman else kind.__name__}"


def make_layers(cell: CellLike, backend: Backend, *sizes: Any, **options: Any) -> nn.Module:
    """`elman.Recurrent` of the cell, or the layers that torch.nn has for it."""
    found = find_cell(cell)
    make: Callable[..., nn.Module] | None = partial(elman.Recurrent, found)
    if backend == "torch":
        make = next((layer for like, layer in TORCH if same_cell(like, found)), None)
        if make is None:
            known = ", ".join(repr(like) for like, _ in TORCH)
            raise TaskError(f"torch.nn has no {found!r}, only {known}; choose backend='elman'.")
    assert make is not None
    try:
        return make(*sizes, **options)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:  # torch's too
        raise TaskError(f"The recurrent layers can't be made: {error}.") from None


def make_encoder(
    features: int,
    *,
    cell: CellLike,
    backend: Backend,
    hidden_size: int | Sequence[int],
    num_layers: int,
    bidirectional: bool,
    recurrent: Mapping[str, Any] | None,
    dropout: float,
) -> tuple[nn.Module, int, int]:
    """Layers on top of one another, by the parameters that estimators have for them.

    Besides, how many features they put out in the forward direction, and in all: those of a reverse
    direction follow, unless both are merged.
    """
    options = dict(recurrent or {})
    sizes = np.atleast_1d(hidden_size).tolist()  # NumPy's whole numbers as Python's
    layers = make_layers(
        *(cell, backend, int(features)),
        sizes if isinstance(hidden_size, Sequence) else sizes[0],
        int(num_layers),
        dropout=float(dropout) if max(num_layers, len(sizes)) > 1 else 0.0,
        bidirectional=bool(bidirectional),
        **options,
    )
    forward = options.get("proj_size") or sizes[-1]
    both = bidirectional and options.get("merge", "concat") == "concat"
    return layers, forward, forward * (2 if both else 1)


def same_cell(one: elman.Cell, other: elman.Cell) -> bool:
    """Whether two cells are of one class and hold the same."""
    return type(one) is type(other) and one.__getstate__() == other.__getstate__()
