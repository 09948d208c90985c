"""The kernels of a session for chunks of one length, with all memory that they need."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..batch import Rows, Weights
from ..cell import Step
from ..compiler.calls import Held, check_memory
from ..errors import PathError
from ..execution import bind
from ..passes import INFER
from ..paths import obstacle


class Chunk:
    """A stack of layers over ``T`` steps.

    Args:
        step: the formula.
        T: how many steps.
        width: features of the input.
        weights: of each layer, in the order of ``step.parameters``; nobody else changes them.
        states: of each layer, ``(1, B, H)`` each: read, and written.
        residual: whether every layer but the first adds its input to its output.
        weight_dtype: what the matrices are packed in, if it is narrower than they are.

    Raises:
        PathError: where kernels cannot run.
    """

    def __init__(
        self,
        step: Step,
        T: int,
        width: int,
        weights: Sequence[Sequence[Tensor | None]],
        states: Sequence[Sequence[Tensor]],
        residual: bool,
        weight_dtype: torch.dtype | None,
    ) -> None:
        self._names, self._residual = step.inputs, residual
        like = states[0][0]
        B = like.shape[1]
        rows = Rows(T, B, T * B)
        x = like.new_zeros(T, B, width)
        self._layers: list[Held] = []
        self._outputs: list[Tensor] = []
        for held, mine in zip(weights, states, strict=True):
            units, projected = Weights.of(held).sizes(step)
            further = [like.new_zeros(T, B, units) for _ in step.inputs]
            tensors = [x, *mine, *further, *held]
            bound = bind(step, rows, tensors, weight_dtype=weight_dtype)
            if bound is None:
                raise PathError(f"Stream: kernels are not possible here: {obstacle(tensors)}")
            results = [like.new_zeros(T, B, projected), *mine]
            threads = bound.passes.threads(INFER)
            ready = bound.kernel.forward(rows, bound.sizes[0], tensors, results, (), False, threads)
            self._layers.append(Held(ready, [*tensors, *results, None, None]))
            x = results[0]
            self._outputs.append(x)
        self.output = x

    def run(
        self, x: Tensor, strides: tuple[int, ...], further: Sequence[Sequence[Tensor]] = ()
    ) -> None:
        """All layers, from ``x`` to ``output``; ``strides`` are those of time, rows (not if there
        is one row) and units. ``further`` has the further inputs of each layer, ``(T, B, H)``."""
        address = x.data_ptr()
        if not address:
            check_memory(x)
        self._layers[0].point("x", address, strides)
        for layer, inputs in zip(self._layers, further, strict=False):
            for name, value in zip(self._names, inputs, strict=True):
                layer.point(f"input.{name}", value.data_ptr(), value.stride())
        for number, layer in enumerate(self._layers):
            layer()
            if self._residual and number:
                self._outputs[number] += self._outputs[number - 1]
