"""What ``elman.explain`` says of modules that are recurrent but neither torch.nn's nor elman's."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrizations

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


class Tutorial(torch.nn.Module):
    """The RNN of PyTorch's tutorial, whose matrix takes the input and the state together."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.first = name
        self.add_module(name, torch.nn.Linear(3 + 4, 4))
        self.h2o = torch.nn.Linear(4, 2)

    def forward(self, input: torch.Tensor, hidden: torch.Tensor) -> Any:
        hidden = torch.tanh(self.get_submodule(self.first)(torch.cat([input, hidden], 1)))
        return self.h2o(hidden), hidden


class FeedForward(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.i2h, self.h2o = torch.nn.Linear(7, 4), torch.nn.Linear(4, 2)

    def forward(self, input: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        output: torch.Tensor = self.h2o(torch.tanh(self.i2h(input)))
        return output * scale


class Pair(torch.nn.Module):
    def __init__(self, first: torch.nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, elman.Recurrent(elman.cells.MGU, 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.second(self.first(x)[0])[0]
        return output


class MyRNN(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.randn(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ self.w)


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
        lambda: Tutorial("i2h"),
        lambda: Tutorial("in2hidden"),
        lambda: Tutorial("input_to_hidden"),
        lambda: parametrizations.weight_norm(ByHand(), "weight_ih"),
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
        FeedForward(),
        torch.fx.symbolic_trace(torch.nn.Linear(2, 2)),
    ],
)
def test_what_is_not_recurrent_is_not_listed(plain: Any) -> None:
    assert elman.explain(plain).layers == ()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", [torch.nn, elman])
@pytest.mark.parametrize("compiler", ["script", "trace"])
def test_torchscript(library: Any, compiler: str) -> None:
    model, x = torch.nn.Sequential(torch.nn.Linear(3, 3), library.LSTM(3, 4)), torch.randn(2, 1, 3)
    (row,) = elman.explain(
        torch.jit.script(model) if compiler == "script" else torch.jit.trace(model, x)
    ).layers
    assert (row.name, row.path) == ("1", "other")
    assert row.reason.startswith("TorchScript has compiled this LSTM, and runs torch's")
    assert "on the Python model and torch.export that" in row.reason


@pytest.mark.filterwarnings("ignore")
def test_torchscript_of_other_layers() -> None:
    layer = elman.Recurrent(elman.cells.MGU, 3, 4)
    model = torch.jit.trace(torch.nn.Sequential(layer), torch.randn(2, 1, 3))
    (row,) = elman.explain(model).layers
    assert row.name == "0"
    assert row.reason.startswith("TorchScript has compiled this Recurrent, which calls elman's op")
    (row,) = elman.explain(torch.jit.script(MyRNN())).layers
    assert "TorchScript has compiled this MyRNN: in the Python model, write its" in row.reason


def _saved(program: Any) -> Any:
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return torch.export.load(file)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "given",
    [
        lambda p: p,
        lambda p: p.module(),
        torch.export.unflatten,
        _saved,
        lambda p: _saved(p).module(),
    ],
    ids=["program", "module", "unflattened", "saved", "module of saved"],
)
def test_exported_programs(given: Any) -> None:
    x, found = torch.randn(5, 2, 3), {}
    for name, first in {"ours": elman.LSTM(3, 4), "theirs": torch.nn.LSTM(3, 4)}.items():
        rows = elman.explain(given(torch.export.export(Pair(first), (x,)))).layers
        found[name] = " ".join(row.reason for row in rows)
        assert {row.path for row in rows} == {"other"}
    for reason in found.values():
        assert "this captured graph calls elman's operator (" in reason
        assert "Recurrent at second" in reason
    assert "torch's own" not in found["ours"]
    assert "has torch's own operators (LSTM at first): call elman.accelerate" in found["theirs"]


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


def test_an_estimator_in_an_estimator_is_looked_into() -> None:
    inner = SimpleNamespace(module_=LSTMModel(), model=None)
    for estimator in (
        SimpleNamespace(model=inner),
        SimpleNamespace(model=None, policy=inner),
        SimpleNamespace(model=SimpleNamespace(network=inner)),
    ):
        (row,) = elman.explain(estimator).layers
        assert row.name == "lstm"
    circle = SimpleNamespace()
    circle.model = circle
    with pytest.raises(TypeError, match="whose model is a SimpleNamespace that holds none"):
        elman.explain(circle)


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
