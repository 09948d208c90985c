"""Flax' parameters: trees of kernels, one for each gate or one for all, some with a bias."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import cells
from ..cell import Cell
from ..cells.activation import ACTIVATIONS
from ..nn import GRU, LSTM, RNN, Recurrent
from .layers import Layers, Way, build, place_biases, read, to_array, to_tensor


class Row(NamedTuple):
    """A cell's parameters in Flax, and the cell that has the formula."""

    cell: Cell
    inputs: tuple[str, ...]  # kernels at the input: one for each gate in order, or one for all
    hidden: tuple[str, ...]  # the same at the state
    biased: str  # those of both that have a bias
    apart: str = ""  # gates in whose formula the two biases do not add up

    def side(self, names: tuple[str, ...]) -> str:
        """The gates that have a bias at a side."""
        gates = [self.cell.gates] if len(names) == 1 else self.cell.gates
        biased = self.biased.split()
        return "".join("".join(g) for n, g in zip(names, gates, strict=True) if n in biased)


def _row(cell: Cell, inputs: str, hidden: str, biased: str, apart: str = "") -> Row:
    return Row(cell, tuple(inputs.split()), tuple(hidden.split()), biased, apart)


_SIMPLE = [cells.Elman(name) for name in ACTIVATIONS]
#: A cell's first row is what flax.linen has, and what `to_flax` makes without a tree to go by.
ROWS = (
    *(_row(cell, "i", "h", "i") for cell in _SIMPLE),
    _row(cells.LSTM(), "ii if ig io", "hi hf hg ho", "hi hf hg ho"),  # OptimizedLSTMCell too
    _row(cells.GRU(), "ir iz in", "hr hz hn", "ir iz in hn"),
    _row(cells.UGRNN(), "if in", "hf hn", "if in"),  # MGUCell(reset_gate=False)
    # flax.nnx
    *(_row(cell, "dense_i", "dense_h", "dense_i") for cell in _SIMPLE),
    _row(cells.LSTM(), "ii if_ ig io", "hi hf hg ho", "hi hf hg ho"),
    _row(cells.LSTM(), "dense_i", "dense_h", "dense_h"),  # OptimizedLSTMCell
    _row(cells.GRU(), "dense_i", "dense_h", "dense_i", apart="n"),
)

_Tree = Mapping[Any, Any]
_Path = tuple[Any, ...]
_WAYS = ("forward_rnn", "backward_rnn")


def from_flax(
    params: Any, *, nonlinearity: str = "tanh", merge: str = "concat", batch_first: bool = True
) -> RNN | LSTM | GRU | Recurrent:
    """A module with the parameters of recurrent layers of flax.linen or flax.nnx.

    Flax itself is not needed: parameters are a tree of arrays.

    Args:
        params: ``model.init(...)``, ``nnx.state(model, nnx.Param)``, or a part of it, of a
            SimpleCell, LSTMCell, OptimizedLSTMCell, GRUCell or ``MGUCell(reset_gate=False)``. The
            model may also be an RNN or a Bidirectional of one, or a Sequential of these. Or a list
            of trees, each on the output of the one before.
        nonlinearity: the ``activation_fn`` of a SimpleCell, by its name in :class:`elman.RNN`.
        merge: the ``merge_fn`` of a Bidirectional, by its name in :class:`elman.Recurrent`.
        batch_first: whether the module takes ``(B, T, I)``, as Flax does, or ``(T, B, I)``.

    Returns:
        :class:`elman.RNN`, :class:`elman.LSTM` or :class:`elman.GRU` where it has what the layers
        have; else, for instance for layers of several sizes, an :class:`elman.Recurrent`. Its
        parameters have the dtype of the arrays. Its states are ``(h, c)`` where Flax' carry is
        ``(c, h)``.

    Raises:
        ValueError: a tree that holds anything else, or does not say what lies on what.
        TypeError: parameters that are no tree of arrays.

    The guide is docs/exchange.md.

    >>> import elman
    >>> params = elman.to_flax(elman.GRU(3, 2, bidirectional=True))
    >>> elman.from_flax(params)
    GRU(3, 2, batch_first=True, bidirectional=True)
    """
    cells.Elman(nonlinearity)  # which refuses what is none
    tree, paths = _open("from_flax", params)
    ways: list[list[Way]] = []
    found: dict[str, Cell] = {}
    for layer in paths:
        rows = [_find("from_flax", _at(tree, path), nonlinearity) for path in layer]
        ways.append([_read(row, _at(tree, path)) for row, path in zip(rows, layer, strict=True)])
        found |= {repr(row.cell): row.cell for row in rows}
    cell, *others = found.values()
    if others:
        raise ValueError(
            f"from_flax: expected all layers to have one formula, got {cell!r} and {others[0]!r}: "
            "convert them one by one"
        )
    for option, value, usual, used, where in (
        ("nonlinearity", nonlinearity, "tanh", hasattr(cell, "nonlinearity"), "a SimpleCell"),
        ("merge", merge, "concat", len(ways[0]) == 2, "a Bidirectional"),
    ):
        if value != usual and not used:
            raise ValueError(
                f"from_flax: expected {option}={value!r} with {where} only, got parameters of "
                f"{cell!r} in {len(ways[0])} direction(s): leave it out"
            )
    return build("from_flax", Layers(cell, ways, merge), batch_first)


