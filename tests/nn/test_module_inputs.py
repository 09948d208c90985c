"""The samples of calls that PyTorch keeps for its own recurrent modules hold for elman's."""

import json
import subprocess
import sys

import pytest

from tests.nn import module_inputs
from tests.systems import PATIENCE


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """By class, how many samples there were, and what was wrong."""
    file = tmp_path_factory.mktemp("module_inputs") / "found.json"
    command = [sys.executable, module_inputs.__file__, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(file.read_text())


@pytest.mark.parametrize("name", module_inputs.NAMES)
def test_pytorchs_samples_give_its_numbers_and_its_errors(name: str, found: dict) -> None:
    assert found[name]["wrong"] == []
    assert found[name]["inputs"] >= 2
    assert found[name]["errors"] >= 2
