"""Artefacts of models: an embedding, recurrent layers, linear layers and what follows them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from tests.artefact.linked import Linked, needs_compiler
from tests.streaming.modules import Gap


def _apply(model: nn.Sequential, x: Tensor, gap: Tensor) -> Tensor:
    """What PyTorch makes of ``(T, I)``, or of tokens ``(T,)``."""
    for part in model.eval():
        if isinstance(part, nn.Sequential):
            x = _apply(part, x, gap)
        elif isinstance(part, elman.Recurrent):
            x = part(x[:, None], inputs={"gap": gap[:, None]})[0][:, 0]
        elif isinstance(part, nn.RNNBase):
            x = part(x[:, None])[0][:, 0]
        else:
            x = part(x)
    return x


#: A model of each kind, by its name: of tokens, of numbers, of two recurrences.
MODELS: dict[str, Any] = {
    "tokens": lambda: nn.Sequential(
        nn.Embedding(11, 5), nn.Dropout(0.5), elman.LSTM(5, 7, 2), nn.Linear(7, 11)
    ),
    "labels": lambda: nn.Sequential(
        nn.Embedding(11, 5), elman.GRU(5, 9), nn.Linear(9, 3), nn.Softmax(-1)
    ),
    "numbers": lambda: nn.Sequential(
        nn.Linear(5, 6), nn.ReLU(), elman.RNN(6, 17), nn.Linear(17, 2, bias=False), nn.Sigmoid()
    ),
    "two recurrences": lambda: nn.Sequential(
        elman.GRU(5, 7, 2),
        elman.Recurrent(Gap, 7, 7, 2, residual=True),
        nn.Sequential(nn.Identity(), nn.Linear(7, 4), nn.Tanh(), nn.Linear(4, 4), nn.SiLU()),
    ),
    "no recurrence": lambda: nn.Sequential(nn.Linear(5, 3)),
    "a linear layer": lambda: nn.Linear(5, 3),
}


@needs_compiler
@pytest.mark.parametrize(
    ("which", "dtype"),
    [*((which, torch.float32) for which in MODELS), ("labels", torch.float64)],
)
def test_a_model_computes_what_pytorch_does(which: str, dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MODELS[which]().to(dtype)
    whole = nn.Sequential(model)
    reads_tokens = isinstance(model, nn.Sequential) and isinstance(model[0], nn.Embedding)
    x = torch.randint(11, (6,), dtype=torch.int32) if reads_tokens else torch.randn(6, 5).to(dtype)
    gap = torch.rand(6, 7, dtype=dtype)
    with torch.no_grad():
        expected = _apply(whole, x, gap)
    linked = Linked(model, tmp_path)
    further = [gap] if linked.facts["further_inputs"] else []
    linked.begin()
    torch.testing.assert_close(linked.chunk(x, *further), expected)
    linked.begin("reset")
    steps = zip(x, *further, strict=True)
    torch.testing.assert_close(torch.stack([linked.step(*each) for each in steps]), expected)
    assert linked.facts.get("tokens") == (11 if reads_tokens else None)


def test_weights_are_narrow_but_for_the_embedding(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(64, 64), elman.GRU(64, 64), nn.Linear(64, 64))
    whole = elman.export(model, tmp_path)["constant_bytes"]
    narrow = elman.export(model, tmp_path, weight_dtype=torch.int8)["constant_bytes"]
    numbers = 64 * 64 * 7  # of matrices
    assert whole - narrow == pytest.approx(numbers * 3, rel=0.1)


REFUSED: dict[str, Any] = {
    "nothing": (lambda: nn.Sequential(nn.Dropout()), ValueError, "at least one layer"),
    "torch's layer": (
        lambda: nn.Sequential(nn.GRU(3, 5), nn.Linear(5, 2)),
        TypeError,
        "got GRU; elman.accelerate turns",
    ),
    "late embedding": (
        lambda: nn.Sequential(elman.GRU(3, 5), nn.Embedding(5, 5)),
        ValueError,
        "Embedding in the first place only",
    ),
    "norm": (
        lambda: nn.Sequential(nn.Embedding(5, 3, max_norm=1.0), elman.GRU(3, 5)),
        ValueError,
        "without max_norm",
    ),
    "function of nothing": (
        lambda: nn.Sequential(elman.GRU(3, 5), nn.Tanh()),
        ValueError,
        "Tanh right after a torch.nn.Linear",
    ),
    "two functions": (
        lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.ReLU()),
        ValueError,
        "ReLU right after a torch.nn.Linear",
    ),
    "over time": (
        lambda: nn.Sequential(nn.Linear(3, 5), nn.Softmax(0)),
        ValueError,
        r"Softmax\(dim=-1\), got dim=0",
    ),
    "sizes": (
        lambda: nn.Sequential(nn.Embedding(9, 4), elman.GRU(3, 5)),
        ValueError,
        "go together, got 4 features for GRU.*input_size is 3",
    ),
    "sizes of a linear layer": (
        lambda: nn.Sequential(elman.GRU(3, 5), nn.Linear(4, 2)),
        ValueError,
        "got 5 features",
    ),
    "dtypes": (
        lambda: nn.Sequential(elman.GRU(3, 5).double(), nn.Linear(5, 2)),
        ValueError,
        "got one of torch.float32 and torch.float64",
    ),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_is_refused_writes_nothing(which: str, tmp_path: Path) -> None:
    make, kind, match = REFUSED[which]
    with pytest.raises(kind, match=match):
        elman.export(make(), tmp_path / "folder")
    assert [*tmp_path.iterdir()] == []
