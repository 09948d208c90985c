"""Models of one recurrent node, and what runs them."""

from typing import Any

import numpy as np
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

STATES = {"RNN": ("h",), "LSTM": ("h", "c"), "GRU": ("h",)}
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def model(
    op: str,
    tensors: dict[str, Any],
    attributes: dict[str, Any],
    inputs: tuple[str, ...] = ("X",),
    name: str = "",
) -> ModelProto:
    """A model of one node, of whose tensors all but the ``inputs`` are constants."""
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    outputs = ["Y", "Y_h", "Y_c"][: 1 + len(STATES[op])]
    named = [n if n in tensors else "" for n in order]
    while not named[-1]:
        named.pop()
    node = helper.make_node(op, named, outputs, name=name, **attributes)
    given = [
        helper.make_tensor_value_info(
            n, helper.np_dtype_to_tensor_dtype(tensors[n].dtype), tensors[n].shape
        )
        for n in inputs
    ]
    found = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
    constants = [
        numpy_helper.from_array(value, n) for n, value in tensors.items() if n not in inputs
    ]
    graph = helper.make_graph([node], "one", given, found, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def call(layer: torch.nn.Module, op: str, tensors: dict[str, Any], layout: int = 0) -> list[Any]:
    """What a layer gives for a node's tensors, in the form of the node's results."""
    options: dict[str, Any] = {}
    if "sequence_lens" in tensors:
        options["lengths"] = torch.from_numpy(tensors["sequence_lens"].copy())
    states = [
        torch.from_numpy(tensors[f"initial_{s}"]) for s in STATES[op] if f"initial_{s}" in tensors
    ]
    if layout:
        states = [s.transpose(0, 1) for s in states]
    hx = None if not states else tuple(states) if len(states) > 1 else states[0]
    with torch.no_grad():
        output, final = layer(torch.from_numpy(tensors["X"].copy()), hx, **options)
    finals = list(final) if isinstance(final, tuple) else [final]
    D = finals[0].shape[0]
    output = output.unflatten(-1, (D, -1))
    if layout:
        return [output.numpy(), *(f.transpose(0, 1).numpy() for f in finals)]
    return [output.transpose(1, 2).numpy(), *(f.numpy() for f in finals)]


def random(op: str, seed: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and attributes of a node, which may have anything that ONNX Runtime takes."""
    draw = np.random.default_rng(seed)
    T, B, I, H = (int(draw.integers(1, n)) for n in (7, 5, 6, 8))  # noqa: E741
    direction = str(draw.choice(["forward", "reverse", "bidirectional"]))
    D, G = 1 + (direction == "bidirectional"), GATES[op]

    def some(*shape: int) -> np.ndarray:
        return draw.uniform(-0.9, 0.9, shape).astype("float32")

    def maybe(chance: float = 0.5) -> bool:
        return bool(draw.random() < chance)

    tensors = {"X": some(T, B, I), "W": some(D, G * H, I), "R": some(D, G * H, H)}
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": H}
    if maybe(0.7):
        tensors["B"] = some(D, 2 * G * H)
    if maybe():
        tensors["sequence_lens"] = draw.integers(1, T + 1, B).astype("int32")
    if maybe():
        tensors |= {f"initial_{s}": some(D, B, H) for s in STATES[op]}
    if op == "LSTM" and maybe():
        tensors["P"] = some(D, 3 * H)
    if op == "LSTM" and maybe():
        attributes["input_forget"] = 1
    if op == "GRU" and maybe():
        attributes["linear_before_reset"] = 1
    if maybe(0.4):
        attributes["clip"] = float(draw.uniform(0.2, 1.5))
    if maybe(0.6):
        attributes |= _activations(op, D, draw, maybe())
    return tensors, attributes


def _activations(op: str, D: int, draw: np.random.Generator, alike: bool) -> dict[str, Any]:
    """Activations, with and without numbers; those that have none of their own get some."""
    count = {"RNN": 1, "LSTM": 3, "GRU": 2}[op]
    needs = {"Affine": "ab", "ScaledTanh": "ab", "ThresholdedRelu": "a"}
    takes = needs | {"LeakyRelu": "a", "Elu": "a", "HardSigmoid": "ab"}
    plain = ["Relu", "Tanh", "Sigmoid", "Softsign", "Softplus"]
    names = [str(n) for n in draw.choice([*plain, *takes], count if alike else count * D)]
    names = names * D if alike else names
    found: dict[str, Any] = {"activations": names}
    if any(n in takes for n in names) and (any(n in needs for n in names) or draw.random() < 0.5):
        for key, letter in (("activation_alpha", "a"), ("activation_beta", "b")):
            numbers = [float(draw.uniform(0.1, 0.6)) for n in names if letter in takes.get(n, "")]
            if numbers:
                found[key] = numbers
    return found
