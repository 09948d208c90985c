"""Modules exported to ONNX, and run by ONNX Runtime at other sizes than those of the example."""

import functools
import io
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

import tqdm  # noqa: E402
from torch.onnx._internal.exporter import _registration  # noqa: E402

import elman  # noqa: E402
import tests.memos  # noqa: E402, F401

tqdm.tqdm.monitor_interval = 0  # the exporter shows its progress: without a thread of its own

# The exporter lists all functions of ONNX anew for every program, which takes a third of the time.
_registry = _registration.ONNXRegistry
_registry.from_torchlib = staticmethod(functools.cache(_registry.from_torchlib))

SIZES = [(7, 2), (2, 3), (1, 1)]  # T and B


def export(module: torch.nn.Module, call: Any, T: int = 5, B: int = 3, **options: Any) -> Any:
    """The program of a module, whose sizes are free as far as ``call(T, B)``, the arguments by
    name, has them from T and B."""
    pairs = call(T, B), call(T + 1, B + 2)
    free = pytree.tree_map(
        lambda a, b: {
            i: torch.export.Dim.DYNAMIC
            for i, (m, n) in enumerate(zip(a.shape, b.shape, strict=True))
            if m != n
        },
        *pairs,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, of its own code
        return torch.onnx.export(
            module, (), kwargs=pairs[0], dynamic_shapes=free, dynamo=True, verbose=False, **options
        )


def record(
    net: torch.nn.Module, args: Any, names: list[str], axes: dict[str, dict[int, str]]
) -> bytes:
    """The program that the older exporter makes of a call."""
    program = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated
        torch.onnx.export(
            net.eval(), args, program, dynamo=False, input_names=names, dynamic_axes=axes
        )
    return program.getvalue()


def operators(program: Any) -> list[str]:
    """The recurrent nodes of a program."""
    kinds = ("RNN", "LSTM", "GRU", "Scan", "Loop")
    return [n.op_type for n in program.model_proto.graph.node if n.op_type in kinds]


@functools.lru_cache(maxsize=1)
def _session(model: bytes) -> Any:
    """One for all sizes of a program, as users have it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])


def run(model: bytes, given: Any) -> list[np.ndarray]:
    """What ONNX Runtime gives, without threads of its own."""
    session = _session(model)
    tensors = [t.numpy() for t in pytree.tree_leaves(given)]
    names = [i.name for i in session.get_inputs()]
    return session.run(None, dict(zip(names, tensors, strict=True)))


def check(module: torch.nn.Module, call: Any, wanted: list[str], tolerance: float = 1e-5) -> Any:
    """Exports a module, and compares what ONNX Runtime makes of it with the reference."""
    module.eval()
    program = export(module, call)
    assert operators(program) == wanted
    model = program.model_proto.SerializeToString()
    for T, B in SIZES:
        given = call(T, B)
        with torch.no_grad(), elman.set_path("reference"):  # which needs no kernel of its own
            expected = pytree.tree_leaves(module(**given))
        found = run(model, given)
        for actual, right in zip(found, expected, strict=True):
            assert actual.shape == tuple(right.shape)
            np.testing.assert_allclose(actual, right.numpy(), rtol=tolerance, atol=tolerance)
    return program
