"""A module as object code for C programs, on this machine or another."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..compiler.objects import text_bytes
from ..version import __version__
from .code import Code, compile_stack
from .header import ALIGNMENT, declarations, header, is_identifier
from .narrowing import narrowing
from .stack import Stack, stack_of
from .targets import Machine, machine_of
from .trial import makefile, program, vector
from .web import web


def export(
    module: torch.nn.Module,
    folder: str | os.PathLike[str],
    target: str = "host",
    name: str = "cell",
    *,
    weight_dtype: torch.dtype | None = None,
    max_steps: int | None = None,
    data: torch.Tensor | None = None,
) -> dict[str, Any]:
    """Writes a module as object code with a header for C and C++, to run where Python is not.

    The code has the weights in it. It allocates nothing and calls nothing, neither the system nor a
    library; the caller brings the memory of each stream. Written for the processor at hand, it has
    the bits of :class:`elman.Stream`. Columns of weights that pruning left all zeros are left out
    if that saves enough. docs/export.md goes from a layer to a program.

    Args:
        module: a layer or cell of elman, of float32 or float64, with the weights that it has
            now; or a ``torch.nn.Sequential`` of an ``Embedding`` or none, such layers,
            and ``Linear`` with or without ``ReLU``, ``Sigmoid``, ``SiLU``, ``Tanh`` or ``Softmax``
            behind it. Dropout is left out, as in evaluation.
        folder: where the files go; it is made if it is not there.
        target: the machine: ``"host"`` for this one, ``"x86-64"``, ``"x86-64-v3"``,
            ``"x86-64-v4"``, ``"aarch64"``, ``"armv7"``, ``"cortex-m4f"``, ``"cortex-m7"``,
            ``"cortex-m33"``, ``"cortex-m55"``, ``"riscv64"``, ``"riscv64-v"``, ``"riscv32"`` or
            ``"wasm32"``.
        name: what names of functions and files begin with, in C an identifier.
        weight_dtype: ``torch.bfloat16`` takes half the bytes for weight matrices, ``torch.int8`` a
            quarter, as in ``Stream``; None keeps them as they are.
        max_steps: for modules with a layer of two directions: the most steps of a sequence. They
            read whole sequences, from ``name_chunk`` alone, whose memory has room for so many.
        data: inputs as the module takes them, ``(T, I)`` or ``(T, B, I)``, tokens ``(T,)`` or
            ``(T, B)``; ``(B, T, ...)`` with ``batch_first``. The result and ``name.json`` then
            say under ``error`` how much ``weight_dtype`` changes the outputs. ``largest`` is the
            largest difference, ``rms`` the root of their mean square, ``relative`` the same
            divided by that of the outputs. They are computed in double precision, each row from
            the initial states. None: nothing is said.

    Writes ``name.h``, ``name.o``, ``name.json`` (sizes, target, hashes), and a test:
    ``name_test.c``, ``name_vector.h`` and a Makefile. For ``"wasm32"`` also what web pages load:
    ``name.js``, ``name.d.ts`` and, if a linker such as ``wasm-ld`` is installed, ``name.wasm``.
    Without one, ``["web"]["missing"]`` of the result says what to do.

    Returns:
        What ``name.json`` says.

    Raises:
        TypeError: a module that is none of these; ``data`` that are no tensor.
        ValueError: a module of another dtype, or with a dtype that the target lacks; modules that
            don't go together; two directions without ``max_steps``, or ``max_steps`` of no use; an
            unknown target; a name that is no identifier; weights that are no numbers; more memory
            than the target can address; ``data`` of another shape or dtype, without
            ``weight_dtype``, or for a module with further inputs.
        RuntimeError: the linker fails. In all these cases nothing is written.

    >>> import elman, tempfile
    >>> gru = elman.GRU(input_size=3, hidden_size=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     about = elman.export(gru, folder, target="cortex-m4f", name="gesture")
    >>> about["inputs"], about["outputs"], about["target"]["cpu"]
    (3, 8, 'cortex-m4')
    """
    every = [] if data is None else [data]
    return export_with({}, {}, module, folder, target, name, weight_dtype, max_steps, every)


def export_with(
    texts: Mapping[str, str],
    about: Mapping[str, Any],
    module: torch.nn.Module,
    folder: str | os.PathLike[str],
    target: str,
    name: str,
    weight_dtype: torch.dtype | None,
    max_steps: int | None,
    data: Sequence[Any] = (),
) -> dict[str, Any]:
    """Does what :func:`export` does, for any number of ``data``, and writes further files, by the
    names that they have behind ``name``; ``name.json`` says what they are ``about``."""
    if not is_identifier(name):
        raise ValueError(
            f"export: expected name to be an identifier of C of at most 64 letters, digits and "
            f"underscores that begins with a letter, got {name!r}"
        )
    machine, stack = machine_of(target), stack_of(module, weight_dtype, max_steps)
    if stack.dtype == "double" and not machine.isa.doubles:
        raise ValueError(
            f"export: expected a module of torch.float32 for {target!r}, whose processor does not "
            "compute with doubles, got one of torch.float64: module.float() converts it"
        )
    error = narrowing(module, stack, data) if data else None
    tests = {f"{name}_vector.h": vector(stack, name), f"{name}_test.c": program(stack, name)}
    code = compile_stack(stack, machine, name)
    facts = {**_facts(stack, machine, name, code), **about}
    if error:
        facts["error"] = error._asdict()
    files = {
        f"{name}.o": code.object,
        **{file: text.encode() for file, text in tests.items()},
        "Makefile": makefile(machine.compiler).encode(),
        f"{name}.h": header(stack, machine, name, code.state, error).encode(),
        **{f"{name}{end}": text.encode() for end, text in texts.items()},
    }
    if machine.isa.machine == "wasm32":
        more = web(stack, name, code)
        files |= more.files
        facts["web"] = more.facts
    facts["sha256"] = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    _write(Path(folder), {**files, f"{name}.json": (json.dumps(facts, indent=2) + "\n").encode()})
    return facts


def _facts(stack: Stack, machine: Machine, name: str, code: Code) -> dict[str, Any]:
    """What ``name.json`` says, but for the hashes."""
    return {
        "name": name,
        "module": stack.about,
        "elman": __version__,
        "target": {"name": machine.name, **machine.object._asdict()},
        "dtype": stack.dtype,
        "weights": stack.panel.kind,
        "inputs": stack.width,
        **({"tokens": stack.tokens} if stack.tokens else {}),
        "outputs": stack.units,
        "further_inputs": stack.further,
        "layers": len(stack.levels),
        "state_bytes": code.state,
        "state_alignment": ALIGNMENT,
        "code_bytes": text_bytes(code.object),
        "constant_bytes": code.constants,
        **({"max_steps": stack.max_steps} if stack.whole else {}),
        "functions": {f"{name}_{what}": text for what, text in declarations(stack, name).items()},
    }


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files beside the folder, then moves each to its place: none is there in part."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        for file, content in files.items():
            Path(beside, file).write_bytes(content)
        folder.mkdir(exist_ok=True)
        for file in files:
            os.replace(Path(beside, file), folder / file)
