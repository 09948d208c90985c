"""The sizes that are timed, and who uses them."""

from __future__ import annotations

from typing import NamedTuple


class Workload(NamedTuple):
    """``T`` steps of ``B`` rows with ``I`` features into ``H`` units."""

    name: str
    T: int
    B: int
    I: int  # noqa: E741 - the letter that all docstrings use for the input's features
    H: int
    num_layers: int = 1


WORKLOADS = (
    Workload("tutorial", 3, 1, 2, 4),
    Workload("one row", 100, 1, 32, 32),
    Workload("small batch", 100, 32, 64, 64),
    Workload("forecasting", 24, 32, 1, 25),
    Workload("cognitive task", 200, 128, 3, 50),
    Workload("word language model", 35, 20, 200, 200, num_layers=2),
    Workload("character language model", 100, 64, 128, 512),
)
