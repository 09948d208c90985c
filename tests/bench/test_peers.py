"""The peers compute what torch.nn does: gates in their order, directions, stacks, states."""

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.bench.peers import PEERS
from tests.systems import PATIENCE


@pytest.fixture(scope="module")
def wrong() -> dict[str, str]:
    """By peer that is installed, what is wrong: one process for all, as each imports torch."""
    installed = [name for name in PEERS if importlib.util.find_spec(name)]
    run = [sys.executable, "-W", "ignore", "-m", "tests.bench.peers", *installed]
    done = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("package", PEERS)
def test_a_peer_computes_what_torch_does(package: str, wrong: dict[str, str]) -> None:
    if package not in wrong:
        pytest.skip(f"{package} is not installed")
    assert not wrong[package], wrong[package]
