"""What an object asks a linker for."""

import shutil
import subprocess
from pathlib import Path

import pytest

_READERS = ("llvm-nm", "nm")  # the latter knows no WebAssembly
#: What the linker of WebAssembly makes itself.
_OF_LINKER = {"__linear_memory", "__stack_pointer", "__indirect_function_table"}


def undefined(path: Path) -> set[str]:
    """The symbols that an object does not define."""
    reader = next(filter(None, map(shutil.which, _READERS)), None)
    if reader is None:
        pytest.skip(f"needs {' or '.join(_READERS)}")
    done = subprocess.run([reader, "-u", path], capture_output=True, text=True)
    if "not recognized" in done.stderr:
        pytest.skip(f"{reader} cannot read this object")
    assert not done.returncode, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[-1] for line in lines if len(line) > 1} - _OF_LINKER
