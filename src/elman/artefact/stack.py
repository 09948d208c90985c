"""A module as an artefact takes it: the formula, and of each layer sizes, weights and states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..batch import LayerArgs, Weights
from ..compiler.formats import Format, Numbers
from ..compiler.narrow import NARROW
from ..dispatch.weight_dtypes import check_formula, check_weight_dtype, copies, narrow_of
from ..nn.base import RecurrentModule
from ..reference import layer as reference_layer
from ..rows import Rows
from ..spaces import Sizes
from ..step import Step

_KINDS = {torch.float32: "float", torch.float64: "double"}


@dataclass(frozen=True)
class Stack:
    """Layers on one another, in one direction.

    ``weights`` and ``initial`` are those of each layer, in the order of ``step.parameters`` and
    ``step.states``; the weights have the numbers that the artefact computes with.
    """

    step: Step
    sizes: Sequence[Sizes]
    weights: Sequence[Sequence[Tensor | None]]
    initial: Sequence[Sequence[Tensor]]
    residual: bool
    dtype: str  # "float" or "double"
    panel: Format
    about: str  # the module, in words

    @property
    def width(self) -> int:
        """Features of the input."""
        return self.sizes[0].width

    @property
    def units(self) -> int:
        """Numbers of the output."""
        return self.sizes[-1][self.step.output_space]

    @property
    def further(self) -> dict[str, int]:
        """How many numbers each further input has: one if layers have different sizes."""
        found = {}
        for name in self.step.inputs:
            units = {size[self.step.input_space(name)] for size in self.sizes}
            found[name] = units.pop() if len(units) == 1 else 1
        return found

    def named(self, layer: int) -> dict[str, Numbers]:
        """A layer's weights by their names."""
        pairs = zip(self.step.parameters, self.weights[layer], strict=True)
        return {name: tensor.numpy() for name, tensor in pairs if tensor is not None}

    def run(self, x: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        """What comes of ``(T, I)`` by the reference, in float64; further inputs are ``(T, F)``, F
        as :attr:`further` says."""
        rows = Rows(len(x), 1, len(x))
        y = x.double()[:, None]
        for i, size in enumerate(self.sizes):
            further = [
                value.double()[:, None].expand(-1, 1, size[self.step.input_space(name)])
                for name, value in zip(self.step.inputs, inputs, strict=True)
            ]
            mine = Weights.of([None if t is None else t.double() for t in self.weights[i]])
            initial = [state.double()[None, None] for state in self.initial[i]]
            found, _ = reference_layer(self.step, rows, LayerArgs(y, initial, further, [mine]))
            y = found + y if self.residual and i else found
        return y[:, 0]


def stack_of(module: Any, weight_dtype: torch.dtype | None) -> Stack:
    """A module as it is now, as in evaluation.

    Raises:
        TypeError: it is none of elman's.
        ValueError: it has two directions, or a dtype that artefacts do not compute in.
    """
    if not isinstance(module, RecurrentModule):
        raise TypeError(
            f"export: expected a layer or cell of elman, got {type(module).__name__}; "
            "elman.accelerate turns torch.nn's into elman's"
        )
    if getattr(module, "bidirectional", False):
        raise ValueError("export: expected one direction; the second one begins at the end")
    check_weight_dtype("export", weight_dtype)
    step = module._step()
    check_formula("export", step, weight_dtype)
    with torch.no_grad():
        names, found = module._weight_names(step), module._layer_weights(step)
        first = next(t for t in found[0] if t is not None)
        _check(first.dtype)
        layers = zip(names, found, strict=True)
        own = [copies("export", *layer, weight_dtype) for layer in layers]
        weights = [[None if t is None else _plain(t) for t in mine] for mine in own]
        sizes, width = list[Sizes](), module.input_size
        for mine in weights:
            sizes.append(Weights.of(mine).sizes(step).with_input(width))
            width = sizes[-1][step.output_space]
        initial = _initial(module, step, sizes, weights)
    narrow = narrow_of(weight_dtype)
    panel = NARROW[narrow] if narrow else Format(_KINDS[first.dtype])
    residual = bool(getattr(module, "residual", False))
    shown = " ".join(repr(module).split())
    return Stack(step, sizes, weights, initial, residual, _KINDS[first.dtype], panel, shown)


def _check(dtype: torch.dtype) -> None:
    if dtype not in _KINDS:
        raise ValueError(
            f"export: expected a module of torch.float32 or torch.float64, got one of {dtype}: "
            "module.float() converts it"
        )


def _plain(given: Tensor) -> Tensor:
    """On the CPU, row after row."""
    return given.cpu().contiguous()


def _initial(
    module: Any, step: Step, sizes: Sequence[Sizes], weights: Sequence[Sequence[Tensor | None]]
) -> list[list[Tensor]]:
    """The initial states of each layer: learned, or zeros."""
    if getattr(module, "learn_initial", False):
        learned = [module._learned(name, 1) for name in step.states]
        by_layer = zip(*learned, strict=True)
        return [[_plain(state.detach().reshape(-1).clone()) for state in mine] for mine in by_layer]
    like = next(t for t in weights[0] if t is not None)
    return [[like.new_zeros(size[step.space(name)]) for name in step.states] for size in sizes]
