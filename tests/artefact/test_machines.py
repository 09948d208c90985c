"""The test that comes with an artefact passes on every machine that can be emulated here."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import elman
from elman.artefact.targets import TABLE
from tests.artefact.machines import TOOLCHAINS, run_test
from tests.streaming.modules import Gap

pytestmark = pytest.mark.sampled(2)


class Wave(elman.Cell):
    """Sine and cosine of angles that need few and many bits of pi."""

    gates, states, inputs = ("n",), ("h",), ("angle",)

    def step(self, x, u, s):
        angle = self.input("angle")
        far = elman.sin(angle * 2.0**22) + elman.cos(angle * 2.0**90)
        return elman.tanh(x.n + u.n) + far * elman.sin(5 * angle)


#: Odd sizes, a stack with residuals, a further input; sine and cosine of large angles; doubles; two
#: directions.
MODULES = {
    "gap": lambda: elman.Recurrent(Gap, 3, 7, 3, residual=True),
    "wave": lambda: elman.Recurrent(Wave, 5, 9),
    "lstm": lambda: elman.LSTM(6, 11, 2, proj_size=5),
    "double": lambda: elman.GRU(3, 5, dtype=torch.float64),
    "bfloat": lambda: elman.GRU(9, 21),
    "int8": lambda: elman.GRU(9, 21),
    "tokens": lambda: nn.Sequential(
        nn.Embedding(13, 5), elman.LSTM(5, 9), nn.Linear(9, 13), nn.Softmax(-1)
    ),
    "both": lambda: elman.GRU(3, 7, 2, bidirectional=True),
}
#: How they are exported.
OPTIONS: dict[str, dict[str, Any]] = {
    "bfloat": {"weight_dtype": torch.bfloat16},
    "int8": {"weight_dtype": torch.int8},
    "both": {"max_steps": 11},
}


def _doubles(machine: str) -> bool:
    return all(row.isa.doubles for row in TABLE if row.name == machine)


def _some() -> Iterator[tuple[str, str]]:
    """All modules on this machine, and some on each other: every one comes to several."""
    for i, machine in enumerate(TOOLCHAINS):
        for j, which in enumerate(MODULES):
            if machine == "host" or ((i + j) % 4 == 0 and (which != "double" or _doubles(machine))):
                yield machine, which


@pytest.mark.parametrize(("machine", "which"), [*_some()])
def test_the_test_passes(machine: str, which: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    elman.export(MODULES[which](), tmp_path, machine, which, **OPTIONS.get(which, {}))
    run_test(machine, tmp_path, which)


@pytest.mark.parametrize("machine", ["host", "riscv32", "wasm32"])
def test_a_wrong_result_fails_the_test(machine: str, tmp_path: Path) -> None:
    elman.export(elman.GRU(3, 5), tmp_path, machine, "gru")
    vector = tmp_path / "gru_vector.h"
    begin, values = vector.read_text().split("gru_test_y", 1)
    vector.write_text(f"{begin}gru_test_y{re.sub('(-?)0[.]([1-9])', r'1.9', values, count=1)}")
    said = "1 of 40 numbers wrong" if machine == "host" else ""  # bare ones print none
    with pytest.raises(AssertionError, match=said or None):
        run_test(machine, tmp_path, "gru")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_machine_is_tested_or_known_to_lack_an_emulator(row) -> None:
    assert row.name in TOOLCHAINS or row.name in ("x86-64-v3", "x86-64-v4")
