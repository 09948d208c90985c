"""A task as an ONNX graph, one node a layer, and the memory that a runtime reads and writes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from elman.bench.task import Task

FLOAT = onnx.TensorProto.FLOAT
# Of torch's gates, in the order in which ONNX wants them: LSTM i, o, f, c; GRU z, r, h.
ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}


class Memory(NamedTuple):
    """Arrays by the graph's names; the output is "y"."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def memory(task: Task) -> list[Memory]:
    """For the calls in turn: a streaming call reads the states that the one before has written."""
    x, output = task.input(), np.empty_like(task.gradient())
    if not task.streaming:
        return [Memory({"x": x}, {"y": output})]
    first = task.states()
    second = [np.empty_like(state) for state in first]
    return [
        Memory(
            {"x": x, **_by_layer(task, "state", before)},
            {"y": output, **_by_layer(task, "new", after)},
        )
        for before, after in ((first, second), (second, first))
    ]


def _by_layer(task: Task, name: str, states: list[np.ndarray]) -> dict[str, np.ndarray]:
    shape = (task.num_layers, task.directions, task.B, task.H)
    return {
        f"{name}{i}_{layer}": part
        for i, state in enumerate(states)
        for layer, part in enumerate(state.reshape(shape))
    }


def model(task: Task) -> bytes:
    """The graph with its weights, serialised."""
    parameters = task.parameters()
    nodes, constants = [], []
    ends = ("", "_reverse")[: task.directions]
    value = "x"

    def stacked(name: str, layer: int) -> np.ndarray:
        found = [parameters[f"{name}_l{layer}{end}"] for end in ends]
        gates = [np.split(array, task.gates) for array in found]
        return np.stack([np.concatenate([g[i] for i in ORDER[task.layer]]) for g in gates])

    def constant(name: str, array: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(array, name))
        return name

    both = constant("both", np.array([0, 0, -1], np.int64))
    for layer in range(task.num_layers):
        biases = [stacked(name, layer) for name in ("bias_ih", "bias_hh")]
        states = range(task.states_of_a_step if task.streaming else 0)
        nodes.append(
            helper.make_node(
                task.layer,
                [
                    value,
                    constant(f"W{layer}", stacked("weight_ih", layer)),
                    constant(f"R{layer}", stacked("weight_hh", layer)),
                    constant(f"B{layer}", np.concatenate(biases, axis=1)),
                    "",  # all sequences are of full length
                    *(f"state{i}_{layer}" for i in states),
                ],
                [f"steps{layer}", *(f"new{i}_{layer}" for i in states)],
                hidden_size=task.H,
                direction="bidirectional" if task.bidirectional else "forward",
                # torch's GRU multiplies the reset gate with the product, not with the state
                **({"linear_before_reset": 1} if task.layer == "GRU" else {}),
            )
        )
        # (T, directions, B, H) becomes (T, B, directions * H).
        last = layer == task.num_layers - 1
        turned, value = f"turned{layer}", "y" if last else f"value{layer}"
        nodes.append(helper.make_node("Transpose", [f"steps{layer}"], [turned], perm=[0, 2, 1, 3]))
        nodes.append(helper.make_node("Reshape", [turned, both], [value]))
    described = [
        [helper.make_tensor_value_info(name, FLOAT, array.shape) for name, array in which.items()]
        for which in memory(task)[0]
    ]
    graph = helper.make_graph(nodes, task.layer, *described, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()