def to_flax(module: torch.nn.Module, like: Any = None) -> Any:
    """The weights of a module as Flax' parameters.

    Args:
        module: of elman or torch.nn: an RNN, LSTM or GRU, a cell of theirs, or a
            :class:`elman.Recurrent` of such a formula.
        like: parameters of the layers that they are for, as :func:`from_flax` takes them. Without
            it, the layers are those of flax.linen: an RNN or a Bidirectional for each layer, in a
            Sequential if there are several, or a cell.

    Returns:
        A tree of dicts, or a list of trees, as ``like``, of NumPy's arrays: for ``model.apply``, or
        for ``nnx.update(model, params)``. Where Flax has one bias, it is the sum of both.

    Raises:
        ValueError: a formula or an option that Flax does not have; a bias that has no place there
            (flax.nnx's GRUCell has none at the state); a tree for other layers.
        TypeError: a module that is not recurrent.

    The guide is docs/exchange.md.

    >>> import elman
    >>> elman.to_flax(elman.RNN(3, 2, bias=False))["cell"]["h"]["kernel"].shape
    (2, 2)
    """
    cell, ways, merge = read("to_flax", module)
    rows = [row for row in ROWS if row.cell.trace() is cell.trace()]
    if not rows:
        raise ValueError(f"to_flax: expected a formula that Flax has, got {cell!r}")
    if merge != "concat" and len(ways[0]) == 2 and like is None:
        raise ValueError(
            f"to_flax: expected merge='concat', got {merge!r}, which Flax has as a function of "
            "the layer, merge_fn: give the layer's parameters as like"
        )
    if like is None:
        return _fresh(module, [[_write(rows[0], way) for way in layer] for layer in ways])
    tree, paths = _open("to_flax", like)
    if [len(layer) for layer in paths] != [len(layer) for layer in ways]:
        raise ValueError(
            f"to_flax: expected like to have {len(ways)} layers of {len(ways[0])} directions as "
            f"the module, got the directions {[len(layer) for layer in paths]}"
        )
    result = _copy(tree)
    for layer, mine in zip(paths, ways, strict=True):
        for path, way in zip(layer, mine, strict=True):
            old = _at(tree, path)
            row = next((row for row in rows if _fits(row, old)), None)
            if row is None:
                raise ValueError(
                    f"to_flax: expected like to be for {cell!r}, got other parameters: "
                    f"{_shown(old)}"
                )
            new = _write(row, way)
            for name, arrays in new.items():
                for kind, value in arrays.items():
                    if value.shape != tuple(old[name][kind].shape):
                        raise ValueError(
                            f"to_flax: expected like to have {name}/{kind} of shape "
                            f"{value.shape}, got {tuple(old[name][kind].shape)}"
                        )
            _at(result, path).update(new)
    return [result[n] for n in range(len(like))] if isinstance(like, Sequence) else result


def _fresh(module: torch.nn.Module, ways: list[list[Any]]) -> Any:
    """The tree of flax.linen's layers."""
    if not hasattr(module, "num_layers"):
        return ways[0][0]
    layers = [
        {"cell": layer[0]}
        if len(layer) == 1
        else {name: {"cell": way} for name, way in zip(_WAYS, layer, strict=True)}
        for layer in ways
    ]
    return layers[0] if len(layers) == 1 else {f"layers_{n}": p for n, p in enumerate(layers)}


