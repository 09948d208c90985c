"""What ``elman.explain`` says of modules that are recurrent but neither torch.nn's nor elman's."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import elman


class ByHand(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight_ih = torch.nn.Parameter(torch.randn(4, 3))
        self.weight_hh = torch.nn.Parameter(torch.randn(4, 4))


class OfLinears(torch.nn.Module):
    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, torch.nn.Linear(4, 4))


class VanillaRNN(OfLinears):
    pass


class CustomCell(torch.nn.RNNCellBase):
    def __init__(self) -> None:
        super().__init__(3, 4, True, num_chunks=2)


class LSTMModel(torch.nn.Module):
    """Named after what it contains, which is listed itself."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4)
        self.out = torch.nn.Linear(4, 2)


BY_HAND = "it is a recurrence written by hand: write its step as an elman.Cell"


@pytest.mark.parametrize(
    "make",
    [
        ByHand,
        lambda: OfLinears("i2h", "h2h"),
        lambda: OfLinears("W_xh", "W_hh"),
        lambda: OfLinears("input_map", "hidden_to_hidden"),
        lambda: VanillaRNN("a", "b"),
    ],
)
def test_loops_written_by_hand(make: Any) -> None:
    (row,) = elman.explain(torch.nn.Sequential(torch.nn.Linear(3, 3), make())).layers
    assert (row.name, row.path) == ("1", "other")
    assert row.reason.startswith(BY_HAND)
    assert "elman.register" in row.reason


def test_cells_derived_from_torchs_base() -> None:
    (row,) = elman.explain(CustomCell()).layers
    assert row.path == "torch.nn"
    assert "write its step as an elman.Cell" in row.reason


def test_what_contains_a_recurrent_layer_is_not_listed_itself() -> None:
    (row,) = elman.explain(LSTMModel()).layers
    assert row.name == "lstm"


@pytest.mark.parametrize(
    "plain",
    [
        torch.nn.TransformerEncoderLayer(4, 2),
        torch.nn.Conv1d(2, 2, 3),
        OfLinears("query", "key", "path"),
        torch.nn.Bilinear(2, 2, 2),
    ],
)
def test_what_is_not_recurrent_is_not_listed(plain: Any) -> None:
    assert elman.explain(plain).layers == ()


@pytest.mark.filterwarnings("ignore")
def test_torchscript() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LSTM(3, 4))
    for compiled in (torch.jit.script(model), torch.jit.trace(model, torch.randn(2, 1, 3))):
        (row,) = elman.explain(compiled).layers
        assert (row.name, row.path) == ("1", "other")
        assert "TorchScript has compiled this LSTM: call elman.accelerate(model)" in row.reason


@pytest.mark.filterwarnings("ignore")
def test_quantized_layers() -> None:
    model = torch.ao.quantization.quantize_dynamic(
        torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LSTM(3, 4), torch.nn.GRUCell(4, 4))
    )
    rows = {row.name: row for row in elman.explain(model).layers}
    assert list(rows) == ["1", "2"]
    assert rows["1"].path == "other"
    assert "torch.ao's LSTM runs its own integer operators" in rows["1"].reason


@pytest.mark.parametrize("name", ["module_", "model", "policy"])
def test_an_estimator_is_looked_into(name: str) -> None:
    estimator = SimpleNamespace(**{name: LSTMModel()})
    (row,) = elman.explain(estimator).layers
    assert row.name == "lstm"


def test_what_holds_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match="got SimpleNamespace, whose model is none yet: fit it"):
        elman.explain(SimpleNamespace(model=None))
    with pytest.raises(TypeError, match="or an estimator that holds one as module_, model"):
        elman.explain([1])


def test_a_changed_class_tells_its_path() -> None:
    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Linear(2, 2)

    elman.register(Theirs, lambda _: type("Ours", (Theirs,), {}))
    module = elman.accelerate(Theirs())
    (row,) = elman.explain(module).layers
    assert (row.path, row.dtype) == ("kernel", "float32")
    (row,) = elman.explain(module.half()).layers
    assert row.path == "other"
    assert row.reason.endswith("float16: the library's own code runs")
    elman.register(Theirs, None)
