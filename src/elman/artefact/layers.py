"""The layers of an artefact: the code of each, and where memory has its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..compiler.forward import emit_layer
from ..compiler.ir import Module
from ..compiler.plan import plan_of
from ..compiler.sizes import KernelSpec, Layer, one_layer, padded_sizes
from ..compiler.target import Target, Use, target_of
from ..runtime.alignment import aligned
from ..step import Step
from .stack import Level, Stack
from .targets import Machine
from .weights import packed, vectors


class Memory:
    """Memory that is given out piece by piece, each aligned."""

    def __init__(self) -> None:
        self.content = bytearray()

    @property
    def end(self) -> int:
        return len(self.content)

    def take(self, what: bytes) -> int:
        """Where a piece lies."""
        place = self.end
        self.content += what.ljust(aligned(len(what)), b"\0")
        return place


class LayerCode(NamedTuple):
    """The code of a layer: what it is made for, and its name."""

    layer: Layer
    symbol: str


@dataclass(frozen=True)
class Part:
    """A layer: its code for a step, and for a piece of several; where the caller's memory has its
    states, and where its packed weights, learned vectors and initial states are among the
    constants."""

    level: Level
    codes: dict[int, LayerCode]  # by how many steps
    states: dict[str, int]
    weights: int
    vectors: dict[str, int]
    initial: dict[str, int]  # but for zeros
    row: int  # numbers in a row of its outputs

    @property
    def layer(self) -> Layer:
        """That of a step."""
        return self.codes[1].layer


class Layout:
    """Lays out layers, and adds their code to a module."""

    def __init__(self, module: Module, stack: Stack, machine: Machine, piece: int) -> None:
        self.state, self.constants = Memory(), Memory()
        self._module, self._stack, self._machine, self._piece = module, stack, machine, piece
        self._symbols: dict[tuple[Step, Target], str] = {}

    def part(self, number: int) -> Part:
        """A layer of the stack."""
        level = self._stack.levels[number]
        sizes, weights, step = level.sizes, level.named(), level.step
        codes = {steps: self._code(number, steps) for steps in dict.fromkeys((1, self._piece))}
        layer = codes[1].layer
        rows = {
            name: value.numpy().tobytes().ljust(layer.row_bytes(step.space(name)), b"\0")
            for name, value in zip(step.states, level.initial, strict=True)
        }
        take = self.constants.take
        return Part(
            level,
            codes,
            {name: self.state.take(value) for name, value in rows.items()},
            take(packed(layer, sizes, weights)),
            {slot: take(value) for slot, value in vectors(layer, weights).items()},
            {name: take(value) for name, value in rows.items() if any(value)},
            self.row(number),
        )

    def _code(self, number: int, steps: int) -> LayerCode:
        """That of a layer for so many steps."""
        stack, machine, level = self._stack, self._machine, self._stack.levels[number]
        plan = plan_of(level.step)
        target = self._target(level)
        use = Use(short=True)
        if not machine.small:
            use = Use(steps, self._piece, number > 0, number < len(stack.levels) - 1)
        layer = one_layer(plan, target, level.sizes, use, self._strides(number, steps))
        key = level.step, layer.spec.target
        if key not in self._symbols:
            self._symbols[key] = f"layer{len(self._symbols)}"
            emit_layer(self._module, self._symbols[key], plan, layer.spec.target)
        return LayerCode(layer, self._symbols[key])

    def _target(self, level: Level) -> Target:
        plan, units, stack = plan_of(level.step), level.step.row_units(level.sizes), self._stack
        return target_of(plan, stack.dtype, stack.panel, self._machine.isa, units, single=True)

    def row(self, number: int) -> int:
        """The numbers in a row of a layer's outputs: whole tiles, but for the last layer."""
        level = self._stack.levels[number]
        if number == len(self._stack.levels) - 1:
            return level.units
        spec = KernelSpec(plan_of(level.step), self._target(level))
        return padded_sizes(spec, level.sizes)[level.step.output_space.stored]

    def _strides(self, number: int, steps: int) -> dict[str, int]:
        """Those of a layer's tensors that are not as they would be for a single step."""
        stack = self._stack
        level, further = stack.levels[number], stack.further
        found = {f"input.{name}.u": 0 for name in level.repeated(further)}
        if steps > 1:
            found["x.t"] = self.row(number - 1) if number else stack.width
            found |= {f"output.{name}.t": self.row(number) for name in level.step.outputs}
            found |= {f"input.{name}.t": further[name] for name in level.step.inputs}
        return found
