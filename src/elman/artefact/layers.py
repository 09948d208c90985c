"""The layers of an artefact: the code of each, and where memory has its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..compiler.forward import emit_layer, read_first
from ..compiler.ir import Module
from ..compiler.plan import plan_of
from ..compiler.sizes import KernelSpec, Layer, one_layer, padded_sizes
from ..compiler.target import Target, Use, target_of
from ..runtime.alignment import aligned
from ..step import Step
from .stack import Level, Stack
from .targets import Machine
from .weights import listed, packed, vectors

#: Of weights: the second cache does not hold as many until they are read again.
FAR_BYTES = 1 << 20


class Memory:
    """The caller's memory, of which pieces are given out one by one, each aligned."""

    def __init__(self) -> None:
        self.end = 0

    def take(self, size: int) -> int:
        """Where a piece lies."""
        place = self.end
        self.end += aligned(size)
        return place


class Constants(Memory):
    """Constants, and what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.content = bytearray()

    def put(self, what: bytes) -> int:
        """Where they lie."""
        place = self.take(len(what))
        self.content += what.ljust(self.end - place, b"\0")
        return place


class LayerCode(NamedTuple):
    """The code of a layer: what it is made for, and its name."""

    layer: Layer
    symbol: str


@dataclass(frozen=True)
class Part:
    """A layer in one direction: its code for a step, and for a piece of several; where the caller's
    memory has its states, and where its packed weights, learned vectors and initial states are
    among the constants."""

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

    @property
    def first(self) -> int:
        """Where the weights lie that a step reads first."""
        spec = self.layer.spec
        return self.weights + self.layer.numbers[read_first(spec.plan, spec.target)]

    @property
    def recurrent(self) -> int:
        """Where those lie that a step of a piece reads, whose inputs are projected."""
        return self.weights + self.layer.numbers["panels"]


class Layout:
    """Lays out layers, and adds their code to a module: for a step, and for a ``piece`` of
    several."""

    def __init__(self, module: Module, stack: Stack, machine: Machine, piece: int) -> None:
        self.state, self.constants, self.piece = Memory(), Constants(), piece
        self._module, self._stack, self._machine = module, stack, machine
        self._symbols: dict[tuple[Step, Target], str] = {}

    def parts(self) -> list[Part]:
        """The layers of the stack, each direction by itself."""
        levels = enumerate(self._stack.levels)
        return [self._part(i, way) for i, level in levels for way in level.ways]

    def _part(self, number: int, level: Level) -> Part:
        sizes, weights, step = level.sizes, level.named(), level.step
        counts = dict.fromkeys((1, self.piece))
        codes = {steps: self._code(number, level, steps) for steps in counts}
        layer = codes[1].layer
        rows = {
            name: value.numpy().tobytes().ljust(layer.row_bytes(step.space(name)), b"\0")
            for name, value in zip(step.states, level.initial, strict=True)
        }
        put = self.constants.put
        return Part(
            level,
            codes,
            {name: self.state.take(len(value)) for name, value in rows.items()},
            put(packed(layer, sizes, weights)),
            {slot: put(value) for slot, value in vectors(layer, weights).items()},
            {name: put(value) for name, value in rows.items() if any(value)},
            self._row(number),
        )

    def _code(self, number: int, level: Level, steps: int) -> LayerCode:
        """That of a layer for so many steps."""
        stack, plan, target = self._stack, plan_of(level.step), self._target(level)
        use = Use(short=True)
        if not self._machine.small:
            below, far = not stack.whole and number > 0, stack.weight_bytes > FAR_BYTES
            use = Use(steps, self.piece, below, self._read(number), far)
        strides = {f"input.{name}.u": 0 for name in level.repeated(stack.further)}
        if steps > 1:
            strides |= self._strides(number)
        layer = one_layer(plan, target, level.sizes, use, strides)
        if (found := listed(layer, level.sizes, level.named())) != layer.spec.target:
            layer = one_layer(plan, found, level.sizes, use, strides)
        key = level.step, layer.spec.target
        if key not in self._symbols:
            self._symbols[key] = f"layer{len(self._symbols)}"
            emit_layer(self._module, self._symbols[key], plan, layer.spec.target)
        return LayerCode(layer, self._symbols[key])

    def _target(self, level: Level) -> Target:
        plan, units, stack = plan_of(level.step), level.step.row_units(level.sizes), self._stack
        return target_of(plan, stack.dtype, stack.panel, self._machine.isa, units, single=True)

    def _read(self, number: int) -> bool:
        """Whether the next layer reads a layer's outputs as they are: those of a whole sequence are
        beside one another."""
        return not self._stack.whole and number < len(self._stack.levels) - 1

    def _row(self, number: int) -> int:
        """The numbers in a row of a layer's outputs: whole tiles, if the next layer reads it."""
        level = self._stack.levels[number]
        if not self._read(number):
            return level.units
        spec = KernelSpec(plan_of(level.step), self._target(level))
        return padded_sizes(spec, level.sizes)[level.step.output_space.stored]

    def _strides(self, number: int) -> dict[str, int]:
        """From step to step, of a layer's tensors."""
        step, further = self._stack.levels[number].step, self._stack.further
        return {
            "x.t": self._row(number - 1) if number else self._stack.width,
            **{f"output.{name}.t": self._row(number) for name in step.outputs},
            **{f"input.{name}.t": further[name] for name in step.inputs},
        }
