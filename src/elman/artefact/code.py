"""The functions of an artefact as code: layers one after another, each a pass of which all numbers
are known.

A token is a row of the embedding, which is among the constants.

The caller's memory holds the states of all layers, what lies between layers, and scratch memory,
which layers share. Weights are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..compiler.ir import Function, Int, Module
from ..compiler.objects import object_code
from ..compiler.vector import literal
from ..compiler.view import View
from ..runtime.alignment import ALIGNMENT
from .layers import Layout, Part
from .stack import Stack
from .targets import Machine

_SYMBOL = "weights"  # of the constants
_TOKEN = "i32"  # C's int
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
    piece = _piece(stack, machine)
    layout = Layout(module, stack, machine, piece)
    parts = [layout.part(i) for i in range(len(stack.levels))]
    state, constants = layout.state, layout.constants
    size = {"float": 4, "double": 8}[stack.dtype]
    outputs = [size * piece * part.row for part in parts[:-1]]
    memory = _Work(
        [state.take(bytes(max(outputs))) for _ in outputs[:2]],
        state.take(bytes(max(c.layer.scratch for part in parts for c in part.codes.values()))),
    )
    _emit_reset(module, stack, name, parts)
    embedding = b"" if stack.embedding is None else stack.embedding.numpy().tobytes()
    _emit_step(module, stack, name, parts, memory, constants.take(embedding))
    _emit_chunk(module, stack, name, parts, memory, piece)
    if max(constants.end, state.end) >= MOST:
        raise ValueError(
            f"export: expected less than {MOST:,} bytes of weights, and of states, got "
            f"{constants.end:,} and {state.end:,}, more than code for {machine.name!r} can address"
        )
    text = "\\" + constants.content.hex("\\")
    module.constant(_SYMBOL, f'[{constants.end} x i8] c"{text}", align {ALIGNMENT}')
    code = object_code(module, machine.object, optimised=True)
    return Code(code, state.end, constants.end)


def _piece(stack: Stack, machine: Machine) -> int:
    """How many steps of a chunk go through one layer before the next. A chunk of tokens goes step
    by step, since their rows lie apart."""
    count = sum(w.numel() for level in stack.levels for w in level.weights if w is not None)
    return 1 if stack.tokens or count * stack.panel.size < MANY_BYTES else machine.piece


class _Work(NamedTuple):
    """Where the caller's memory has room for what goes from layer to layer, by turns, and for
    scratch memory, which all share."""

    between: list[int]
    scratch: int


def _emit_reset(module: Module, stack: Stack, name: str, parts: Sequence[Part]) -> None:
    """``name_reset(state)``, and ``name_init``, which does the same."""
    f = Function(module, f"{name}_reset", [("ptr", "state")], public=True)
    for part in parts:
        for state, place in part.states.items():
            goal = View(f, stack.dtype, f.gep("i8", "%state", place))
            begin = part.initial.get(state)
            units = part.layer.row_units(part.level.step.space(state))
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
    parts: Sequence[Part],
    work: _Work,
    embedding: int,
) -> None:
    """``name_step(state, x, ..., y)``."""
    params = [*_arguments(stack), ("ptr", "y")]
    f = Function(module, f"{name}_step", params, public=True)
    x = "%x"
    if stack.embedding is not None:
        width = stack.embedding.shape[1]
        rows = View(f, stack.dtype, f.gep("i8", f"@{_SYMBOL}", embedding), (width,))
        x = rows.at(f.word("%x", _TOKEN))
    _emit_layers(f, stack, parts, work, x, [f"%{n}" for _, n in params[2:-1]], "%y", (1, 1))


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
    """Fills the table of each layer, and calls its code: of that for so many steps at most, some
    steps; rows at ``x``, at the addresses of ``further`` inputs, to ``y``."""
    numbers, goal = dict(zip(stack.further, further, strict=True)), y
    for i, part in enumerate(parts):
        step, code = part.level.step, part.codes[steps[0]]
        last = i == len(parts) - 1
        y = goal if last else f.gep("i8", "%state", work.between[i % len(work.between)])
        states = {s: f.gep("i8", "%state", place) for s, place in part.states.items()}
        pointers = {
            "x": x,
            **{f"output.{output}": y for output in step.outputs},
            **{f"{kind}.{s}": at for s, at in states.items() for kind in ("h0", "hn")},
            **{f"input.{given}": numbers[given] for given in step.inputs},
            "weights": f.gep("i8", f"@{_SYMBOL}", part.weights),
            **{s: f.gep("i8", f"@{_SYMBOL}", place) for s, place in part.vectors.items()},
            "scratch": f.gep("i8", "%state", work.scratch),
        }
        slots = code.layer.slots
        table = f.alloca(len(slots.names), "i64", 8)
        for slot, pointer in pointers.items():
            f.store("ptr", pointer, f.gep("i64", table, slots.at[slot]))
        f.store("i64", steps[1], f.gep("i64", table, slots.at["T"]))
        f.call(code.symbol, ("ptr", table))
        if part.level.residual:
            above, below = (
                View(f, stack.dtype, at, (row, 1))
                for at, row in ((y, part.row), (x, parts[i - 1].row))
            )
            with f.loop(0, steps[1]) as t:
                _add(f, stack.dtype, part.level.units, above.at(t), below.at(t))
        x = y


def _add(f: Function, dtype: str, units: int, goal: str, given: str) -> None:
    """Adds what a layer was given to what it gives."""
    above, below = View(f, dtype, goal), View(f, dtype, given)
    with f.loop(0, units) as i:
        total = f.op(f"fadd {dtype} {above.load(i)}, {below.load(i)}")
        f.store(dtype, total, above.at(i))


def _emit_chunk(
    module: Module, stack: Stack, name: str, parts: Sequence[Part], work: _Work, piece: int
) -> None:
    """``name_chunk(state, x, ..., T, y)``: so many steps, one after another, or in pieces that go
    through one layer before the next: its weights stay in the caches, and those of the inputs are
    read once for all."""
    given = [("ptr", of) for _, of in _arguments(stack)]
    f = Function(module, f"{name}_chunk", [*given, ("i64", "T"), ("ptr", "y")], public=True)
    widths = [stack.width, *stack.further.values()]
    with f.loop(0, "%T", piece) as t:
        rows = [
            View(f, stack.dtype, f"%{of}", (width,)).at(t)
            for (_, of), width in zip(given[1:], widths, strict=True)
        ]
        y = View(f, stack.dtype, "%y", (stack.units,)).at(t)
        if piece > 1:
            steps = piece, f.min(f.sub("%T", t), piece)
            _emit_layers(f, stack, parts, work, rows[0], rows[1:], y, steps)
        else:
            x, *further = (("ptr", row) for row in rows)
            if stack.tokens:
                x = _TOKEN, f.load(_TOKEN, f.gep(_TOKEN, "%x", t))
            f.call(f"{name}_step", ("ptr", "%state"), x, *further, ("ptr", y))
