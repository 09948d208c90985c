"""The functions of an artefact as code: layers one after another, each a pass of which all numbers
are known.

A token is a row of the embedding, which is among the constants.

The caller's memory holds the states of all layers, what lies between layers, and scratch memory,
which layers share. Weights are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..compiler.forward import emit_layer
from ..compiler.ir import Function, Int, Module
from ..compiler.objects import object_code
from ..compiler.plan import plan_of
from ..compiler.sizes import Layer, one_layer
from ..compiler.target import Target, target_of
from ..compiler.vector import literal
from ..compiler.view import View
from ..runtime.alignment import ALIGNMENT, aligned
from ..spaces import Space
from ..step import Step
from .stack import Level, Stack
from .targets import Machine
from .weights import packed, vectors

_SYMBOL = "weights"  # of the constants
_TOKEN = "i32"  # C's int
#: Bytes of constants, or of memory: more would not be in reach of the instructions that read them.
MOST = 1 << 31


class Code(NamedTuple):
    """Object code, and how many bytes it takes of its caller's memory and of constants."""

    object: bytes
    state: int
    constants: int


class _Memory:
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


@dataclass(frozen=True)
class _Part:
    """A layer: the name of its code, where the caller's memory has its states, and where its packed
    weights, learned vectors and initial states are among the constants."""

    level: Level
    layer: Layer
    symbol: str
    states: dict[str, int]
    weights: int
    vectors: dict[str, int]
    initial: dict[str, int]  # but for zeros

    def room(self, space: Space) -> int:
        """The bytes of a row: whole tiles."""
        return _room(self.layer, space)


def _room(layer: Layer, space: Space) -> int:
    return layer.numbers[space.stored.padded] * layer.spec.size


def compile_stack(stack: Stack, machine: Machine, name: str) -> Code:
    """The code of a module for a machine; the names of its functions begin with ``name``."""
    attributes = "nounwind " + "optsize " * machine.small + '"no-builtins"'  # no call of memset
    module = Module(machine.isa.word, attributes)
    state, constants = _Memory(), _Memory()
    symbols: dict[tuple[Step, Target], str] = {}
    parts = [_part(module, symbols, stack, machine, i, state, constants) for i in stack.levels]
    outputs = [part.room(part.level.step.output_space) for part in parts[:-1]]
    between = [state.take(bytes(max(outputs))) for _ in outputs[:2]]  # by turns
    scratch = state.take(bytes(max(part.layer.scratch for part in parts)))
    _emit_reset(module, stack, name, parts)
    embedding = b"" if stack.embedding is None else stack.embedding.numpy().tobytes()
    _emit_step(module, stack, name, parts, between, scratch, constants.take(embedding))
    _emit_chunk(module, stack, name)
    if max(constants.end, state.end) >= MOST:
        raise ValueError(
            f"export: expected less than {MOST:,} bytes of weights, and of states, got "
            f"{constants.end:,} and {state.end:,}, more than code for {machine.name!r} can address"
        )
    text = "\\" + constants.content.hex("\\")
    module.constant(_SYMBOL, f'[{constants.end} x i8] c"{text}", align {ALIGNMENT}')
    code = object_code(module, machine.object, optimised=True)
    return Code(code, state.end, constants.end)


def _part(
    module: Module,
    symbols: dict[tuple[Step, Target], str],
    stack: Stack,
    machine: Machine,
    level: Level,
    state: _Memory,
    constants: _Memory,
) -> _Part:
    """Lays out a layer, and adds its code to the module, unless another layer has the same."""
    plan, sizes, weights = plan_of(level.step), level.sizes, level.named()
    units = level.step.row_units(sizes)
    target = target_of(plan, stack.dtype, stack.panel, machine.isa, units, single=True)
    place = level is not stack.levels[0], level is not stack.levels[-1]
    layer = one_layer(plan, target, sizes, level.repeated(stack.further), place)
    key = level.step, layer.spec.target
    if key not in symbols:
        symbols[key] = f"layer{len(symbols)}"
        emit_layer(module, symbols[key], plan, layer.spec.target)
    rows = {
        name: value.numpy().tobytes().ljust(_room(layer, level.step.space(name)), b"\0")
        for name, value in zip(level.step.states, level.initial, strict=True)
    }
    return _Part(
        level,
        layer,
        symbols[key],
        {name: state.take(value) for name, value in rows.items()},
        constants.take(packed(layer, sizes, weights)),
        {slot: constants.take(value) for slot, value in vectors(layer, weights).items()},
        {name: constants.take(value) for name, value in rows.items() if any(value)},
    )


