"""torch.nn's layers become elman's and back."""

import copy

import pytest
import torch

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