def _read(row: Row, tree: _Tree) -> Way:
    """The weights of one layer and direction."""

    def side(names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        kernels, biases = [], []
        for name in names:
            kernels.append(to_tensor("from_flax", f"{name}/kernel", tree[name]["kernel"]).t())
            none = kernels[-1].new_zeros(kernels[-1].shape[0])
            given = tree[name].get("bias")
            biases.append(none if given is None else to_tensor("from_flax", name, given))
        return torch.cat(kernels), torch.cat(biases)

    (ih, bias_ih), (hh, bias_hh) = side(row.inputs), side(row.hidden)
    return Way(ih, hh, bias_ih, bias_hh)


def _write(row: Row, way: Way) -> dict[str, dict[str, Any]]:
    """The parameters of one layer and direction."""
    places = row.side(row.inputs), row.side(row.hidden)
    biases = place_biases("to_flax", row.cell, way, *places, row.apart)
    result: dict[str, dict[str, Any]] = {}
    for names, weight, bias in zip((row.inputs, row.hidden), way[:2], biases, strict=True):
        assert weight is not None
        for name, w, b in zip(names, weight.chunk(len(names)), bias.chunk(len(names)), strict=True):
            result[name] = {"kernel": to_array(w.t())}
            if name in row.biased.split():
                result[name]["bias"] = to_array(b)
    return result


def _open(owner: str, params: Any) -> tuple[_Tree, list[list[_Path]]]:
    """A tree, and where in it cells are: for each layer one or two."""
    if isinstance(params, Mapping):
        return params, _paths(owner, params, ())
    if not isinstance(params, Sequence) or isinstance(params, str) or not params:
        what = "like to be " if owner == "to_flax" else ""
        empty = "an empty " if isinstance(params, Sequence) and not params else ""
        raise TypeError(
            f"{owner}: expected {what}a tree of parameters or a list of such, got {empty}"
            f"{type(params).__name__}: give model.init(...) or nnx.state(model, nnx.Param)"
        )
    tree = dict(enumerate(params))
    return tree, [layer for key in tree for layer in _paths(owner, tree, (key,))]


def _paths(owner: str, tree: _Tree, path: _Path) -> list[list[_Path]]:
    """The cells below a place, in the order in which they lie on one another."""
    node = _at(tree, path)
    where = "/".join(map(str, path)) or "the tree"
    if not isinstance(node, Mapping):
        raise TypeError(
            f"{owner}: expected a tree of parameters at {where}, got {type(node).__name__}"
        )
    if _is_cell(node):
        return [[path]]
    node = {key: part for key, part in node.items() if key != "rngs"}  # flax.nnx' random numbers
    below = {key: (*path, key) for key in node}
    if len(below) == 1:
        return _paths(owner, tree, *below.values())
    if {*below} == {*_WAYS}:
        inside = [_paths(owner, tree, below[way]) for way in _WAYS]
        if all(len(found) == len(found[0]) == 1 for found in inside):
            return [[found[0][0] for found in inside]]
    numbers = {key: re.fullmatch(r"(.*?)(\d+)", str(key)) for key in below}
    names = {match and match[1] for match in numbers.values()}
    if len(names) == 1 and None not in names and not any(map(_is_cell, node.values())):
        ordered = sorted(below, key=lambda key: int(numbers[key][2]))  # type: ignore[index]
        return [layer for key in ordered for layer in _paths(owner, tree, below[key])]
    raise ValueError(
        f"{owner}: expected one cell, RNN or Bidirectional, or numbered layers, at {where}, got "
        f"{_shown(node)}: give a list of the recurrent layers' trees, from bottom to top, and two "
        f"directions as a dict of {_WAYS[0]} and {_WAYS[1]}"
    )


def _is_cell(node: Any) -> bool:
    """Whether this is what holds kernels by name."""
    values = node.values() if isinstance(node, Mapping) else ()
    return bool(values) and all(isinstance(v, Mapping) and "kernel" in v for v in values)


def _fits(row: Row, tree: _Tree) -> bool:
    """Whether parameters are those of a row: kernels by name, biases, and the number of gates."""
    shapes: dict[str, Any] = {n: getattr(part["kernel"], "shape", ()) for n, part in tree.items()}
    matrices = all(len(shape) == 2 for shape in shapes.values())
    if {*tree} != {*row.inputs, *row.hidden} or not matrices:
        return False
    columns = sum(shapes[name][1] for name in row.hidden)
    gates = len(row.cell.gates) * shapes[row.hidden[0]][0]
    return columns == gates and {n for n in tree if "bias" in tree[n]} == {*row.biased.split()}


def _find(owner: str, tree: _Tree, nonlinearity: str) -> Row:
    for row in ROWS:
        if _fits(row, tree) and getattr(row.cell, "nonlinearity", nonlinearity) == nonlinearity:
            return row
    raise ValueError(
        f"{owner}: expected the parameters of a SimpleCell, LSTMCell, OptimizedLSTMCell, GRUCell "
        f"or MGUCell(reset_gate=False), got {_shown(tree)}, or other shapes than theirs"
    )


def _shown(tree: _Tree) -> str:
    return ", ".join(str(key) for key in tree) or "nothing"


def _at(tree: Any, path: _Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _copy(tree: Any) -> Any:
    """Plain dicts of the same structure."""
    return {k: _copy(v) for k, v in tree.items()} if isinstance(tree, Mapping) else tree
