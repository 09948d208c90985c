"""What a user's program looks like to a type checker: mypy here, pyright in the workflow.

``assert_type`` fails where elman's annotations say less, or something else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from typing_extensions import assert_type

import elman


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = elman.LSTM(8, 16, num_layers=2, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        _, (h, _) = self.lstm(x)
        scores: Tensor = self.head(h[-1])
        return scores


class Leaky(elman.Cell):
    gates = ("h",)
    outputs = ("change",)

    def __init__(self, leak: float = 0.5) -> None:
        self.leak = leak

    def step(self, x: Any, u: Any, s: Any) -> Any:
        h = (1 - self.leak) * s.h + self.leak * elman.tanh(x.h + u.h)
        return h, h - s.h


def layers(x: Tensor, h0: Tensor) -> None:
    rnn = elman.RNN(8, 16, bidirectional=True)
    assert_type(rnn(x), tuple[Tensor, Tensor])
    assert_type(rnn(pack_sequence([x[0]]), h0), tuple[PackedSequence, Tensor])
    assert_type(elman.GRU(8, 16)(x, h0), tuple[Tensor, Tensor])
    assert_type(elman.LSTM(8, 16)(x), tuple[Tensor, tuple[Tensor, Tensor]])
    assert_type(rnn(x, return_states=True), tuple[Tensor, Tensor, Tensor])
    _, _, (h, c) = elman.LSTM(8, 16)(x, return_states=True)
    assert_type((h, c), tuple[Tensor, Tensor])
    starts = torch.zeros(5, 3, dtype=torch.bool)
    lstm = elman.LSTM(8, 16)
    carried = lstm(x, lengths=[5, 3, 0])[1]
    assert_type(lstm(x, carried, reset=starts, reset_to=0), tuple[Tensor, tuple[Tensor, Tensor]])
    assert_type(elman.RNNCell(8, 16)(x, h0), Tensor)
    assert_type(elman.GRUCell(8, 16)(x), Tensor)
    assert_type(elman.LSTMCell(8, 16)(x, (h0, h0)), tuple[Tensor, Tensor])


def any_cell(x: Tensor) -> None:
    layer = elman.Recurrent(Leaky(0.1), 8, 16, bidirectional=True, merge="sum")
    output, _ = layer(x, lengths=[3, 5])
    _, _, (h, change) = layer(x, return_states=True)
    print(output.shape, h.shape, change.shape)
    elman.RecurrentCell(elman.cells.GRU, 8, 16)(x[0])


def models() -> None:
    assert_type(elman.accelerate(Reader()), Reader)
    assert_type(elman.restore(Reader()), Reader)
    print(elman.explain(Reader()))
    with elman.set_path("kernel"):
        Reader()(torch.rand(2, 5, 8))


def stream(frame: Tensor) -> None:
    session = elman.Stream(elman.GRU(8, 16))
    assert_type(session.step(frame), Tensor)
    assert_type(session.chunk(frame), Tensor)
    assert_type(session.chunk(frame, return_states=True), tuple[Tensor, Any])
    session.reset()


def artefact() -> None:
    about = elman.export(elman.GRU(8, 16), "folder", "cortex-m4f", "gru", weight_dtype=None)
    assert_type(about, dict[str, Any])
