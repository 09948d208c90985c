"""What the functions of an artefact have in common: parameters, initial states, the call of one
layer.

A token is a row of the embedding, which is among the constants.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..compiler.ir import Function, Int, Module
from ..compiler.vector import literal
from ..compiler.view import View
from .layers import Part
from .stack import Stack

CONSTANTS = "weights"  # their symbol
TOKEN = "i32"  # C's int


def declare(module: Module, stack: Stack, name: str, how: str) -> Function:
    """The function ``name_step`` or ``name_chunk``, which differ in what they are given."""
    x = TOKEN if stack.tokens and how == "step" else "ptr"
    further = [("ptr", f"input{i}") for i in range(len(stack.further))]
    steps = [("i64", "T")] * (how == "chunk")
    params = [("ptr", "state"), (x, "x"), *further, *steps, ("ptr", "y")]
    return Function(module, f"{name}_{how}", params, public=True)


def emit_row(f: Function, stack: Stack, embedding: int, token: str) -> str:
    """The row of the embedding that a token is."""
    assert stack.embedding is not None
    width = stack.embedding.shape[1]
    rows = View(f, stack.dtype, f.gep("i8", f"@{CONSTANTS}", embedding), (width,))
    return rows.at(f.word(token, TOKEN))


def emit_begin(f: Function, stack: Stack, part: Part) -> None:
    """Sets the states of a layer to the initial ones."""
    for state, place in part.states.items():
        goal = View(f, stack.dtype, f.gep("i8", "%state", place))
        begin = part.initial.get(state)
        units = part.layer.row_units(part.level.step.space(state))
        with f.loop(0, units) as i:
            value = literal(0.0)
            if begin is not None:
                value = View(f, stack.dtype, f.gep("i8", f"@{CONSTANTS}", begin)).load(i)
            f.store(stack.dtype, value, goal.at(i))


def emit_layer(
    f: Function,
    part: Part,
    x: str,
    y: str,
    inputs: Mapping[str, str],
    scratch: int,
    steps: tuple[int, Int] = (1, 1),
    then: Part | None = None,
) -> None:
    """Fills the table of a layer, and calls its code: of that for so many steps at most, some
    steps. The next step of a layer is that of ``then``, or of the same one."""
    then = then or part
    step, code = part.level.step, part.codes[steps[0]]
    states = {s: f.gep("i8", "%state", place) for s, place in part.states.items()}
    pointers = {
        "x": x,
        **{f"output.{output}": y for output in step.outputs},
        **{f"{kind}.{s}": at for s, at in states.items() for kind in ("h0", "hn")},
        **{f"input.{given}": inputs[given] for given in step.inputs},
        "weights": f.gep("i8", f"@{CONSTANTS}", part.weights),
        "next": f.gep("i8", f"@{CONSTANTS}", then.first if steps[0] == 1 else part.recurrent),
        **{s: f.gep("i8", f"@{CONSTANTS}", place) for s, place in part.vectors.items()},
        "scratch": f.gep("i8", "%state", scratch),
    }
    slots = code.layer.slots
    table = f.alloca(len(slots.names), "i64", 8)
    for slot, pointer in pointers.items():
        f.store("ptr", pointer, f.gep("i64", table, slots.at[slot]))
    f.store("i64", steps[1], f.gep("i64", table, slots.at["T"]))
    f.call(code.symbol, ("ptr", table))


def emit_add(f: Function, dtype: str, units: int, goal: str, given: str) -> None:
    """Adds what a layer was given to what it gives."""
    above, below = View(f, dtype, goal), View(f, dtype, given)
    with f.loop(0, units) as i:
        total = f.op(f"fadd {dtype} {above.load(i)}, {below.load(i)}")
        f.store(dtype, total, above.at(i))
