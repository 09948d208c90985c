"""Weights that stay packed between calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..batch import zeroed
from ..runtime.alignment import ALIGNMENT
from ..runtime.memory import new_block
from ..step import Step
from .calls import NativeCall
from .kernel import Kernel
from .table import Launch


class PackedWeights:
    """The weights of a module as its passes read them, packed once, on first use.

    Passes of the same kernel share what is packed, whatever their rows and steps. Nobody may change
    the weights meanwhile.

    Args:
        rounded: what a matrix is packed as, if not as it is.
    """

    def __init__(self, rounded: Callable[[Tensor], Tensor] | None = None) -> None:
        self._rounded = rounded
        self._blocks: dict[tuple[Any, ...], tuple[Any, int, Sequence[Tensor | None]]] = {}

    def read_by(
        self, run: Launch, kernel: Kernel, tensors: Sequence[Tensor | None], direction: int = 0
    ) -> Launch:
        """A forward pass that reads them instead of packing its own; the ``tensors`` are those that
        it has been prepared for, with the weights themselves."""
        first = kernel.first_weight(direction)
        own = range(first, first + len(kernel.plan.step.parameters))
        weights = tensors[first : own.stop]
        # The units of each space are packed slice by slice.
        spaces = [space.stored for space in kernel.plan.step.spaces]
        slices = tuple(min(run.slot(s.slice), run.slot(s.padded)) for s in spaces)
        key = kernel, direction, slices, *map(id, weights)
        block = self._blocks.get(key)
        if block is None:
            owner, address = new_block(run.packed_bytes)
            given = [
                self._number(kernel.plan.step, n - first, t) if n in own else t
                for n, t in enumerate(tensors)
            ]
            packing = run.reading(address, owner)
            nobody = {"packed": 0, "T": 0, "unit.slices": 1, "team": 0}  # takes a step
            packing = packing.with_slots({s: n for s, n in nobody.items() if s in run.at})
            NativeCall([(packing.hold(given, ()), ())]).run([])
            # Of two threads that have packed the same, one goes first. The weights keep their ids.
            block = self._blocks.setdefault(key, (owner, address, weights))
        owner, address, _ = block
        return run.reading(address, owner)

    def _number(self, step: Step, number: int, weight: Tensor | None) -> Tensor | None:
        if weight is None or weight.dim() < 2 or self._rounded is None:
            return weight
        own = torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype, device="cpu")
        kept = zeroed(step, step.parameters[number], weight.detach())
        return own.copy_(self._rounded(kept))

    @property
    def nbytes(self) -> int:
        """What they take in memory."""
        return sum(owner.nbytes() - ALIGNMENT + 1 for owner, *_ in self._blocks.values())
