"""The functions of an artefact as code: layers one after another, each a pass of which all numbers
are known.

The caller's memory holds the states of all layers, what lies between layers, and scratch memory,
which layers share. Weights are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..compiler.ir import Function, Int, Module
from ..compiler.objects import object_code
from ..compiler.view import View
from ..runtime.alignment import ALIGNMENT
from . import whole
from .calls import CONSTANTS, TOKEN, declare, emit_add, emit_begin, emit_layer, emit_row
from .layers import Layout, Part
from .stack import Stack
from .targets import Machine

#: Of weights: the first cache does not hold as many until they are read again.
MANY_BYTES = 48 << 10
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
    layout = Layout(module, stack, machine, _piece(stack, machine))
    parts, state, constants = layout.parts(), layout.state, layout.constants
    scratch = state.take(max(c.layer.scratch for part in parts for c in part.codes.values()))
    embedding = b"" if stack.embedding is None else stack.embedding.numpy().tobytes()
    at = constants.put(embedding)
    if stack.whole:
        whole.emit_chunk(module, stack, name, parts, state, scratch, at)
    else:
        size = layout.piece * stack.number_bytes
        outputs = [size * part.row for part in parts[:-1]]
        work = _Work([state.take(max(outputs)) for _ in outputs[:2]], scratch)
        _emit_reset(module, stack, name, parts)
        _emit_step(module, stack, name, parts, work, at)
        _emit_chunk(module, stack, name, parts, work, layout.piece)
    if max(constants.end, state.end) >= MOST:
        raise ValueError(
            f"export: expected less than {MOST:,} bytes of weights, and of states, got "
            f"{constants.end:,} and {state.end:,}, more than code for {machine.name!r} can address"
        )
    text = "\\" + constants.content.hex("\\")
    module.constant(CONSTANTS, f'[{constants.end} x i8] c"{text}", align {ALIGNMENT}')
    code = object_code(module, machine.object, optimised=True)
    return Code(code, state.end, constants.end)


def _piece(stack: Stack, machine: Machine) -> int:
    """How many steps of a chunk go through one layer before the next. A chunk of tokens goes step
    by step, since their rows lie apart, and so does a whole sequence."""
    few = stack.weight_bytes < MANY_BYTES
    return 1 if few or stack.tokens or stack.whole else machine.piece


class _Work(NamedTuple):
    """Where the caller's memory has room for what goes from layer to layer, by turns, and for
    scratch memory, which all share."""

    between: list[int]
    scratch: int


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
    work: _Work,
    embedding: int,
) -> None:
    """``name_step(state, x, ..., y)``."""
    f = declare(module, stack, name, "step")
    x = emit_row(f, stack, embedding, "%x") if stack.tokens else "%x"
    further = [f"%input{i}" for i in range(len(stack.further))]
    _emit_layers(f, stack, parts, work, x, further, "%y", (1, 1))


def _emit_layers(
    f: Function,
    stack: Stack,
    parts: Sequence[Part],
    work: _Work,
    x: str,
    further: Sequence[str],
    y: str,
    steps: tuple[int, Int],
) -> None:
    """Calls the code of each layer: of that for so many steps at most, some steps; rows at ``x``,
    at the addresses of ``further`` inputs, to ``y``."""
    inputs, goal = dict(zip(stack.further, further, strict=True)), y
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        y = goal if last else f.gep("i8", "%state", work.between[i % len(work.between)])
        emit_layer(f, part, x, y, inputs, work.scratch, steps, parts[(i + 1) % len(parts)])
        if part.level.residual:
            above, below = (
                View(f, stack.dtype, at, (row, 1))
                for at, row in ((y, part.row), (x, parts[i - 1].row))
            )
            with f.loop(0, steps[1]) as t:
                emit_add(f, stack.dtype, part.level.units, above.at(t), below.at(t))
        x = y


def _emit_chunk(
    module: Module, stack: Stack, name: str, parts: Sequence[Part], work: _Work, piece: int
) -> None:
    """``name_chunk(state, x, ..., T, y)``: so many steps, one after another, or in pieces that go
    through one layer before the next: its weights stay in the caches, and those of the inputs are
    read once for all."""
    f = declare(module, stack, name, "chunk")
    given = {f"%input{i}": units for i, units in enumerate(stack.further.values())}
    rows = {"%x": stack.width, **given, "%y": stack.units}
    with f.loop(0, "%T", piece) as t:
        x, *further, y = (View(f, stack.dtype, of, (n,)).at(t) for of, n in rows.items())
        if piece > 1:
            steps = piece, f.min(f.sub("%T", t), piece)
            _emit_layers(f, stack, parts, work, x, further, y, steps)
        else:
            first = "ptr", x
            if stack.tokens:
                first = TOKEN, f.load(TOKEN, f.gep(TOKEN, "%x", t))
            others = [("ptr", row) for row in (*further, y)]
            f.call(f"{name}_step", ("ptr", "%state"), first, *others)
