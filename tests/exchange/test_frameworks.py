"""Layers of Keras and Flax compute what elman's of their weights do, and the other way round."""

import importlib.util
import subprocess
import sys

import pytest

from tests.systems import PATIENCE


@pytest.mark.parametrize("package", ["keras", "flax"])
def test_outputs_are_those_of_the_other_framework(package: str) -> None:
    """In a process of its own, since these frameworks leave threads behind."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: what is pinned needs Python 3.11")
    run = [sys.executable, "-W", "ignore", "-m", f"tests.exchange.in_{package}"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
