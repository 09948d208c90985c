"""ONNX Runtime, its inputs and outputs bound to memory once, the weights constants."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime

from elman.bench.contestants import Call
from elman.bench.task import Task

from .graph import ORDER, memory, model


def forms(task: Task) -> Sequence[str]:
    """Inference only."""
    return [""] if task.mode == "inference" and task.layer in ORDER else []


def prepare(task: Task, form: str) -> Call:
    """A run of the session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
    session = onnxruntime.InferenceSession(model(task), options, ["CPUExecutionProvider"])
    bound = []
    for arrays in memory(task):
        binding = session.io_binding()
        binds = (binding.bind_input, binding.bind_output)
        for bind, named in zip(binds, arrays, strict=True):
            for name, array in named.items():
                bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        bound.append((binding, arrays))
    turns = itertools.cycle(bound)

    def call() -> Sequence[Any]:
        binding, arrays = next(turns)
        session.run_with_iobinding(binding)
        return (arrays.outputs["y"],)

    return call
