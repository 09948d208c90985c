"""The RNN, LSTM and GRU nodes of an ONNX model: attributes and constant tensors, checked."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..onnx_nodes import cells
from ..onnx_nodes.cells import FUNCTIONS, Activation, Operator, activation

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
#: The operators as cells, and how many gates have rows in their matrices.
CELLS: dict[str, type[Operator]] = {"RNN": cells.RNN, "LSTM": cells.LSTM, "GRU": cells.GRU}
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}

_WAYS = {"forward": 1, "reverse": 1, "bidirectional": 2}
_FLAGS = ("layout", "input_forget", "linear_before_reset")
_DTYPES = ("float16", "bfloat16", "float32", "float64")


class Node(NamedTuple):
    """What a node says: its attributes, and its constant tensors by the names of the inputs.

    Its states are ``(D, B, H)`` in any layout; those that are zero are left out.
    """

    name: str
    op: str
    attributes: dict[str, Any]
    tensors: dict[str, Tensor]
    lengths: bool

    def part(self, d: int) -> Node:
        """One of its directions."""
        tensors = {name: value[d : d + 1] for name, value in self.tensors.items()}
        activations = self.attributes["activations"][d : d + 1]
        return self._replace(
            tensors=tensors, attributes={**self.attributes, "activations": activations}
        )


def read(model: Any) -> list[Node]:
    """The recurrent nodes of a model, in the order of its graph, each with a name of its own."""
    model = _opened(model)
    found = [node for node in model.graph.node if _is_recurrent(node)]
    if not found:
        raise _none(model)
    return [_read(model, *pair) for pair in zip(found, _names(found), strict=True)]


def _opened(model: Any) -> Any:
    """A model as an ``onnx.ModelProto``."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "from_onnx reads models by the package onnx: pip install elman[onnx]"
        ) from error
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = getattr(model, "model_proto", model)
    try:
        if isinstance(model, (str, os.PathLike)):
            return onnx.load(model)
        content = model.read() if hasattr(model, "read") else model
        if isinstance(content, (bytes, bytearray, memoryview)):
            return onnx.load_model_from_string(bytes(content))
    except DecodeError as error:
        raise ValueError(
            f"from_onnx: expected a model of ONNX, got other content ({error}): give a file that "
            "onnx.save or torch.onnx.export has written, or its bytes"
        ) from error
    if isinstance(model, onnx.ModelProto):
        return model
    got = type(model).__name__
    if content is not model:
        got += f" that reads {type(content).__name__}: open it as binary"
    raise TypeError(
        "from_onnx: expected a file or its name, the bytes of one, an onnx.ModelProto or what "
        f"torch.onnx.export returns, got {got}"
    )


def _is_recurrent(node: Any) -> bool:
    return node.op_type in CELLS and node.domain in ("", "ai.onnx")


def _names(nodes: list[Any]) -> Iterator[str]:
    """A name for each: its own, which only the first of several keeps, or one by its place."""
    given, used = {node.name for node in nodes}, set[str]()
    for place, node in enumerate(nodes):
        name = node.name
        if not name or name in used:
            numbered = (f"{name or node.op_type}_{n}" for n in itertools.count(place))
            name = next(other for other in numbered if other not in given | used)
        used.add(name)
        yield name


def _none(model: Any) -> ValueError:
    """For a model whose graph has no recurrent node."""
    inside = [node for node in model.graph.node for graph in _bodies(node) for node in graph.node]
    inside += [node for function in model.functions for node in function.node]
    while inside:
        node = inside.pop()
        if _is_recurrent(node):
            return ValueError(
                "from_onnx: expected RNN, LSTM or GRU nodes in the graph itself, got "
                f"{node.op_type} {node.name!r} in the body of a branch, a loop or a function: "
                "onnx.inliner.inline_local_functions(model) inlines functions; of branches and "
                "loops make a model of its own"
            )
        inside += [inner for graph in _bodies(node) for inner in graph.node]
    kinds = {f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in model.graph.node}
    only = sorted(kinds) or "nothing"
    return ValueError(f"from_onnx: the model has no RNN, LSTM or GRU node of ONNX, only {only}")


