"""OpenVINO, its inputs and outputs bound to memory once, the weights constants."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import openvino

from elman.bench.contestants import NARROW_TOLERANCE, TOLERANCE, Call
from elman.bench.task import Task

from .graph import ORDER, memory, model


class Requests:
    """Inference requests, in arithmetic of some precision; within which ``tolerance`` their results
    agree follows from that."""

    def __init__(self, precision: str, tolerance: float) -> None:
        self._precision, self.tolerance = precision, tolerance

    def forms(self, task: Task) -> Sequence[str]:
        """Inference only."""
        return [""] if task.mode == "inference" and task.layer in ORDER else []

    def prepare(self, task: Task, form: str) -> Call:
        """A run of an inference request."""
        core = openvino.Core()
        compiled = core.compile_model(
            core.read_model(model(task)),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": self._precision,
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


FLOAT32 = Requests("f32", TOLERANCE)  # left to itself it takes bfloat16 where that is quicker
BFLOAT16 = Requests("bf16", NARROW_TOLERANCE)
