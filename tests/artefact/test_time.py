"""A step takes the same instructions whatever its numbers are, as qemu counts them."""

from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from tests.artefact.machines import BARE, built, said

#: Those whose instructions can be counted: RISC-V does it itself, the others have a timer.
COUNTED = ["cortex-m4f", "cortex-m7", "cortex-m55", "riscv32"]
MODULES: dict[str, Any] = {
    "gru": lambda: elman.GRU(10, 32),
    "lstm": lambda: elman.LSTM(1, 16, proj_size=1),
}


def count(module: Any, machine: str, folder: Path, **options: Any) -> tuple[int, int]:
    """The fewest and the most instructions of a step."""
    elman.export(module, folder, machine, "own", **options)
    program, *rest = built(machine, folder, BARE / "count.c", "own")
    fewest, most = said([program, "-icount", "shift=10", *rest]).split()
    return int(fewest), int(most)


@pytest.mark.parametrize("machine", COUNTED)
@pytest.mark.parametrize("which", MODULES)
def test_all_steps_take_the_same_instructions(which: str, machine: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = MODULES[which]()
    weights = sum(p.numel() for p in module.parameters())
    fewest, most = count(module, machine, tmp_path)
    print(f"{module} on {machine}: {fewest:,} to {most:,} instructions a step")
    assert fewest > weights / 4  # there may be vectors
    # Without conditional moves, a choice between two numbers is a branch over one instruction.
    assert most - fewest <= (fewest / 50 if machine == "riscv32" else 0)


class Turn(elman.Cell):
    """A sine, which takes more instructions for large angles."""

    gates = ("n",)

    def step(self, x, u, s):
        return elman.sin(x.n)


@pytest.mark.parametrize("machine", ["cortex-m4f", "riscv32"])
def test_a_step_that_took_more_would_be_seen(machine: str, tmp_path: Path) -> None:
    fewest, most = count(elman.Recurrent(Turn, 3, 5), machine, tmp_path)
    assert most > 1.2 * fewest
