"""OpenVINO in float32, its inputs and outputs bound to memory once, the weights constants."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import openvino

from elman.bench.contestants import Call
from elman.bench.task import Task

from .graph import ORDER, memory, model


def forms(task: Task) -> Sequence[str]:
    """Inference only."""
    return [""] if task.mode == "inference" and task.layer in ORDER else []


def prepare(task: Task, form: str) -> Call:
    """A run of an inference request."""
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model(task)),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",  # it would choose bfloat16 where it is quicker
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": task.threads,
        },
    )
    bound = []
    for arrays in memory(task):
        request = compiled.create_infer_request()
        for name, array in (arrays.inputs | arrays.outputs).items():
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        bound.append((request, arrays))
    turns = itertools.cycle(bound)

    def call() -> Sequence[Any]:
        request, arrays = next(turns)
        request.infer()
        return (arrays.outputs["y"],)

    return call
