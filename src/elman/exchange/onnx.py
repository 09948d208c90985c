"""Layers of the RNN, LSTM and GRU nodes of an ONNX model, with their weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..nn import GRU, LSTM, RNN, Recurrent
from ..onnx_nodes import cells
from ..onnx_nodes.cells import FUNCTIONS, Activation, Operator, activation
from .ways import Ways

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


def from_onnx(model: Any) -> dict[str, torch.nn.Module]:
    """Makes a layer of each RNN, LSTM and GRU node of an ONNX model, and loads its weights.

    Args:
        model: a file's name, the bytes of one, an ``onnx.ModelProto``, or what
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

        They are called as elman's layers are: the output has both directions side by side,
        ``(T, B, D * H)``, and the states are ``(D, B, H)``, with ``layout=1``, which is
        ``batch_first``, too. States that the model holds as constants are the layer's learned
        initial states.

    Raises:
        ImportError: without the package onnx.
        TypeError: a model of another type.
        ValueError: no such node; weights that are no constants; attributes that ONNX does not have;
            constant initial states that differ from row to row.

    >>> import elman, torch
    >>> layers = elman.from_onnx("model.onnx")  # doctest: +SKIP
    >>> output, h_n = layers["encoder"](torch.rand(5, 3, 40))  # doctest: +SKIP
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "from_onnx reads models by the package onnx: pip install elman[onnx]"
        ) from error
    model = getattr(model, "model_proto", model)
    if isinstance(model, (str, os.PathLike)):
        model = onnx.load(model)
    elif isinstance(model, bytes):
        model = onnx.load_model_from_string(model)
    if not isinstance(model, onnx.ModelProto):
        raise TypeError(
            "from_onnx: expected a file's name, its bytes, an onnx.ModelProto or what "
            f"torch.onnx.export returns, got {type(model).__name__}"
        )
    found: dict[str, torch.nn.Module] = {}
    for node in model.graph.node:
        if node.op_type in _KINDS and node.domain in ("", "ai.onnx"):
            name = node.name or node.op_type
            if not node.name or name in found:
                name = f"{name}_{len(found)}"
            with torch.no_grad():
                found[name] = _layer(_read(model, node, name)).eval()
    if not found:
        kinds = sorted({node.op_type for node in model.graph.node})
        raise ValueError(f"from_onnx: the model has no RNN, LSTM or GRU node, only {kinds}")
    return found


class _Kind(NamedTuple):
    """One of ONNX's operators."""

    cell: type[Operator]
    gates: int
    layer: type[torch.nn.Module]  # torch.nn's
    order: Sequence[int]  # where torch.nn's gates are among ONNX's


_KINDS = {
    "RNN": _Kind(cells.RNN, 1, RNN, (0,)),
    "LSTM": _Kind(cells.LSTM, 4, LSTM, (0, 2, 3, 1)),
    "GRU": _Kind(cells.GRU, 3, GRU, (1, 0, 2)),
}


class _Node(NamedTuple):
    """What a node says: its attributes, and its constant tensors by the names of the inputs."""

    name: str
    op: str
    attributes: dict[str, Any]
    tensors: dict[str, Tensor]
    lengths: bool

    @property
    def kind(self) -> _Kind:
        return _KINDS[self.op]

    def part(self, d: int) -> _Node:
        """One of its directions."""
        tensors = {name: value[d : d + 1] for name, value in self.tensors.items()}
        activations = self.attributes["activations"][d : d + 1]
        return self._replace(
            tensors=tensors, attributes={**self.attributes, "activations": activations}
        )


def _read(model: Any, node: Any, name: str) -> _Node:
    """A node's attributes, complete, and its tensors."""
    from onnx.helper import get_attribute_value

    given = {a.name: get_attribute_value(a) for a in node.attribute}
    direction = given.get("direction", b"forward").decode()
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ValueError(f"from_onnx: {name} has the direction {direction!r}, which ONNX has not")
    ways = 2 if direction == "bidirectional" else 1
    activations = _activations(name, _KINDS[node.op_type].cell, given, ways)
    present = {label: source for label, source in zip(_INPUTS, node.input, strict=False) if source}
    tensors: dict[str, Tensor] = {}
    for label, source in present.items():
        if label in ("X", "sequence_lens"):
            continue
        value = _constant(model, source)
        if value is not None:
            tensors[label] = value
        elif not label.startswith("initial"):
            raise ValueError(
                f"from_onnx: expected {label} of {name} to be constant, got {source!r}, which "
                "depends on the model's inputs"
            )
    for label in ("initial_h", "initial_c"):
        if label in tensors and given.get("layout"):
            tensors[label] = tensors[label].transpose(0, 1)
        if label in tensors and bool((tensors[label] == 0).all()):
            del tensors[label]
    attributes = {**given, "direction": direction, "activations": activations}
    return _Node(name, node.op_type, attributes, tensors, "sequence_lens" in present)


