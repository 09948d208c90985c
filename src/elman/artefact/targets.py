"""For which machines artefacts are made: a table that adds to the instruction sets of kernels what
a machine needs besides, and instruction sets that no process of Python runs on."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from functools import cache

from ..compiler import isa
from ..compiler.isa import ISA
from ..compiler.objects import ObjectTarget, object_target


@dataclass(frozen=True)
class Machine:
    """A row: an instruction set and LLVM's words for the machine.

    ``small`` says whether code should rather be short than fast. If weights are many, ``piece``
    steps of a chunk go through a layer before the next one. ``compiler`` is the C compiler that
    people commonly have for the machine.
    """

    name: str
    isa: ISA
    triple: str
    relocation: str = "pic"
    abi: str = ""
    small: bool = False
    compiler: str = "cc"
    piece: int = 1

    @property
    def object(self) -> ObjectTarget:
        """The machine in LLVM's words."""
        row = self.isa
        return ObjectTarget(self.triple, row.cpu, row.features, self.relocation, abi=self.abi)


#: Steps of a piece of a chunk, for processors with caches: longer ones have narrower tiles, which
#: wide vectors make up for.
PIECE, LONG_PIECE = 6, 12
_LINUX = "unknown-linux-gnu"


def _scalar(
    name: str, machine: str, features: str, word: int = 32, doubles: bool = True, cpu: str = ""
) -> ISA:
    """A processor without vectors, named after its ``cpu`` unless it is given. It has registers for
    24 sums."""
    row = ISA(name, machine, cpu or name, features, (), 32, 6, 4, True, False, word)
    return replace(row, doubles=doubles)


_ARMV7 = ISA("armv7", "arm", "cortex-a7", "+neon,+vfp4", (), 128, 6, 2, True, False, 32)
_HELIUM = ISA("helium", "arm", "cortex-m55", "", (), 128, 3, 2, True, False, 32)
_RISCV_V = ISA(
    "riscv-v", "riscv64", "generic-rv64", "+m,+a,+f,+d,+c,+v", (), 128, 6, 4, True, False
)
_WASM = ISA("simd128", "wasm32", "generic", "+simd128", (), 128, 4, 2, False, False, 32)
_RV64 = _scalar("riscv64", "riscv64", "+m,+a,+f,+d,+c", 64, cpu="generic-rv64")
_RV32 = _scalar("riscv32", "riscv32", "+m,+a,+f,+c", doubles=False, cpu="generic-rv32")
_M4 = _scalar("cortex-m4", "arm", "", doubles=False)
_M7 = _scalar("cortex-m7", "arm", "")
_M33 = _scalar("cortex-m33", "arm", "", doubles=False)
_ARM_GCC, _RISCV_GCC = "arm-none-eabi-gcc", "riscv64-linux-gnu-gcc"


def _bare(name: str, row: ISA, triple: str, abi: str = "", compiler: str = _ARM_GCC) -> Machine:
    """A machine without an operating system."""
    return Machine(name, row, triple, "static", abi, small=True, compiler=compiler)


#: The machines that have a name; "host" is this one.
TABLE: tuple[Machine, ...] = (
    Machine("x86-64", isa.by_name("sse2"), f"x86_64-{_LINUX}", piece=PIECE),
    Machine("x86-64-v3", isa.by_name("avx2"), f"x86_64-{_LINUX}", piece=PIECE),
    Machine("x86-64-v4", isa.by_name("avx512"), f"x86_64-{_LINUX}", piece=LONG_PIECE),
    Machine(
        "aarch64",
        isa.by_name("neon"),
        f"aarch64-{_LINUX}",
        compiler="aarch64-linux-gnu-gcc",
        piece=PIECE,
    ),
    Machine("armv7", _ARMV7, f"armv7-{_LINUX}eabihf", compiler="arm-linux-gnueabihf-gcc"),
    _bare("cortex-m4f", _M4, "thumbv7em-unknown-none-eabihf"),
    _bare("cortex-m7", _M7, "thumbv7em-unknown-none-eabihf"),
    _bare("cortex-m33", _M33, "thumbv8m.main-unknown-none-eabihf"),
    _bare("cortex-m55", _HELIUM, "thumbv8.1m.main-unknown-none-eabihf"),
    Machine("riscv64", _RV64, f"riscv64-{_LINUX}", abi="lp64d", compiler=_RISCV_GCC),
    Machine("riscv64-v", _RISCV_V, f"riscv64-{_LINUX}", abi="lp64d", compiler=_RISCV_GCC),
    _bare("riscv32", _RV32, "riscv32-unknown-none-elf", "ilp32f", "riscv32-unknown-elf-gcc"),
    Machine("wasm32", _WASM, "wasm32-unknown-unknown", "static", compiler="clang"),
)


def machine_of(name: str) -> Machine:
    """The row of a name; "host" is the widest instruction set that this process can run.

    Raises:
        ValueError: there is none of this name.
    """
    known = {row.name: row for row in TABLE}
    if name == "host":
        return host()
    if name not in known:
        every = ["host", *known]
        near = difflib.get_close_matches(str(name), every, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"export: expected target to be one of {every}, got {name!r}{hint}")
    return known[name]


@cache
def host() -> Machine:
    """This machine."""
    rows = [row for row in isa.available() if not row.bf16_pairs]
    if not rows:
        raise ValueError(
            f"export: expected a target by its name, since no kernels run on {isa.host()[0]}"
        )
    named = next(row for row in TABLE if row.isa is rows[0])
    return Machine("host", rows[0], object_target(rows[0]).triple, piece=named.piece)
