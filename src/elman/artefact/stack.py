"""A module as an artefact takes it: of each layer the formula, sizes, weights and states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..batch import LayerArgs, Weights
from ..compiler.formats import Format, Numbers
from ..compiler.narrow import NARROW
from ..dispatch.weight_dtypes import check_formula, check_weight_dtype, copies, narrow_of
from ..nn.layers import MERGES
from ..nn.parts import POOLS, check_fits, parts_of, pooled
from ..reference import layer as reference_layer
from ..rows import Rows
from ..spaces import Sizes
from ..step import Step, unmasked

_KINDS = {torch.float32: "float", torch.float64: "double"}


@dataclass(frozen=True)
class Level:
    """One layer. ``weights`` and ``initial`` are in the order of ``step.parameters`` and
    ``step.states``; the weights have the numbers that the artefact computes with. A ``residual``
    layer adds what it is given to what it gives.

    ``back`` is the second direction, whose output is beside that of the first, or merged with it.
    Behind a layer with a ``pool``, one row stands for the sequence."""

    step: Step
    sizes: Sizes
    weights: Sequence[Tensor | None]
    initial: Sequence[Tensor]
    residual: bool = False
    back: Level | None = None
    merge: str = "concat"
    pool: str = ""

    @property
    def ways(self) -> Sequence[Level]:
        """Each direction as a layer of its own."""
        return [self] if self.back is None else [self, self.back]

    @property
    def way_units(self) -> int:
        """Numbers of the output of one direction."""
        return self.sizes[self.step.output_space]

    @property
    def step_units(self) -> int:
        """Numbers of the output of a step."""
        return self.way_units * (2 if self.back is not None and self.merge == "concat" else 1)

    @property
    def units(self) -> int:
        """Numbers that the layer gives to what follows."""
        return self.step_units * len(POOLS.get(self.pool, ("as it is",)))

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
    """Layers on one another; below them an embedding ``(tokens, features)`` if the input is
    tokens."""

    levels: Sequence[Level]
    embedding: Tensor | None
    dtype: str  # "float" or "double"
    panel: Format
    about: str  # the module, in words
    max_steps: int = 0  # of a sequence that is needed as a whole; 0 if each step has its result

    @property
    def number_bytes(self) -> int:
        """Bytes of a number."""
        return {"float": 4, "double": 8}[self.dtype]

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights as they are stored."""
        every = (w for level in self.levels for w in level.weights if w is not None)
        return self.panel.size * sum(w.numel() for w in every)

    @property
    def whole(self) -> bool:
        """Whether sequences are needed as a whole."""
        return self.max_steps > 0

    @property
    def pooled(self) -> bool:
        """Whether the output is one row for a sequence."""
        return any(level.pool for level in self.levels)

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
        """What comes of ``(T, I)`` or ``(T, B, I)`` by the reference, in float64; a token is one of
        ``I``. Further inputs are ``(T, F)``, F as :attr:`further` says. T is 1 if the output is
        pooled."""
        given = dict(zip(self.further, inputs, strict=True))
        rows = x if x.ndim == 3 else x[:, None]
        y = (rows if self.embedding is None else self.embedding[rows[..., 0]]).double()
        B = y.shape[1]
        for level in self.levels:
            further = [
                given[name].double()[:, None].expand(-1, B, level.sizes[space])
                for name in level.step.inputs
                for space in [level.step.input_space(name)]
            ]
            weights = [
                Weights.of([None if t is None else t.double() for t in way.weights])
                for way in level.ways
            ]
            states = zip(*(way.initial for way in level.ways), strict=True)
            initial = [torch.stack(s).double()[:, None].expand(-1, B, -1) for s in states]
            args = LayerArgs(y, initial, further, weights)
            found, _ = reference_layer(level.step, Rows(len(y), B, len(y) * B), args)
            if merge := MERGES[level.merge] if level.back is not None else None:
                found = merge(*found.chunk(2, -1))
            y = found + y if level.residual else found
            y = pooled(level.pool, y, level.way_units) if level.pool else y
        return y if x.ndim == 3 else y[:, 0]


