"""Kernels for AArch64 that qemu runs on this process's memory, as if this process ran them."""

import ctypes
import functools
import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

MACHINE = "aarch64"
_OCCUPIED = 75  # exit status: qemu has put itself where this process has memory
_ATTEMPTS = 10  # it lies somewhere else each time
_COMPILER = "aarch64-linux-gnu-gcc"
_EMULATORS = ("qemu-aarch64", "qemu-aarch64-static")


def missing() -> str:
    """Why kernels cannot be emulated here, in words; empty if they can."""
    if sys.platform != "linux":
        return f"AArch64 is emulated on Linux, not on {sys.platform}"
    absent = [] if any(map(shutil.which, _EMULATORS)) else [_EMULATORS[0]]
    absent += [] if shutil.which(_COMPILER) else [_COMPILER]
    return f"AArch64 cannot be emulated without {' and '.join(absent)}" if absent else ""


class Emulator:
    """Makes programs of kernels; they live as long as this object."""

    def __init__(self) -> None:
        if missing():
            raise RuntimeError(missing())
        self._qemu = next(filter(None, map(shutil.which, _EMULATORS)))
        self._folder = tempfile.TemporaryDirectory(prefix="elman-emulated-")
        self._numbers = itertools.count()
        source = Path(__file__).with_suffix(".c")
        _compile("-O1", "-Wall", "-Wextra", "-Werror", "-c", source, "-o", self._path("main.o"))

    def _path(self, name: str) -> Path:
        return Path(self._folder.name, name)

    def code(self, object_code: bytes, name: str) -> "Code":
        """What ``jit.Code`` is for kernels of this processor."""
        program, kernel = self._path(f"kernel{next(self._numbers)}"), self._path("kernel.o")
        kernel.write_bytes(object_code)
        alias = f"-Wl,--defsym=kernel={name}"
        _compile("-static", "-s", alias, self._path("main.o"), kernel, "-o", program)
        return Code([self._qemu, str(program)])


@functools.cache
def emulator() -> Emulator:
    """The one emulator of the tests. RuntimeError if something is missing."""
    return Emulator()


def _compile(*arguments: str | Path) -> None:
    subprocess.run([_COMPILER, *arguments], check=True)


class Code:
    """A kernel in a program of its own."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.call)

    @property
    def address(self) -> int:
        """Of a function that does what :meth:`call` does, but that errors are reported and lost."""
        return ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def call(self, numbers: int | bytes) -> None:
        """Runs the kernel with the address of its numbers. RuntimeError if it cannot go on."""
        where = numbers  # as long as they are held
        if isinstance(where, bytes):
            where = ctypes.cast(where, ctypes.c_void_p).value or 0
        command = [*self._command, f"{where:x}", *_writable()]
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            for _ in range(_ATTEMPTS):
                done = subprocess.run(command, stdin=memory, capture_output=True, text=True)
                if done.returncode != _OCCUPIED:
                    break
        if done.returncode:
            raise RuntimeError(f"an emulated kernel ended with {done.returncode}: {done.stderr}")


def _writable() -> Iterator[str]:
    """The ranges of this process's memory that may be written."""
    with open("/proc/self/maps", encoding="utf-8") as lines:
        for line in lines:
            places, rights, *_ = line.split()
            if rights == "rw-p":
                yield places
