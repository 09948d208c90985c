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
    layer: str = "RNN"


WORKLOADS = (
    Workload("tutorial", 3, 1, 2, 4),
    Workload("one row", 100, 1, 32, 32),
    Workload("small batch", 100, 32, 64, 64),
    Workload("forecasting", 24, 32, 1, 25),
    Workload("cognitive task", 200, 128, 3, 50),
    Workload("word language model", 35, 20, 200, 200, num_layers=2),
    Workload("character language model", 100, 64, 128, 512),
    Workload("one row, GRU", 100, 1, 32, 32, layer="GRU"),
    Workload("small batch, GRU", 100, 32, 64, 64, layer="GRU"),
    Workload("one row, LSTM", 100, 1, 32, 32, layer="LSTM"),
    Workload("batch, LSTM", 100, 32, 128, 128, layer="LSTM"),
    Workload("large batch, LSTM", 100, 64, 256, 256, layer="LSTM"),
)