def stack_of(module: Any, weight_dtype: torch.dtype | None, max_steps: int | None = None) -> Stack:
    """A module as it is now, as in evaluation.

    Raises:
        TypeError: it is, or has, a module that artefacts don't have.
        ValueError: dtypes that artefacts do not compute in; parts that don't go together;
            ``max_steps`` that are missing, or of no use.
    """
    check_weight_dtype("export", weight_dtype)
    with torch.no_grad():
        embedding, layers = parts_of("export", module)
        levels = list[Level]()
        for layer, pool in layers:
            below = None if embedding is None else embedding.embedding_dim
            check_fits("export", layer, levels[-1].units if levels else below)
            levels += _levels(layer, weight_dtype)
            levels[-1] = replace(levels[-1], pool=pool)
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
    steps = _max_steps(levels, max_steps)
    return Stack(levels, table, dtype, panel, " ".join(repr(module).split()), steps)


def _max_steps(levels: Sequence[Level], given: int | None) -> int:
    """The most steps of a sequence, if it is needed as a whole."""
    two_ways = any(level.back is not None for level in levels)
    if not two_ways and not any(level.pool for level in levels):
        if given is not None:
            raise ValueError(
                "export: expected max_steps of modules that need a whole sequence only, got "
                f"{given!r} for one that reads step by step: leave it out"
            )
        return 0
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    got = "none" if given is None else repr(given)
    kind = "of two directions, the second of which begins at the end" if two_ways else "that pools"
    raise ValueError(
        f"export: expected max_steps, the most steps of a sequence, for a module {kind}: so many "
        f"have room in the caller's memory; got {got}"
    )


def _levels(module: Any, weight_dtype: torch.dtype | None) -> list[Level]:
    """The layers of a module."""
    step = module._step()
    check_formula("export", step, weight_dtype)
    names, found = module._weight_names(step), module._layer_weights(step)
    layers = zip(names, found, strict=True)
    own = [copies("export", step, *layer, weight_dtype) for layer in layers]
    step = unmasked(step)  # zeros are left out where weights are stored
    weights = [[None if t is None else _plain(t) for t in mine] for mine in own]
    D = 2 if getattr(module, "bidirectional", False) else 1
    merge, residual = getattr(module, "merge", "concat"), bool(getattr(module, "residual", False))
    initial = iter(_initial(module, step))
    levels, width = list[Level](), module.input_size
    for i in range(0, len(weights), D):
        ways = list[Level]()
        for mine in weights[i : i + D]:
            sizes = Weights.of(mine).sizes(step).with_input(width)
            begin = next(initial, None) or _zeros(step, sizes, mine)
            ways.append(Level(step, sizes, mine, begin))
        first, back = ways[0], ways[1] if D == 2 else None
        levels.append(replace(first, residual=residual and i > 0, back=back, merge=merge))
        width = levels[-1].units
    return levels


def _plain(given: Tensor) -> Tensor:
    """On the CPU, row after row."""
    return given.detach().cpu().contiguous()


def _initial(module: Any, step: Step) -> Iterator[list[Tensor]]:
    """The learned initial states of each layer and direction; nothing if they are zeros."""
    if getattr(module, "learn_initial", False):
        learned = [module._learned(name, 1) for name in step.states]
        for layer in zip(*learned, strict=True):
            for way in zip(*layer, strict=True):
                yield [_plain(state.detach().reshape(-1).clone()) for state in way]


def _zeros(step: Step, sizes: Sizes, weights: Sequence[Tensor | None]) -> list[Tensor]:
    like = next(t for t in weights if t is not None)
    return [like.new_zeros(sizes[step.space(name)]) for name in step.states]