def _activations(
    name: str, cell: type[Operator], given: dict[str, Any], ways: int
) -> list[tuple[Activation, ...]]:
    """The activations of each direction. Their numbers come in order, for those that have one."""
    usual = [n.encode() for n in cell.usual] * ways
    named = [n.decode() for n in given.get("activations", usual)]
    proper = {known.lower(): known for known in FUNCTIONS}
    unknown = [n for n in named if n.lower() not in proper]
    if unknown or len(named) != len(usual):
        raise ValueError(
            f"from_onnx: expected {len(usual)} activations of {name}, of {sorted(FUNCTIONS)}, got "
            f"{named}"
        )
    alphas, betas = (iter(given.get(f"activation_{n}", ())) for n in ("alpha", "beta"))
    every = []
    for known in (proper[n.lower()] for n in named):
        row = FUNCTIONS[known]
        alpha = None if row.alpha is None else next(alphas, None)
        every.append(activation(known, alpha, None if row.beta is None else next(betas, None)))
    count = len(cell.usual)
    return [tuple(every[i : i + count]) for i in range(0, len(every), count)]


def _constant(model: Any, name: str) -> Tensor | None:
    """The value of a tensor of the graph; None if it depends on the model's inputs."""
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    held = {t.name: t for t in model.graph.initializer}
    if name in held:
        array = numpy_helper.to_array(held[name])
    else:
        makers = {output: i for i, node in enumerate(model.graph.node) for output in node.output}
        needed: set[int] = set()
        wanted = [name]
        while wanted:
            current = wanted.pop()
            if not current or current in held or makers.get(current) in needed:
                continue
            if current not in makers:
                return None
            needed.add(makers[current])
            wanted += model.graph.node[makers[current]].input
        nodes = [model.graph.node[i] for i in sorted(needed)]
        output = helper.make_empty_tensor_value_info(name)
        part = helper.make_model(
            helper.make_graph(nodes, "constants", [], [output], list(held.values())),
            opset_imports=model.opset_import,
            functions=model.functions,
        )
        array = np.asarray(ReferenceEvaluator(part).run(None, {})[0])  # type: ignore[index]
    wide = torch.from_numpy(array.astype("float64" if array.dtype == "float64" else "float32"))
    return wide.to(getattr(torch, array.dtype.name))


def _layer(node: _Node) -> torch.nn.Module:
    """The layer of a node, in its directions."""
    direction, activations = node.attributes["direction"], node.attributes["activations"]
    batch_first = bool(node.attributes.get("layout", 0))
    if direction == "reverse":
        return Ways(None, _simple(node), batch_first)
    if direction == "bidirectional" and activations[0] != activations[1]:
        return Ways(_simple(node.part(0)), _simple(node.part(1)), batch_first)
    return _simple(node)


def _simple(node: _Node) -> torch.nn.Module:
    """A layer of one formula, forward or in both directions."""
    given, tensors, kind = node.attributes, node.tensors, node.kind
    D, rows, width = tensors["W"].shape
    cell = _cell(node)
    initial = "initial_h" in tensors or "initial_c" in tensors
    settings: dict[str, Any] = {
        "bias": "B" in tensors,
        "batch_first": bool(given.get("layout", 0)),
        "bidirectional": D == 2,
        "dtype": tensors["W"].dtype,
    }
    options = None if node.lengths or initial else _options(cell)
    units = rows // kind.gates
    if options is not None:
        net, order = kind.layer(width, units, **settings, **options), kind.order
    else:
        net = Recurrent(cell, width, units, learn_initial=initial, **settings)
        order = ["iofc".index(g) for g in cell.gates] if node.op == "LSTM" else range(kind.gates)
    for d, way in enumerate(("", "_reverse")[:D]):
        for name, value in _parameters(node, cell, order, d):
            getattr(net, f"{name}_l0{way}").copy_(value)
    return net


def _cell(node: _Node) -> Operator:
    """The formula of a node."""
    given, activations = node.attributes, node.attributes["activations"][0]
    options: dict[str, bool] = {}
    if node.op == "LSTM":
        options["peepholes"] = "P" in node.tensors
        options["input_forget"] = bool(given.get("input_forget", 0))
    if node.op == "GRU":
        options["linear_before_reset"] = bool(given.get("linear_before_reset", 0))
    return node.kind.cell(activations, given.get("clip"), **options)


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
    node: _Node, cell: Operator, order: Sequence[int], d: int
) -> Iterator[tuple[str, Tensor]]:
    """The parameters of one direction, by their names without layer and direction."""
    tensors, gates = node.tensors, node.kind.gates

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
