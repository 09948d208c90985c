"""torch.nn's layers become elman's and back."""

import copy
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrizations, parametrize

import elman


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(9, 5)
        self.rnn = torch.nn.RNN(5, 7, num_layers=2, nonlinearity="relu", bidirectional=True)
        self.tied = self.rnn
        self.cells = torch.nn.ModuleList([torch.nn.RNNCell(14, 3), torch.nn.RNNCell(14, 3)])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        output, h_n = self.rnn(self.embed(ids))
        return self.cells[0](output[-1]) + self.cells[1](output[0]) + h_n.sum()


class Derived(torch.nn.RNN):
    """Not torch's own class: it may compute something else."""


def test_accelerated_models_compute_the_same_with_the_same_parameters() -> None:
    model = Model()
    ids = torch.randint(0, 9, (6, 4))
    before, names = model(ids), [(n, id(p)) for n, p in model.named_parameters()]
    original = copy.deepcopy(model)
    assert elman.accelerate(model) is model
    assert type(model.rnn) is elman.RNN
    assert model.tied is model.rnn
    assert all(type(c) is elman.RNNCell for c in model.cells)
    with elman.set_path("kernel"):
        torch.testing.assert_close(model(ids), before, rtol=1e-5, atol=1e-5)
    assert [(n, id(p)) for n, p in model.named_parameters()] == names
    assert repr(model) == repr(original)


def test_it_is_idempotent_and_undone() -> None:
    model = elman.accelerate(elman.accelerate(Model()))
    assert type(model.rnn) is elman.RNN
    elman.restore(elman.restore(model))
    assert type(model.rnn) is torch.nn.RNN
    assert type(model.cells[0]) is torch.nn.RNNCell


def test_subclasses_are_left_alone() -> None:
    module = Derived(2, 3)
    assert type(elman.accelerate(module)) is Derived


def test_hooks_are_kept() -> None:
    model, seen = Model(), []
    model.rnn.register_forward_hook(lambda *_: seen.append(1))
    elman.accelerate(model)(torch.randint(0, 9, (2, 1)))
    assert seen == [1]


def test_training_state_and_checkpoints_carry_over() -> None:
    model = elman.accelerate(Model().eval())
    assert not model.rnn.training
    fresh = Model()
    fresh.load_state_dict(model.state_dict())
    ids = torch.randint(0, 9, (3, 2))
    torch.testing.assert_close(fresh(ids), model(ids), rtol=1e-5, atol=1e-5)


def test_what_is_no_module_is_refused() -> None:
    for call in (elman.accelerate, elman.restore):
        with pytest.raises(
            TypeError, match=rf"{call.__name__}: expected a torch\.nn\.Module, got int"
        ):
            call(3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_modules_are_walked_and_left() -> None:
    scripted = torch.jit.script(torch.nn.Sequential(torch.nn.LSTM(2, 3)))
    assert elman.accelerate(scripted) is scripted
    assert elman.restore(scripted) is scripted
    assert scripted(torch.zeros(1, 1, 2))[0].shape == (1, 1, 3)


class Prepared(torch.nn.LSTM):
    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:
        return super().forward(input / 2, hx)


PARAMETRIZED = {
    "rnn": (lambda: torch.nn.RNN(2, 3), "weight_hh_l0", (4, 1, 2)),
    "lstm": (lambda: torch.nn.LSTM(2, 3), "weight_hh_l0", (4, 1, 2)),
    "gru": (lambda: torch.nn.GRU(2, 3, bidirectional=True), "weight_ih_l0_reverse", (4, 1, 2)),
    "cell": (lambda: torch.nn.GRUCell(2, 3), "weight_hh", (1, 2)),
    "subclass": (lambda: Prepared(2, 3), "weight_hh_l0", (4, 1, 2)),
}


@pytest.mark.parametrize("name", PARAMETRIZED)
@pytest.mark.parametrize("first", ["parametrized", "accelerated"])
@pytest.mark.parametrize("last", ["restored", "plain again"])
def test_parametrized_layers_are_taken_and_given_back(name: str, first: str, last: str) -> None:
    make, weight, shape = PARAMETRIZED[name]
    module, x = make().double(), torch.randn(shape, dtype=torch.float64)
    wanted, kind = module(x)[0], type(module)
    model, picked = torch.nn.Sequential(module), [Prepared]
    if first == "parametrized":
        parametrizations.weight_norm(module, weight)
        (row,) = elman.explain(model).layers
        if name == "subclass":
            assert "name it in subclasses=[Prepared]" in row.reason
        else:
            assert row.reason == "elman.accelerate, which takes it, was not called"
        elman.accelerate(model, subclasses=picked)
    else:
        elman.accelerate(model, subclasses=picked)
        parametrizations.weight_norm(module, weight)
    assert model[0] is module
    assert elman.explain(model).layers[0].path == "kernel"
    for taken in (module, copy.deepcopy(module)):
        assert isinstance(taken, kind)
        with elman.set_path("kernel"):
            torch.testing.assert_close(taken(x)[0], wanted, rtol=1e-12, atol=1e-12)
    if last == "restored":
        elman.restore(model)
        assert type(module).__mro__[1] is kind
        assert parametrize.is_parametrized(module, weight)
        torch.testing.assert_close(module(x)[0], wanted, rtol=1e-12, atol=1e-12)
        parametrize.remove_parametrizations(module, weight)
    else:
        parametrize.remove_parametrizations(module, weight)
        assert elman.explain(model).layers[0].path == "kernel"
        torch.testing.assert_close(module(x)[0], wanted, rtol=1e-12, atol=1e-12)
        elman.restore(model)
    assert type(module) is kind
    torch.testing.assert_close(module(x)[0], wanted, rtol=1e-12, atol=1e-12)


def test_a_parametrized_layer_that_torch_does_not_have_stays() -> None:
    module = elman.GRU(2, 3, reset_after=False)
    parametrizations.weight_norm(module, "weight_hh_l0")
    elman.restore(module)
    assert elman.explain(module).layers[0].path == "kernel"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_refuses_parametrized_layers_as_it_does_torchs() -> None:
    module = torch.nn.LSTM(2, 3)
    parametrizations.weight_norm(module, "weight_hh_l0")
    model = torch.nn.Sequential(module)
    with pytest.raises(RuntimeError):
        torch.jit.script(model)
    with pytest.raises(RuntimeError, match=r"cannot compile ParametrizedLSTM.* torch\.export"):
        torch.jit.script(elman.accelerate(model))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("way", ["compile", "export", "trace", "fx"])
def test_parametrized_layers_are_captured(way: str) -> None:
    module = torch.nn.LSTM(2, 3)
    parametrizations.weight_norm(module, "weight_hh_l0")
    model, x = elman.accelerate(torch.nn.Sequential(module)), torch.randn(5, 2, 2)
    wanted = model(x)[0]
    captured: Any = {
        "compile": lambda: torch.compile(model, backend="eager", fullgraph=True),
        "export": lambda: torch.export.export(model, (x,)).module(),
        "trace": lambda: torch.jit.trace(model, x),
        "fx": lambda: torch.fx.symbolic_trace(model),
    }[way]()
    torch.testing.assert_close(captured(x)[0], wanted)
