"""The linker that makes a WebAssembly module of an object: LLVM's, where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

#: Where the linker's stack runs over, a trap is better than another stream's memory.
_FLAGS = ["--no-entry", "--stack-first", "--gc-sections", "--strip-all"]


def find_linker() -> list[str] | None:
    """The command of ``wasm-ld``, of one with a version, or of the one in the package ziglang."""
    if found := shutil.which("wasm-ld"):
        return [found]
    versions = {}
    for folder in os.get_exec_path():
        for path in Path(folder).glob("wasm-ld-*"):
            if match := re.fullmatch(r"wasm-ld-(\d+)(\.exe)?", path.name):
                versions[int(match[1])] = str(path)
    if versions:
        return [versions[max(versions)]]
    return [sys.executable, "-m", "ziglang", "wasm-ld"] if find_spec("ziglang") else None


def arguments(name: str, functions: Iterable[str]) -> list[str]:
    """What the linker is told, in the folder of the object."""
    symbols = [f"{name}_{function}" for function in functions]
    exported = [f"--export={symbol}" for symbol in (*symbols, "__heap_base")]
    return [*_FLAGS, *exported, f"{name}.o", "-o", f"{name}.wasm"]


def link(command: Sequence[str], name: str, functions: Iterable[str], code: bytes) -> bytes:
    """The module that the linker makes of an object.

    Raises:
        RuntimeError: it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"{name}.o").write_bytes(code)
        told = [*command, *arguments(name, functions)]
        done = subprocess.run(told, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"export: {' '.join(command)} failed: {done.stderr.strip()}; take a newer linker "
                "(pip install ziglang), or none in PATH to write the object alone"
            )
        return Path(folder, f"{name}.wasm").read_bytes()
