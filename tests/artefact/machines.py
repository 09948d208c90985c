"""How the tests of artefacts are built and run for each machine: by cross-compilers and qemu."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

BARE = Path(__file__).parent / "bare"


@dataclass(frozen=True)
class Board:
    """A machine without an operating system, as qemu has it."""

    flags: Sequence[str]
    rom: int = 0
    ram: int = 0x20000000
    start: str = "start.c"
    libraries: Sequence[str] = ("-lgcc",)


@dataclass(frozen=True)
class Toolchain:
    """A compiler, and what runs its programs."""

    compiler: str
    run: Sequence[str] = ()
    flags: Sequence[str] = ("-static",)
    board: Board | None = None

    def missing(self) -> str:
        """Which programs are not installed, in words; empty if all are."""
        absent = [n for n in (self.compiler, *self.run[:1]) if not shutil.which(n)]
        return f"needs {' and '.join(absent)}" if absent else ""


_BOARD = "-nographic", "-semihosting-config", "enable=on,target=native", "-kernel"


def _cortex(cpu: str, fpu: str, board: str, rom: int = 0, ram: int = 0x20000000) -> Toolchain:
    flags = [f"-mcpu={cpu}", *[f"-mfpu={fpu}"] * bool(fpu), "-mthumb", "-mfloat-abi=hard"]
    run = "qemu-system-arm", "-M", board, *_BOARD
    return Toolchain("arm-none-eabi-gcc", run, board=Board(flags, rom, ram))


def _riscv32() -> Toolchain:
    # The test computes with doubles, the artefact does not: both pass numbers in the same way.
    flags = "--target=riscv32-unknown-elf", "-march=rv32imafdc", "-mabi=ilp32f", "-fuse-ld=lld"
    run = "qemu-system-riscv32", "-M", "virt", "-bios", "none", *_BOARD
    board = Board(flags, 0x80000000, 0x80100000, "start_riscv.c", ())
    return Toolchain("clang", run, board=board)


def _wasm() -> Toolchain:
    flags = "--target=wasm32", "-nostdlib", "-I", str(BARE), "-Dmain=run"
    return Toolchain(
        "clang", ["node", str(BARE / "run.js")], [*flags, "-Wl,--no-entry", "-Wl,--export=run"]
    )


_ARM, _RISCV = "arm-linux-gnueabihf-gcc", "riscv64-linux-gnu-gcc"
TOOLCHAINS = {
    "host": Toolchain("cc", flags=()),
    "x86-64": Toolchain("cc", flags=()),
    "aarch64": Toolchain("aarch64-linux-gnu-gcc", ["qemu-aarch64"]),
    "armv7": Toolchain(_ARM, ["qemu-arm"]),
    "cortex-m4f": _cortex("cortex-m4", "fpv4-sp-d16", "mps2-an386"),
    "cortex-m7": _cortex("cortex-m7", "fpv5-d16", "mps2-an500"),
    "cortex-m33": _cortex("cortex-m33", "fpv5-sp-d16", "mps2-an505", 0x10000000, 0x38000000),
    "cortex-m55": _cortex("cortex-m55", "", "mps3-an547"),
    "riscv32": _riscv32(),
    "wasm32": _wasm(),
    "riscv64": Toolchain(_RISCV, ["qemu-riscv64"]),
    "riscv64-v": Toolchain(_RISCV, ["qemu-riscv64", "-cpu", "rv64,v=true,vext_spec=v1.0,vlen=128"]),
}


def built(machine: str, folder: Path, source: Path, name: str) -> list[str | Path]:
    """The command that runs a program with an artefact."""
    tools = TOOLCHAINS[machine]
    if tools.missing():
        pytest.skip(tools.missing())
    program = folder / source.stem
    sources: list[str | Path] = [source, folder / f"{name}.o", "-I", folder]
    if tools.board:
        board = tools.board
        sources = [BARE / board.start, *sources, "-I", BARE, f"-DRAM={board.ram}u", *board.flags]
        sources += ["-ffreestanding", "-nostdlib", "-z", "noexecstack", "-T", BARE / "board.ld"]
        sources += [f"-Wl,--defsym=ROM={board.rom}", f"-Wl,--defsym=RAM={board.ram}"]
        sources += board.libraries
    else:
        sources += tools.flags
    done = subprocess.run(
        [tools.compiler, "-O1", *sources, "-o", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [*tools.run, program]


def said(command: Sequence[str | Path]) -> str:
    """What a program prints, which must return 0."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def run_test(machine: str, folder: Path, name: str) -> None:
    """Builds and runs the test of an artefact, which fails if its results are wrong."""
    said(built(machine, folder, folder / f"{name}_test.c", name))
