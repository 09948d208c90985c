"""The header of an artefact: what a C or C++ program includes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from .narrowing import Narrowing
from .stack import Stack
from .targets import Machine

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
ALIGNMENT = 8  # of the state, in C that of a double


class Further(NamedTuple):
    """A further input: the names of its parameter and of its size in C; its name in the formula,
    and how many numbers it has."""

    name: str
    size: str
    about: str
    numbers: int


def is_identifier(name: object) -> bool:
    """Whether files and functions in C may be called so."""
    return isinstance(name, str) and bool(_IDENTIFIER.fullmatch(name))


def further_inputs(stack: Stack, name: str) -> list[Further]:
    """The further inputs in the order in which functions take them."""
    found = []
    for i, (given, count) in enumerate(stack.further.items()):
        own = f"input_{given}" if is_identifier(given) else f"input_{i}"
        found.append(Further(own, f"{name}_{own}_size".upper(), given, count))
    return found


def declarations(stack: Stack, name: str) -> dict[str, str]:
    """The parameters of each function, by what follows ``name_``."""
    kind, further = stack.dtype, further_inputs(stack, name)
    one, many = ("int x", "const int *x") if stack.tokens else (f"const {kind} *x",) * 2
    others = [f"const {kind} *{each.name}" for each in further]
    begin, last = f"{name}_state *state", f"{kind} *y"
    chunk = {"chunk": ", ".join([begin, many, *others, "size_t T", last])}
    if stack.whole:
        return chunk
    step = ", ".join([begin, one, *others, last])
    return {"init": begin, "reset": begin, "step": step, **chunk}


def header(
    stack: Stack, machine: Machine, name: str, state: int, error: Narrowing | None = None
) -> str:
    """The text of ``name.h``."""
    upper, functions = name.upper(), declarations(stack, name)
    further = further_inputs(stack, name)
    result, stream = ("sequence",) * 2 if stack.pooled else ("step", "stream")
    constants = [input_size(stack, name)]
    constants += [(f"{upper}_OUTPUTS", stack.units, f"numbers that a {result} writes")]
    constants += [(e.size, e.numbers, f"numbers of the input {e.about!r}") for e in further]
    if stack.whole:
        constants += [(f"{upper}_MAX_STEPS", stack.max_steps, "steps of the longest sequence")]
        stream = "sequence"
    constants += [(f"{upper}_STATE_BYTES", state, f"memory of one {stream}")]
    given: dict[str, Any] = {
        "name": name,
        "upper": upper,
        "one": _TOKEN.format(upper=upper) if stack.tokens else f"x[{upper}_INPUTS]",
        "every": f"x[T]{'' if stack.tokens else f'[{upper}_INPUTS]'}",
        "inputs": _described(further, ""),
        "many": _described(further, "[T]"),
        "rows": "" if stack.pooled else "[T]",
        "functions": functions,
    }
    return _TEXT.format(
        name=name,
        upper=upper,
        state=_WHOLE_STATE if stack.whole else _STATE,
        functions=(_WHOLE if stack.whole else _STEPS).format(**given),
        about=stack.about.replace("*/", "* /"),
        machine=_about(machine),
        error=_ERROR.format(label=stack.panel.label, **error._asdict()) if error else "",
        constants=_defines(constants),
        words=ALIGNMENT,
    )


def input_size(stack: Stack, name: str) -> tuple[str, int, str]:
    """The constant that says what a step reads: its name, its value, and what it means."""
    if stack.tokens:
        return f"{name.upper()}_TOKENS", stack.tokens, "tokens that there are"
    return f"{name.upper()}_INPUTS", stack.width, "numbers that a step reads"


def _about(machine: Machine) -> str:
    features = f", {machine.isa.features}" if machine.isa.features else ""
    return f"{machine.triple} ({machine.isa.cpu}{features})"


def _defines(constants: Sequence[tuple[str, int, str]]) -> str:
    left = [f"#define {name} {value}" for name, value, _ in constants]
    width = max(map(len, left))
    pairs = zip(left, constants, strict=True)
    return "\n".join(f"{text:<{width}}  /* {about} */" for text, (*_, about) in pairs)


def _described(further: Sequence[Further], lead: str) -> str:
    return "".join(f"\n *   {each.name}{lead}[{each.size}]" for each in further)


_TOKEN = "x, a token: at least 0, less than {upper}_TOKENS"
_STATE = """\
/* One stream: the recurrent states, and memory to work in. A copy of it goes on where it is. */"""
_WHOLE_STATE = "/* Memory to work in, of any content: nothing in it is kept from call to call. */"
_STEPS = """\
/* Begins a stream, in memory of any content. */
void {name}_init({functions[init]});

/* Sets the states to the initial ones again. */
void {name}_reset({functions[reset]});

/* One step. Arrays must not overlap.
 *   {one}{inputs}
 *   y[{upper}_OUTPUTS] is written. */
void {name}_step({functions[step]});

/* T steps, with the same results as T calls of {name}_step. Arrays are in row-major order:
 *   {every}{many}
 *   y[T][{upper}_OUTPUTS] is written. */
void {name}_chunk({functions[chunk]});
"""
_WHOLE = """\
/* A whole sequence of T steps: at least 1, at most {upper}_MAX_STEPS, which is not checked. Arrays
 * must not overlap. They are in row-major order:
 *   {every}{many}
 *   y{rows}[{upper}_OUTPUTS] is written. */
void {name}_chunk({functions[chunk]});
"""
_ERROR = """
 *
 * {label} change the outputs for the data of the export: by {largest:.2g} at most, and by
 * {rms:.2g} in the root mean square, which is {relative:.2g} of that of the outputs."""
_TEXT = """\
/* {name}: {about}
 * Made by elman for {machine}. Link it with {name}.o.{error}
 *
 * The functions allocate nothing, take no lock, and call nothing: no system, no library. They keep
 * the caller's rounding and denormal modes. A state belongs to one thread at a time; any number of
 * states may run at once.
 */
#ifndef {upper}_H
#define {upper}_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {{
#endif

{constants}

{state}
typedef struct {name}_state {{
    double memory[{upper}_STATE_BYTES / {words}];
}} {name}_state;

{functions}
#ifdef __cplusplus
}}
#endif

#endif
"""
