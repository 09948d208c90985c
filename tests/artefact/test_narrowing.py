"""What an export says of weights in fewer bytes, for data that it is given."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.dispatch.weight_dtypes import WEIGHT_DTYPES

DTYPES = [torch.bfloat16, torch.int8]


def _rounded(module: Any, dtype: torch.dtype | None) -> Any:
    """A copy in double precision, of whose matrices the numbers are those of narrow ones; those of
    an embedding stay as they are."""
    module = copy.deepcopy(module)
    kept = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    with torch.no_grad():
        for parameter in module.parameters():
            if dtype and parameter.ndim == 2 and id(parameter) not in kept:
                parameter.copy_(WEIGHT_DTYPES[dtype].rounded(parameter))
    return module.double()


def _apply(module: Any, x: Tensor) -> Tensor:
    """The outputs of torch.nn's functions."""
    for part in module if isinstance(module, nn.Sequential) else [module]:
        x = part(x)[0] if isinstance(part, nn.RNNBase) else part(x)
    return x


#: Modules, and what they are given.
CASES: dict[str, Any] = {
    "one row": (lambda: elman.GRU(5, 20, 2), lambda: torch.randn(7, 5), {}),
    "rows": (lambda: elman.LSTM(5, 20, proj_size=3), lambda: torch.randn(7, 3, 5), {}),
    "batch first": (
        lambda: elman.GRU(5, 20, batch_first=True),
        lambda: torch.randn(2, 7, 5),
        {},
    ),
    "two ways": (
        lambda: elman.LSTM(5, 9, 2, bidirectional=True),
        lambda: torch.randn(7, 3, 5),
        {"max_steps": 7},
    ),
    "tokens": (
        lambda: nn.Sequential(nn.Embedding(11, 5), elman.RNN(5, 20), nn.Linear(20, 3)),
        lambda: torch.randint(11, (7, 3)),
        {},
    ),
    "a text": (
        lambda: nn.Sequential(nn.Embedding(11, 5), elman.GRU(5, 20), nn.Linear(20, 3)),
        lambda: torch.randint(11, (7,), dtype=torch.int32),
        {},
    ),
}


@pytest.mark.parametrize("which", CASES)
def test_the_error_is_that_of_a_plain_computation(which: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, draw, options = CASES[which]
    module, x = make(), draw()
    found = {}
    for dtype in DTYPES:
        facts = elman.export(module, tmp_path, weight_dtype=dtype, data=x, **options)
        given = x.double() if x.is_floating_point() else x
        with torch.no_grad():
            exact = _apply(_rounded(module, None), given)
            off = _apply(_rounded(module, dtype), given) - exact
        found[dtype] = facts["error"]
        rms = off.square().mean().sqrt().item()
        expected = off.abs().max().item(), rms, rms / exact.square().mean().sqrt().item()
        assert [*facts["error"]] == ["largest", "rms", "relative"]
        assert [*facts["error"].values()] == pytest.approx(expected, rel=1e-7)
        assert json.loads((tmp_path / "cell.json").read_text()) == facts
        assert f"by {facts['error']['largest']:.2g} at most" in (tmp_path / "cell.h").read_text()
    for name in ("largest", "rms", "relative"):
        assert 0 < found[torch.bfloat16][name] < found[torch.int8][name]


def test_without_data_nothing_is_said(tmp_path: Path) -> None:
    module = elman.GRU(3, 5)
    plain = elman.export(module, tmp_path, weight_dtype=torch.int8)
    assert "error" not in plain
    said = elman.export(module, tmp_path, weight_dtype=torch.int8, data=torch.rand(4, 3))
    assert said["sha256"]["cell.o"] == plain["sha256"]["cell.o"]


class Gap(elman.Cell):
    """A cell with a further input."""

    gates, states, inputs = ("n",), ("h",), ("gap",)

    def step(self, x, u, s):
        return elman.tanh(x.n + u.n) * self.input("gap")


def _tokens() -> nn.Sequential:
    return nn.Sequential(nn.Embedding(11, 5), elman.GRU(5, 4))


def _gru(**options: Any) -> Any:
    return elman.GRU(3, 5, **options)


NARROW: dict[str, Any] = {"weight_dtype": torch.int8}
REFUSED: dict[str, Any] = {
    "no narrow weights": (_gru, torch.rand(4, 3), {}, "expected weight_dtype with data"),
    "no tensor": (_gru, [[1.0, 2.0, 3.0]], NARROW, "data to be a tensor, got list"),
    "features": (_gru, torch.rand(4, 2), NARROW, r"\(T, B, I\) with I = 3.*got \(4, 2\)"),
    "rank": (_gru, torch.rand(3), NARROW, r"got \(3,\)"),
    "no steps": (_gru, torch.rand(0, 3), NARROW, r"none of them 0, got \(0, 3\)"),
    "no rows": (_gru, torch.rand(4, 0, 3), NARROW, r"got \(4, 0, 3\)"),
    "dtype": (_gru, torch.rand(4, 3).double(), NARROW, "data of torch.float32, got torch.float64"),
    "batch first": (
        lambda: _gru(batch_first=True),
        torch.rand(4, 2, 2),
        NARROW,
        r"\(B, T, I\) with I = 3.*got \(4, 2, 2\)",
    ),
    "steps": (
        lambda: _gru(bidirectional=True),
        torch.rand(4, 3),
        {**NARROW, "max_steps": 3},
        "at most max_steps=3 steps, got 4",
    ),
    "numbers for tokens": (_tokens, torch.rand(4), NARROW, "torch.int32 or torch.int64, got"),
    "features of tokens": (
        _tokens,
        torch.zeros(4, 2, 5, dtype=torch.int64),
        NARROW,
        r"\(T,\) or \(T, B\), none of them 0, got \(4, 2, 5\)",
    ),
    "tokens": (_tokens, torch.tensor([0, 11]), NARROW, "from 0 to 10 as data, got .* 0 to 11"),
    "negative tokens": (_tokens, torch.tensor([3, -1]), NARROW, "got some from -1 to 3"),
    "further inputs": (
        lambda: elman.Recurrent(Gap, 3, 5),
        torch.rand(4, 3),
        NARROW,
        "expected no data for a module with further inputs, .* gap",
    ),
    "no numbers": (_gru, torch.full((4, 3), torch.nan), NARROW, "numbers other than zero.* nan"),
    "zeros": (
        lambda: nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU()),
        torch.zeros(4, 3),
        NARROW,
        "numbers other than zero.* 0.0",
    ),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_is_refused_writes_nothing(which: str, tmp_path: Path) -> None:
    make, data, options, match = REFUSED[which]
    kind = TypeError if which == "no tensor" else ValueError
    with pytest.raises(kind, match=match):
        elman.export(make(), tmp_path / "folder", data=data, **options)
    assert [*tmp_path.iterdir()] == []