def _emit_reset(module: Module, stack: Stack, name: str, parts: Sequence[_Part]) -> None:
    """``name_reset(state)``, and ``name_init``, which does the same."""
    f = Function(module, f"{name}_reset", [("ptr", "state")], public=True)
    for part in parts:
        for state, place in part.states.items():
            goal = View(f, stack.dtype, f.gep("i8", "%state", place))
            begin = part.initial.get(state)
            units = part.layer.numbers[part.level.step.space(state).stored.padded]
            with f.loop(0, units) as i:
                value = literal(0.0)
                if begin is not None:
                    value = View(f, stack.dtype, f.gep("i8", f"@{_SYMBOL}", begin)).load(i)
                f.store(stack.dtype, value, goal.at(i))
    f = Function(module, f"{name}_init", [("ptr", "state")], public=True)
    f.call(f"{name}_reset", ("ptr", "%state"))


def _arguments(stack: Stack) -> list[tuple[str, str]]:
    """What a step is given: its state, the input, further inputs."""
    further = [("ptr", f"input{i}") for i in range(len(stack.further))]
    return [("ptr", "state"), (_TOKEN if stack.tokens else "ptr", "x"), *further]


def _emit_step(
    module: Module,
    stack: Stack,
    name: str,
    parts: Sequence[_Part],
    between: Sequence[int],
    scratch: int,
    embedding: int,
) -> None:
    """``name_step(state, x, ..., y)``: fills the table of each layer, and calls its code."""
    params = [*_arguments(stack), ("ptr", "y")]
    f = Function(module, f"{name}_step", params, public=True)
    x, numbers = "%x", {given: n for n, given in enumerate(stack.further)}
    if stack.embedding is not None:
        width = stack.embedding.shape[1]
        rows = View(f, stack.dtype, f.gep("i8", f"@{_SYMBOL}", embedding), (width,))
        x = rows.at(f.word("%x", _TOKEN))
    for i, part in enumerate(parts):
        step = part.level.step
        y = "%y"
        if i < len(parts) - 1:
            y = f.gep("i8", "%state", between[i % len(between)])
        states = {s: f.gep("i8", "%state", place) for s, place in part.states.items()}
        pointers = {
            "x": x,
            **{f"output.{output}": y for output in step.outputs},
            **{f"{kind}.{s}": at for s, at in states.items() for kind in ("h0", "hn")},
            **{f"input.{given}": f"%input{numbers[given]}" for given in step.inputs},
            "weights": f.gep("i8", f"@{_SYMBOL}", part.weights),
            **{s: f.gep("i8", f"@{_SYMBOL}", place) for s, place in part.vectors.items()},
            "scratch": f.gep("i8", "%state", scratch),
        }
        slots = part.layer.slots
        table = f.alloca(len(slots.names), "i64", 8)
        for slot, pointer in pointers.items():
            f.store("ptr", pointer, f.gep("i64", table, slots.at[slot]))
        f.call(part.symbol, ("ptr", table))
        if part.level.residual:
            _add(f, stack.dtype, part.level.units, y, x)
        x = y


def _add(f: Function, dtype: str, units: int, goal: str, given: str) -> None:
    """Adds what a layer was given to what it gives."""
    above, below = View(f, dtype, goal), View(f, dtype, given)
    with f.loop(0, units) as i:
        total = f.op(f"fadd {dtype} {above.load(i)}, {below.load(i)}")
        f.store(dtype, total, above.at(i))


def _emit_chunk(module: Module, stack: Stack, name: str) -> None:
    """``name_chunk(state, x, ..., T, y)``: so many steps, one after another."""
    given = [("ptr", of) for _, of in _arguments(stack)]
    f = Function(module, f"{name}_chunk", [*given, ("i64", "T"), ("ptr", "y")], public=True)
    widths = [stack.width, *stack.further.values()]

    def row(of: str, t: Int, units: int) -> tuple[str, str]:
        return "ptr", View(f, stack.dtype, of, (units,)).at(t)

    with f.loop(0, "%T") as t:
        rows = [row(f"%{n}", t, w) for (_, n), w in zip(given[1:], widths, strict=True)]
        if stack.tokens:
            rows[0] = _TOKEN, f.load(_TOKEN, f.gep(_TOKEN, "%x", t))
        f.call(f"{name}_step", ("ptr", "%state"), *rows, row("%y", t, stack.units))
