"""The functions of an artefact as code: layers one after another, each a pass of which all numbers
are known.

A token is a row of the embedding, which is among the constants.

The caller's memory holds the states of all layers, what lies between layers, and scratch memory,
which layers share. Weights are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..compiler.forward import emit_layer
from ..compiler.ir import Function, Int, Module
from ..compiler.objects import object_code
from ..compiler.plan import plan_of
from ..compiler.sizes import one_layer
from ..compiler.target import Target, target_of
from ..compiler.view import View
from ..runtime.alignment import ALIGNMENT
from ..step import Step
from . import whole
from .layout import (
    CONSTANTS,
    TOKEN,
    Constants,
    Memory,
    Part,
    declare,
    emit_add,
    emit_begin,
    emit_layer_step,
    emit_row,
    number_bytes,
)
from .stack import Level, Stack
from .targets import Machine
from .weights import packed, vectors

#: Bytes of constants, or of memory: more would not be in reach of the instructions that read them.
MOST = 1 << 31


class Code(NamedTuple):
    """Object code, and how many bytes it takes of its caller's memory and of constants."""

    object: bytes
    state: int
    constants: int


def compile_stack(stack: Stack, machine: Machine, name: str) -> Code:
    """The code of a module for a machine; the names of its functions begin with ``name``."""
    attributes = "nounwind " + "optsize " * machine.small + '"no-builtins"'  # no call of memset
    module = Module(machine.isa.word, attributes)
    state, constants = Memory(), Constants()
    symbols: dict[tuple[Step, Target], str] = {}
    parts = [
        _part(module, symbols, stack, machine, way, state, constants)
        for level in stack.levels
        for way in level.ways
    ]
    scratch = state.take(max(part.layer.scratch for part in parts))
    embedding = b"" if stack.embedding is None else stack.embedding.numpy().tobytes()
    at = constants.put(embedding)
    if stack.whole:
        whole.emit_chunk(module, stack, name, parts, state, scratch, at)
    else:
        _emit_reset(module, stack, name, parts)
        _emit_step(module, stack, name, parts, state, scratch, at)
        _emit_chunk(module, stack, name)
    if max(constants.end, state.end) >= MOST:
        raise ValueError(
            f"export: expected less than {MOST:,} bytes of weights, and of states, got "
            f"{constants.end:,} and {state.end:,}, more than code for {machine.name!r} can address"
        )
    text = "\\" + constants.content.hex("\\")
    module.constant(CONSTANTS, f'[{constants.end} x i8] c"{text}", align {ALIGNMENT}')
    code = object_code(module, machine.object, optimised=True)
    return Code(code, state.end, constants.end)


def _part(
    module: Module,
    symbols: dict[tuple[Step, Target], str],
    stack: Stack,
    machine: Machine,
    level: Level,
    state: Memory,
    constants: Constants,
) -> Part:
    """Lays out a layer in one direction, and adds its code to the module, unless another has the
    same."""
    plan, sizes, weights = plan_of(level.step), level.sizes, level.named()
    units = level.step.row_units(sizes)
    target = target_of(plan, stack.dtype, stack.panel, machine.isa, units, single=True)
    layer = one_layer(plan, target, sizes, level.repeated(stack.further))
    key = level.step, layer.spec.target
    if key not in symbols:
        symbols[key] = f"layer{len(symbols)}"
        emit_layer(module, symbols[key], plan, layer.spec.target)
    initial = dict(zip(level.step.states, level.initial, strict=True))
    return Part(
        level,
        layer,
        symbols[key],
        {name: state.take(value.nbytes) for name, value in initial.items()},
        constants.put(packed(layer, sizes, weights)),
        {slot: constants.put(value) for slot, value in vectors(layer, weights).items()},
        {
            name: constants.put(value.numpy().tobytes())
            for name, value in initial.items()
            if value.any()
        },
    )


def _emit_reset(module: Module, stack: Stack, name: str, parts: Sequence[Part]) -> None:
    """``name_reset(state)``, and ``name_init``, which does the same."""
    f = Function(module, f"{name}_reset", [("ptr", "state")], public=True)
    for part in parts:
        emit_begin(f, stack, part)
    f = Function(module, f"{name}_init", [("ptr", "state")], public=True)
    f.call(f"{name}_reset", ("ptr", "%state"))


def _emit_step(
    module: Module,
    stack: Stack,
    name: str,
    parts: Sequence[Part],
    state: Memory,
    scratch: int,
    embedding: int,
) -> None:
    """``name_step(state, x, ..., y)``: one layer after another."""
    f = declare(module, stack, name, "step")
    outputs = [number_bytes(stack) * level.units for level in stack.levels[:-1]]
    between = [state.take(max(outputs)) for _ in outputs[:2]]  # by turns
    x, inputs = "%x", {given: f"%input{n}" for n, given in enumerate(stack.further)}
    if stack.tokens:
        x = emit_row(f, stack, embedding, "%x")
    for i, part in enumerate(parts):
        y = "%y"
        if i < len(parts) - 1:
            y = f.gep("i8", "%state", between[i % len(between)])
        emit_layer_step(f, part, x, y, inputs, scratch)
        if part.level.residual:
            emit_add(f, stack.dtype, part.level.units, y, x)
        x = y


def _emit_chunk(module: Module, stack: Stack, name: str) -> None:
    """``name_chunk(state, x, ..., T, y)``: so many steps, one after another."""
    f = declare(module, stack, name, "chunk")

    def row(of: str, t: Int, units: int) -> tuple[str, str]:
        return "ptr", View(f, stack.dtype, of, (units,)).at(t)

    with f.loop(0, "%T") as t:
        x = row("%x", t, stack.width)
        if stack.tokens:
            x = TOKEN, f.load(TOKEN, f.gep(TOKEN, "%x", t))
        widths = enumerate(stack.further.values())
        inputs = [row(f"%input{n}", t, units) for n, units in widths]
        f.call(f"{name}_step", ("ptr", "%state"), x, *inputs, row("%y", t, stack.units))
