"""Where the parts of an artefact lie, in the caller's memory and among the constants; and the call
of one layer for one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..compiler.ir import Function, Module
from ..compiler.sizes import Layer
from ..compiler.vector import literal
from ..compiler.view import View
from ..runtime.alignment import aligned
from .stack import Level, Stack

CONSTANTS = "weights"  # their symbol
TOKEN = "i32"  # C's int


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


@dataclass(frozen=True)
class Part:
    """A layer in one direction: the name of its code, where the caller's memory has its states, and
    where its packed weights, learned vectors and initial states are among the constants."""

    level: Level
    layer: Layer
    symbol: str
    states: Mapping[str, int]
    weights: int
    vectors: Mapping[str, int]
    initial: Mapping[str, int]  # but for zeros


def number_bytes(stack: Stack) -> int:
    """Bytes of a number of the module."""
    return {"float": 4, "double": 8}[stack.dtype]


def declare(module: Module, stack: Stack, name: str, how: str) -> Function:
    """The function ``name_step`` or ``name_chunk``, which differ in what they are given."""
    x = TOKEN if stack.tokens and how == "step" else "ptr"
    further = [("ptr", f"input{i}") for i in range(len(stack.further))]
    steps = [("i64", "T")] * (how == "chunk")
    params = [("ptr", "state"), (x, "x"), *further, *steps, ("ptr", "y")]
    return Function(module, f"{name}_{how}", params, public=True)


def emit_row(f: Function, stack: Stack, embedding: int, token: str) -> str:
    """The row of the embedding, which is among the constants, that a token is."""
    assert stack.embedding is not None
    width = stack.embedding.shape[1]
    rows = View(f, stack.dtype, f.gep("i8", f"@{CONSTANTS}", embedding), (width,))
    return rows.at(f.word(token, TOKEN))


def emit_begin(f: Function, stack: Stack, part: Part) -> None:
    """Sets the states to the initial ones."""
    for state, place in part.states.items():
        goal = View(f, stack.dtype, f.gep("i8", "%state", place))
        begin = part.initial.get(state)
        with f.loop(0, part.level.sizes[part.level.step.space(state)]) as i:
            value = literal(0.0)
            if begin is not None:
                value = View(f, stack.dtype, f.gep("i8", f"@{CONSTANTS}", begin)).load(i)
            f.store(stack.dtype, value, goal.at(i))


def emit_layer_step(
    f: Function, part: Part, x: str, y: str, inputs: Mapping[str, str], scratch: int
) -> None:
    """Fills the table of a layer, and calls its code."""
    step = part.level.step
    states = {s: f.gep("i8", "%state", place) for s, place in part.states.items()}
    pointers = {
        "x": x,
        **{f"output.{output}": y for output in step.outputs},
        **{f"{kind}.{s}": at for s, at in states.items() for kind in ("h0", "hn")},
        **{f"input.{given}": inputs[given] for given in step.inputs},
        "weights": f.gep("i8", f"@{CONSTANTS}", part.weights),
        **{s: f.gep("i8", f"@{CONSTANTS}", place) for s, place in part.vectors.items()},
        "scratch": f.gep("i8", "%state", scratch),
    }
    slots = part.layer.slots
    table = f.alloca(len(slots.names), "i64", 8)
    for slot, pointer in pointers.items():
        f.store("ptr", pointer, f.gep("i64", table, slots.at[slot]))
    f.call(part.symbol, ("ptr", table))


def emit_add(f: Function, dtype: str, units: int, goal: str, given: str) -> None:
    """Adds what a layer was given to what it gives."""
    above, below = View(f, dtype, goal), View(f, dtype, given)
    with f.loop(0, units) as i:
        total = f.op(f"fadd {dtype} {above.load(i)}, {below.load(i)}")
        f.store(dtype, total, above.at(i))
