"""Fuzzing: memory starts as NaN, threads are put back, and work is split however little it is."""

import pytest

from elman.runtime import threads as team


@pytest.fixture(autouse=True)
def _surroundings(poisoned_tensors: None, threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "FLOP_PER_THREAD", 1)
