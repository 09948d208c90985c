"""Layers of the RNN, LSTM and GRU nodes of an ONNX model, with their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..nn import GRU, LSTM, RNN, Recurrent
from ..onnx_nodes import cells
from ..onnx_nodes.cells import Operator
from .nodes import CELLS, GATES, Node, read
from .ways import Ways


def from_onnx(model: Any) -> dict[str, torch.nn.Module]:
    """Makes a layer of each RNN, LSTM and GRU node of an ONNX model, and loads its weights.

    Args:
        model: a file's name, an open file, the bytes of one, an ``onnx.ModelProto``, or what
            ``torch.onnx.export`` returns.

    Returns:
        The layers by their nodes' names, in the order of the graph; a node without a name of its
        own is called by its place, as in ``"LSTM_0"``. Bodies of loops and branches are passed
        over. All layers are in evaluation mode. A layer is

        - :class:`elman.RNN`, :class:`elman.LSTM` or :class:`elman.GRU` where that computes it;
        - else :class:`elman.Recurrent` of a cell with the node's attributes (other activations,
          clipping, peepholes, coupled gates), and where the node has lengths, which it takes as
          ``lengths=``;
        - a module around one or two of these where a node only runs in reverse, or its directions
          have different activations.

        They are called as elman's layers are. The output has both directions side by side,
        ``(T, B, D * H)``. The states are ``(D, B, H)``, even with ``layout=1``, which is
        ``batch_first``. States that the model holds as constants are the layer's learned
        initial states.

        Where a node leaves out alpha or beta, ONNX says that they are those of the operator of the
        same name: 1 for the alpha of ThresholdedRelu. Affine and ScaledTanh are no operators any
        more: here they are ``x`` and ``tanh(x)`` then. ONNX Runtime takes 0 in all three.

    Raises:
        ImportError: without the package onnx.
        TypeError: a model of another type.
        ValueError: content that is no model; no such node; weights that are no constants;
            attributes that ONNX does not have, or that contradict one another or the tensors;
            constant initial states that differ from row to row.

    The guide is docs/exchange.md.

    >>> import elman, torch
    >>> layers = elman.from_onnx("model.onnx")  # doctest: +SKIP
    >>> output, h_n = layers["encoder"](torch.rand(5, 3, 40))  # doctest: +SKIP
    """
    with torch.no_grad():
        return {node.name: _layer(node).eval() for node in read(model)}


#: torch.nn's layers of the operators, and where their gates are among ONNX's.
_LAYERS: dict[str, tuple[type[torch.nn.Module], Sequence[int]]] = {
    "RNN": (RNN, (0,)),
    "LSTM": (LSTM, (0, 2, 3, 1)),
    "GRU": (GRU, (1, 0, 2)),
}


def _layer(node: Node) -> torch.nn.Module:
    """The layer of a node, in its directions."""
    direction, activations = node.attributes["direction"], node.attributes["activations"]
    batch_first = bool(node.attributes.get("layout", 0))
    if direction == "reverse":
        return Ways(None, _simple(node), batch_first)
    if direction == "bidirectional" and activations[0] != activations[1]:
        return Ways(_simple(node.part(0)), _simple(node.part(1)), batch_first)
    return _simple(node)


def _simple(node: Node) -> torch.nn.Module:
    """A layer of one formula, forward or in both directions."""
    given, tensors = node.attributes, node.tensors
    (D, _, width), units = tensors["W"].shape, tensors["R"].shape[-1]
    cell = _cell(node)
    initial = "initial_h" in tensors or "initial_c" in tensors
    settings: dict[str, Any] = {
        "bias": "B" in tensors,
        "batch_first": bool(given.get("layout", 0)),
        "bidirectional": D == 2,
        "dtype": tensors["W"].dtype,
    }
    options = None if node.lengths or initial else _options(cell)
    if options is not None:
        kind, order = _LAYERS[node.op]
        net = kind(width, units, **settings, **options)
    else:
        net = Recurrent(cell, width, units, learn_initial=initial, **settings)
        every = GATES[node.op]
        order = ["iofc".index(g) for g in cell.gates] if node.op == "LSTM" else range(every)
    for d, way in enumerate(("", "_reverse")[:D]):
        for name, value in _parameters(node, cell, order, d):
            getattr(net, f"{name}_l0{way}").copy_(value)
    return net


def _cell(node: Node) -> Operator:
    """The formula of a node."""
    given, activations = node.attributes, node.attributes["activations"][0]
    options: dict[str, bool] = {}
    if node.op == "LSTM":
        options["peepholes"] = "P" in node.tensors
        options["input_forget"] = bool(given.get("input_forget", 0))
    if node.op == "GRU":
        options["linear_before_reset"] = bool(given.get("linear_before_reset", 0))
    return CELLS[node.op](activations, given.get("clip"), **options)


def _options(cell: Operator) -> dict[str, Any] | None:
    """The options of elman's RNN, LSTM or GRU that computes a cell; None if none does."""
    names = tuple(name for name, _, _ in cell.activations)
    if cell.clip is not None:
        return None
    if isinstance(cell, cells.RNN):
        return {"nonlinearity": names[0].lower()} if names[0] in ("Tanh", "Relu") else None
    if names != cell.usual:
        return None
    if isinstance(cell, cells.GRU):
        return {"reset_after": cell.linear_before_reset}
    return {} if len(cell.gates) == 4 and not cell.vectors else None


def _parameters(
    node: Node, cell: Operator, order: Sequence[int], d: int
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of one direction, by their names without layer and direction."""
    tensors, gates = node.tensors, GATES[node.op]

    def blocks(value: Tensor) -> Tensor:
        every = value.chunk(gates)
        return torch.cat([every[i] for i in order])

    yield "weight_ih", blocks(tensors["W"][d])
    yield "weight_hh", blocks(tensors["R"][d])
    if "B" in tensors:
        for name, value in zip(("bias_ih", "bias_hh"), tensors["B"][d].chunk(2), strict=True):
            yield name, blocks(value)
    if "P" in tensors:
        for name, value in zip(("pi", "po", "pf"), tensors["P"][d].chunk(3), strict=True):
            if name in cell.vectors:
                yield f"weight_{name}", value
    for state in cell.states:
        if f"initial_{state}" in tensors:
            value = tensors[f"initial_{state}"]
            if not bool((value[d] == value[d][:1]).all()):
                raise ValueError(
                    f"from_onnx: expected initial_{state} of {node.name} to be the same for all "
                    "rows of the batch, as it is constant: make it an input of the model"
                )
            yield f"initial_{state}", value[d][0]
