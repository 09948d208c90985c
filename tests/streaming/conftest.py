"""Tests of layers and cells: memory starts as NaN, and work is split only where a test says so."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread(poisoned_tensors: None, threads: None) -> None:
    torch.set_num_threads(1)
