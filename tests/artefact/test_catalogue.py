"""Every cell of the catalogue on every kind of machine, beside the reference in float64."""

from pathlib import Path

import pytest
import torch

import elman
from tests.artefact.machines import TOOLCHAINS, run_test

pytestmark = pytest.mark.sampled(60)  # all are some six hundred runs

CELLS = [
    kind
    for name, kind in vars(elman.cells).items()
    if isinstance(kind, type) and issubclass(kind, elman.Cell) and not name.startswith("_")
]


@pytest.mark.parametrize("machine", TOOLCHAINS)
@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_a_cell_runs_on_a_machine(kind: type[elman.Cell], machine: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    elman.export(elman.Recurrent(kind, 5, 7), tmp_path, machine, "cell")
    run_test(machine, tmp_path, "cell")
