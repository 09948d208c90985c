"""Fuzzing: memory starts as NaN, threads are put back, and work is split however little it is."""

from collections.abc import Iterator

import pytest

from elman.launch.kernel_cache import scheduled


@pytest.fixture(autouse=True, scope="package")
def _split() -> Iterator[None]:
    with scheduled(flop_per_thread=1):
        yield


@pytest.fixture(autouse=True)
def _surroundings(poisoned_tensors: None, threads: None) -> None:
    pass
