"""A module as an artefact takes it: of each layer the formula, sizes, weights and states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from .parts import parts_of

_KINDS = {torch.float32: "float", torch.float64: "double"}


@dataclass(frozen=True)
class Level:
    """One layer. ``weights`` and ``initial`` are in the order of ``step.parameters`` and
    ``step.states``; the weights have the numbers that the artefact computes with. A ``residual``
    layer adds what it is given to what it gives."""

    step: Step
    sizes: Sizes
    weights: Sequence[Tensor | None]
    initial: Sequence[Tensor]
    residual: bool

    @property
    def units(self) -> int:
        """Numbers of the output."""
        return self.sizes[self.step.output_space]

    def named(self) -> dict[str, Numbers]:
        """The weights by their names."""
        pairs = zip(self.step.parameters, self.weights, strict=True)
        return {name: tensor.numpy() for name, tensor in pairs if tensor is not None}

    def repeated(self, further: Mapping[str, int]) -> list[str]:
        """The further inputs that have one number for all units."""
        spaces = {name: self.step.input_space(name) for name in self.step.inputs}
        return [name for name, space in spaces.items() if further[name] != self.sizes[space]]


@dataclass(frozen=True)
class Stack:
    """Layers on one another, in one direction; below them an embedding ``(tokens, features)``
    if the input is tokens."""

    levels: Sequence[Level]
    embedding: Tensor | None
    dtype: str  # "float" or "double"
    panel: Format
    about: str  # the module, in words

    @property
    def tokens(self) -> int:
        """How many tokens there are; 0 if the input is numbers."""
        return 0 if self.embedding is None else len(self.embedding)

    @property
    def width(self) -> int:
        """Numbers of the input; a token is one."""
        return 1 if self.tokens else self.levels[0].sizes.width

    @property
    def units(self) -> int:
        """Numbers of the output."""
        return self.levels[-1].units

    @property
    def further(self) -> dict[str, int]:
        """How many numbers each further input has: one if layers have different sizes."""
        found: dict[str, set[int]] = {}
        for level in self.levels:
            for name in level.step.inputs:
                found.setdefault(name, set()).add(level.sizes[level.step.input_space(name)])
        return {name: units.pop() if len(units) == 1 else 1 for name, units in found.items()}

    def run(self, x: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        """What comes of ``(T, I)``, or of tokens ``(T, 1)``, by the reference, in float64; further
        inputs are ``(T, F)``, F as :attr:`further` says."""
        rows, given = Rows(len(x), 1, len(x)), dict(zip(self.further, inputs, strict=True))
        y = (x if self.embedding is None else self.embedding[x[:, 0]]).double()[:, None]
        for level in self.levels:
            further = [
                given[name].double()[:, None].expand(-1, 1, level.sizes[space])
                for name in level.step.inputs
                for space in [level.step.input_space(name)]
            ]
            mine = Weights.of([None if t is None else t.double() for t in level.weights])
            initial = [state.double()[None, None] for state in level.initial]
            args = LayerArgs(y, initial, further, [mine])
            found, _ = reference_layer(level.step, rows, args)
            y = found + y if level.residual else found
        return y[:, 0]


def stack_of(module: Any, weight_dtype: torch.dtype | None) -> Stack:
    """A module as it is now, as in evaluation.

    Raises:
        TypeError: it is, or has, a module that artefacts don't have.
        ValueError: it has two directions, or dtypes that artefacts do not compute in, or its parts
            don't go together.
    """
    check_weight_dtype("export", weight_dtype)
    with torch.no_grad():
        embedding, layers = parts_of(module)
        levels = list[Level]()
        for layer in layers:
            _check(layer, levels[-1].units if levels else embedding)
            levels += _levels(layer, weight_dtype)
        table = None if embedding is None else _plain(embedding.weight)
    dtypes = {t.dtype for level in levels for t in level.weights if t is not None}
    if table is not None:
        dtypes.add(table.dtype)
    if len(dtypes) > 1 or not dtypes & _KINDS.keys():
        raise ValueError(
            "export: expected a module of torch.float32 or torch.float64, got one of "
            f"{' and '.join(sorted(map(str, dtypes)))}: module.float() converts it"
        )
    dtype = _KINDS[dtypes.pop()]
    narrow = narrow_of(weight_dtype)
    panel = NARROW[narrow] if narrow else Format(dtype)
    return Stack(levels, table, dtype, panel, " ".join(repr(module).split()))


def _check(layer: RecurrentModule, below: int | torch.nn.Embedding | None) -> None:
    """Whether a layer can be on top of what is below."""
    if getattr(layer, "bidirectional", False):
        raise ValueError("export: expected one direction; the second one begins at the end")
    if isinstance(below, torch.nn.Embedding):
        below = below.embedding_dim
    if below is not None and below != layer.input_size:
        raise ValueError(
            f"export: expected modules that go together, got {below} features for "
            f"{' '.join(repr(layer).split())}, whose input_size is {layer.input_size}"
        )


def _levels(module: Any, weight_dtype: torch.dtype | None) -> list[Level]:
    """The layers of a module."""
    step = module._step()
    check_formula("export", step, weight_dtype)
    names, found = module._weight_names(step), module._layer_weights(step)
    layers = zip(names, found, strict=True)
    own = [copies("export", *layer, weight_dtype) for layer in layers]
    weights = [[None if t is None else _plain(t) for t in mine] for mine in own]
    sizes, width = list[Sizes](), module.input_size
    for mine in weights:
        sizes.append(Weights.of(mine).sizes(step).with_input(width))
        width = sizes[-1][step.output_space]
    initial = _initial(module, step, sizes, weights)
    residual = bool(getattr(module, "residual", False))
    every = zip(sizes, weights, initial, strict=True)
    return [Level(step, *each, residual and number > 0) for number, each in enumerate(every)]


def _plain(given: Tensor) -> Tensor:
    """On the CPU, row after row."""
    return given.detach().cpu().contiguous()


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