def _bodies(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g


def _wrong(name: str, what: str, expected: str, got: Any, remedy: str) -> ValueError:
    return ValueError(f"from_onnx: expected {what} of {name} {expected}, got {got}: {remedy}")


def _read(model: Any, node: Any, name: str) -> Node:
    """A node's attributes, complete, and its tensors."""
    given = _attributes(model, node, name)
    present = {label: source for label, source in zip(_INPUTS, node.input, strict=False) if source}
    tensors: dict[str, Tensor] = {}
    for label, source in present.items():
        if label in ("X", "sequence_lens"):
            continue
        value = _constant(model, source)
        if value is not None:
            tensors[label] = _tensor(name, label, value)
        elif not label.startswith("initial"):
            raise ValueError(
                f"from_onnx: expected {label} of {name} to be constant, got {source!r}, which "
                "depends on the model's inputs"
            )
    _check(name, node.op_type, given, tensors)
    for label in ("initial_h", "initial_c"):
        if label in tensors and given["layout"]:
            tensors[label] = tensors[label].transpose(0, 1)
        if label in tensors and bool((tensors[label] == 0).all()):
            del tensors[label]
    return Node(name, node.op_type, given, tensors, "sequence_lens" in present)


def _attributes(model: Any, node: Any, name: str) -> dict[str, Any]:
    """All attributes of a node, as ONNX says which there are."""
    from onnx import AttributeProto, defs
    from onnx.helper import get_attribute_value

    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    version = max(versions, default=defs.onnx_opset_version())
    version = min(version, defs.onnx_opset_version())
    known: Any = defs.get_schema(node.op_type, version, "").attributes
    given: dict[str, Any] = {"direction": b"forward", **dict.fromkeys(_FLAGS, 0)}
    for attribute in node.attribute:
        if attribute.name not in known:
            raise _wrong(
                *(name, "the attributes", f"to be among {sorted(known)}", repr(attribute.name)),
                f"{node.op_type} of opset {version} has no other",
            )
        kind = AttributeProto.AttributeType.Name(known[attribute.name].type.value)
        if attribute.type != known[attribute.name].type.value:
            got = AttributeProto.AttributeType.Name(attribute.type)
            raise _wrong(name, attribute.name, f"to be {kind}", got, "write it as that")
        given[attribute.name] = get_attribute_value(attribute)
    direction = given["direction"] = given["direction"].decode()
    if direction not in _WAYS:
        raise _wrong(name, "direction", f"to be one of {[*_WAYS]}", repr(direction), "choose one")
    for key in _FLAGS:
        if given[key] not in (0, 1):
            raise _wrong(name, key, "to be 0 or 1", given[key], "choose one")
    if not given.get("clip", 1.0) > 0:
        raise _wrong(
            name, "clip", "to be above 0", given["clip"], "leave it out where there is no limit"
        )
    if given.get("clip") == float("inf"):
        del given["clip"]
    given["activations"] = _activations(name, CELLS[node.op_type], given, _WAYS[direction])
    return given


def _tensor(name: str, label: str, array: np.ndarray[Any, Any]) -> Tensor:
    kind = array.dtype.name
    if kind not in _DTYPES:
        raise _wrong(name, label, f"to be of {', '.join(_DTYPES)}", kind, "convert it")
    wide = torch.from_numpy(array.astype("float64" if kind == "float64" else "float32"))
    return wide.to(getattr(torch, kind))


def _check(name: str, op: str, given: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """ValueError unless the tensors have the shapes that the attributes say, and one dtype."""
    for label in ("W", "R"):
        if label not in tensors:
            raise _wrong(name, f"input {label}", "to be given", "none", f"{op} needs it")
    R, ways = tensors["R"], _WAYS[given["direction"]]
    units = given.get("hidden_size", R.shape[-1] if R.dim() else 0)
    if units < 1:
        raise _wrong(name, "hidden_size", "to be 1 or more", units, "give it and the weights")
    rows = GATES[op] * units
    state = (None, ways, units) if given["layout"] else (ways, None, units)
    shapes: dict[str, tuple[int | None, ...]] = {
        "W": (ways, rows, None),
        "R": (ways, rows, units),
        "B": (ways, 2 * rows),
        "initial_h": state,
        "initial_c": state,
        "P": (ways, 3 * units),
    }
    for label, value in tensors.items():
        shape, found = shapes[label], tuple(value.shape)
        alike = zip(shape, found, strict=False)
        if len(shape) != len(found) or any(n not in (None, m) for n, m in alike):
            said = ", ".join("any" if n is None else str(n) for n in shape)
            raise _wrong(
                *(name, label, f"to have shape ({said})", found),
                f"direction={given['direction']!r}, hidden_size={units} and "
                f"layout={given['layout']} need it, so correct these or the tensor",
            )
        if value.dtype != tensors["W"].dtype:
            own, other = (str(t.dtype).removeprefix("torch.") for t in (tensors["W"], value))
            raise _wrong(name, label, f"to be of {own} as W is", other, "convert one of them")


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


def _constant(model: Any, name: str) -> np.ndarray[Any, Any] | None:
    """The value of a tensor of the graph; None if it depends on the model's inputs."""
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    held = {t.name: t for t in model.graph.initializer}
    if name in held:
        return numpy_helper.to_array(held[name])
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
    return np.asarray(ReferenceEvaluator(part).run(None, {})[0])  # type: ignore[index]
