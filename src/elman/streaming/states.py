"""The states of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..batch import Weights
from ..dispatch.select import arithmetic
from ..nn.layers import LayerStack
from ..step import Step


class States:
    """Memory that kernels read and write: ``whole`` is in the form in which the module takes and
    returns states, ``by_layer`` has views of it, for each layer all its states, ``(1, B, H)``.
    They are of the dtype that the module is computed in: nothing is rounded between calls.

    Args:
        module: a layer or cell.
        step: its formula.
        weights: of each layer.
        lead: ``(B,)``, or empty for a single stream, whose states lack that dimension.
    """

    def __init__(
        self,
        module: Any,
        step: Step,
        weights: Sequence[Sequence[Tensor | None]],
        lead: tuple[int, ...],
    ) -> None:
        weight = next(t for t in weights[0] if t is not None)
        like = weight.new_empty((), dtype=arithmetic([weight]) or weight.dtype)
        by_state: list[list[Tensor]] = []
        buffers: list[Any] = []
        sizes = [Weights.of(mine).sizes(step) for mine in weights]
        for name in step.states:
            units = [of[step.space(name)] for of in sizes]
            if isinstance(module.hidden_size, int):
                layers = (len(units),) if isinstance(module, LayerStack) else ()
                whole = like.new_zeros(*layers, *lead, units[0])
                buffers.append(whole)
                by_state.append([*whole.view(len(units), 1, -1, units[0])])
            else:
                parts = [like.new_zeros(1, *lead, size) for size in units]
                buffers.append(parts)
                by_state.append([p.view(1, -1, p.shape[-1]) for p in parts])
        self.whole = tuple(buffers) if len(buffers) > 1 else buffers[0]
        self.by_layer = [[*of] for of in zip(*by_state, strict=True)]
        self._every = [state for mine in self.by_layer for state in mine]
        self.initial: list[Tensor] = []
        self._bytes: list[tuple[memoryview, bytes]] = []

    def begin_with(self, module: Any, step: Step) -> None:
        """What :meth:`reset` sets them to: what the module has learned, or zeros."""
        initial = [torch.zeros_like(state) for state in self._every]
        if getattr(module, "learn_initial", False):
            learned = [module._learned(name, 1) for name in step.states]
            each = [state for mine in zip(*learned, strict=True) for state in mine]
            for mine, state in zip(initial, each, strict=True):
                mine.copy_(state)
        self.begin_at(initial)

    def begin_at(self, initial: list[Tensor]) -> None:
        """What :meth:`reset` sets them to, in the order of the layers."""
        self.initial = initial
        self._bytes = [
            (memoryview(state.numpy()).cast("B"), initial.numpy().tobytes())
            for state, initial in zip(self._every, self.initial, strict=True)
        ]

    def reset(self, rows: Any = None) -> None:
        """Sets some rows to what they begin with, by default all."""
        if rows is None:
            for memory, initial in self._bytes:  # a tenth of what an operator takes
                memory[:] = initial
        else:
            for state, start in zip(self._every, self.initial, strict=True):
                state[:, rows] = start[:, rows]
