"""What a web page loads: a WebAssembly module, and the JavaScript and types to use it."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import NamedTuple

from ..version import __version__
from .code import Code
from .header import declarations
from .linking import arguments, find_linker, link
from .stack import Stack

_HERE = Path(__file__).parent
_MISSING = (
    "{name}.wasm, since no linker for WebAssembly was found. Install one (pip install ziglang, or "
    "LLVM's: apt-get install lld) and export again; or run what 'link' says where there is one"
)


class Web(NamedTuple):
    """Files by their names, and what ``name.json`` says about them."""

    files: dict[str, bytes]
    facts: dict[str, str]


def web(stack: Stack, name: str, code: Code) -> Web:
    """``name.js`` and ``name.d.ts``, and ``name.wasm`` if there is a linker for it.

    Raises:
        RuntimeError: the linker fails.
    """
    made = hashlib.sha256(code.object).hexdigest()[:16]
    files = {
        f"{name}.js": _script(stack, name, code, made).encode(),
        f"{name}.d.ts": _types(stack, name).encode(),
    }
    functions = [*declarations(stack, name)]
    command, told = find_linker(), ["wasm-ld", *arguments(name, functions)]
    facts = {"link": shlex.join(told)}
    if command:
        linked = link(command, name, functions, code.object)
        files[f"{name}.wasm"] = linked + _section("elman", made.encode())
    else:
        facts["missing"] = _MISSING.format(name=name)
    return Web(files, facts)


def _section(name: str, content: bytes) -> bytes:
    """A custom section of less than 128 bytes, which may end a module."""
    inside = bytes([len(name)]) + name.encode() + content
    return bytes([0, len(inside)]) + inside


def _script(stack: Stack, name: str, code: Code, made: str) -> str:
    about = {
        "name": name,
        "dtype": stack.dtype,
        "inputs": stack.width,
        "tokens": stack.tokens,
        "outputs": stack.units,
        "maxSteps": stack.max_steps,
        "pooled": stack.pooled,
        "further": [*stack.further.items()],
        "stateBytes": code.state,
        "made": made,
    }
    begin = [
        _title(stack, name),
        f"const ABOUT = {json.dumps(about)};",
        f'const BESIDE = () => new URL("./{name}.wasm", import.meta.url);',
    ]
    return "\n".join([*begin, (_HERE / "module.js").read_text("utf-8")])


def _types(stack: Stack, name: str) -> str:
    array = {"float": "Float32Array", "double": "Float64Array"}[stack.dtype]
    each = [f"{json.dumps(given)}: ArrayLike<number>" for given in stack.further]
    inputs, optional = (f"{{ {'; '.join(each)} }}", "") if each else ("Record<string, never>", "?")
    stream = "whole.d.ts" if stack.whole else "stream.d.ts"
    begin = [
        _title(stack, name),
        f"export type Numbers = {array};",
        "/** What a step reads. */",
        f"export type Step = {'number | ' if stack.tokens else ''}ArrayLike<number>;",
        f"export type Inputs = {inputs};",
        "/** Further inputs by their names; the array to write the result to. */",
        f"export type Further = [inputs{optional}: Inputs, y?: Numbers];\n",
    ]
    texts = [(_HERE / file).read_text("utf-8") for file in (stream, "module.d.ts")]
    return "\n".join([*begin, *texts])


def _title(stack: Stack, name: str) -> str:
    return f"// {name}: {' '.join(stack.about.split())}. Made by elman {__version__}."
