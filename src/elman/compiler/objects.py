"""Object code of IR: LLVM, through llvmlite, for this machine or another."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from ..runtime.cores import side_by_side
from .ir import Module
from .isa import ISA, machine_of

LOCK = threading.RLock()
"""Held by whoever calls LLVM or makes a kernel: one thread at a time, and the helpers that it has
started and waits for."""

_held: list[contextlib.AbstractContextManager[Any]] = []


def _before_fork() -> None:
    """A fork waits for whatever LLVM is doing, or the child would inherit its locks.

    llvmlite's own lock is held beyond ours: while objects die, and by numba.
    """
    LOCK.acquire()
    loaded = getattr(sys.modules.get("llvmlite.binding.ffi"), "lib", None)
    lock = getattr(loaded, "_lock", contextlib.nullcontext())
    lock.__enter__()
    _held.append(lock)


def _after_fork() -> None:
    _held.pop().__exit__(None, None, None)
    LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


class ObjectTarget(NamedTuple):
    """For which machine object code is made, in LLVM's words."""

    triple: str
    cpu: str
    features: str
    relocation: str = "pic"
    code_model: str = "small"
    abi: str = ""


def object_target(isa: ISA) -> ObjectTarget:
    """This system's, if it has such a processor, or Linux's."""
    triple = llvm().get_process_triple()
    if machine_of(triple) != isa.machine:
        triple = f"{isa.machine}-unknown-linux-gnu"
    return ObjectTarget(triple, isa.cpu, isa.features)


@cache
def llvm() -> Any:
    """llvmlite's binding, imported at the first use."""
    with LOCK:
        from llvmlite import binding

        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
    return binding


def object_code(
    module: Module | str, made_for: ISA | ObjectTarget, optimised: bool = False
) -> bytes:
    """LLVM's object code of a module, or of its text, for an instruction set or any target;
    ``optimised`` by LLVM's passes over the IR, for which nobody has to wait."""
    with LOCK:
        return _object_code(module, made_for, optimised)


def object_codes(modules: Iterable[tuple[str, ISA]]) -> list[bytes]:
    """The same of several, side by side. Whoever is free takes the next: it may be written then,
    but without calling LLVM."""
    with LOCK:
        llvm()
        return side_by_side(lambda given: _object_code(*given), modules)


def _object_code(
    module: Module | str, made_for: ISA | ObjectTarget, optimised: bool = False
) -> bytes:
    """As :func:`object_code`; several threads may call it, while one holds the lock."""
    target = object_target(made_for) if isinstance(made_for, ISA) else made_for
    machine = (
        llvm()
        .Target.from_triple(target.triple)
        .create_target_machine(
            cpu=target.cpu,
            features=target.features,
            opt=2,
            reloc=target.relocation,
            codemodel=target.code_model,
            abiname=target.abi,
        )
    )
    # What is in different contexts, LLVM works on at the same time. They have to outlive modules.
    with (
        llvm().create_context() as context,
        llvm().parse_assembly(str(module), context) as parsed,
    ):
        parsed.triple = target.triple
        # Kernels of this process have no passes over the IR: it is written as it should run, they
        # would take two thirds of the time, and change the kernels' speed by a few per cent
        # (docs/decisions/ir-as-text.md).
        if optimised:
            parsed.data_layout = str(machine.target_data)
            _optimise(parsed, machine)
        return _emit(machine, parsed)


def _emit(machine: Any, parsed: Any) -> bytes:
    """The object of a module, as ``machine.emit_object`` makes it, but without llvmlite's lock."""
    library = llvm().ffi.lib
    emit = library.LLVMPY_TargetMachineEmitToMemory
    emit = getattr(emit, "_cfn", emit)  # what the lock is around
    with llvm().ffi.OutputString() as why:
        memory = emit(machine, parsed, 1, why)
        if not memory:
            raise RuntimeError(str(why))
    try:
        size = library.LLVMPY_GetBufferSize(memory)
        return ctypes.string_at(library.LLVMPY_GetBufferStart(memory), size)
    finally:
        library.LLVMPY_DisposeMemoryBuffer(memory)


def _optimise(module: Any, machine: Any) -> None:
    """Runs LLVM's passes over a module, but for those that make vectors of loops or unroll them:
    what pays has been written so."""
    options = llvm().create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_interleaving = False
    options.loop_unrolling = False
    builder = llvm().create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


def text_bytes(object_code: bytes) -> int:
    """How many bytes of an object are instructions."""
    with LOCK:
        sections = llvm().ObjectFileRef.from_data(object_code).sections()
        return sum(section.size() for section in sections if section.is_text())
