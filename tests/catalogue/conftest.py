"""Tests of the catalogue: one thread, since all is small."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread(poisoned_tensors: None, threads: None) -> None:
    torch.set_num_threads(1)
