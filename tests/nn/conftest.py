"""Tests of layers and cells: memory starts as NaN, and work is split only where a test says so."""

from collections.abc import Iterator

import pytest
import torch

import elman
from elman.nn import conversions
from tests.nn.regularising import Spy

#: A program: to import it, as the search for doctests does, gives the process another device.
collect_ignore = ["other_device.py"]


@pytest.fixture(autouse=True)
def _one_thread(poisoned_tensors: None, threads: None) -> None:
    torch.set_num_threads(1)


@pytest.fixture
def kernel_path() -> Iterator[None]:
    """The kernel runs, or the test fails; random numbers are the same every time."""
    torch.manual_seed(0)
    with elman.set_path("kernel"):
        yield


@pytest.fixture
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    for table in ("_BY_CLASS", "_BY_NAME"):
        monkeypatch.setattr(conversions, table, dict(getattr(conversions, table)))


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    """Keeps what layers draw."""
    return Spy(monkeypatch)
