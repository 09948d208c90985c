"""``elman.accelerated``: what is made, loaded or copied within it becomes elman's."""

import copy
import io
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch

import elman
from elman.nn.accelerate import OURS
from tests.systems import PATIENCE


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.LSTM(3, 4)
        self.several = torch.nn.ModuleList([torch.nn.GRU(4, 4), torch.nn.Linear(4, 4)])
        self.named = torch.nn.ModuleDict({"cell": torch.nn.RNNCell(4, 4)})
        self.add_module("added", torch.nn.Sequential(torch.nn.RNN(4, 4)))
        self.nothing = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.several[0](self.one(x)[0])
        x, _ = self.added(self.named["cell"](x.flatten(0, 1)).view_as(x))
        return x


class Their(torch.nn.LSTM):
    """Goes on in its constructor after torch.nn's."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.extra = torch.nn.Linear(2, 2)


def kinds(model: torch.nn.Module) -> set[str]:
    """Where the recurrent layers of a model come from."""
    found = {
        type(m) for m in model.modules() if isinstance(m, (torch.nn.RNNBase, torch.nn.RNNCell))
    }
    return {c.__module__.partition(".")[0] for c in found}


def reload(model: Any, way: str) -> Any:
    if way == "deepcopy":
        return copy.deepcopy(model)
    if way == "pickle":
        return pickle.loads(pickle.dumps(model))
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_what_is_built_within_is_elmans_and_computes_the_same() -> None:
    torch.manual_seed(0)
    plain = Model()
    torch.manual_seed(0)
    with elman.accelerated():
        model = Model()
    assert (kinds(plain), kinds(model)) == ({"torch"}, {"elman"})
    assert repr(model) == repr(plain)
    x = torch.randn(5, 2, 3)
    with elman.set_path("kernel"):
        torch.testing.assert_close(model(x), plain(x), rtol=1e-5, atol=1e-5)


def test_a_layer_by_itself_becomes_elmans() -> None:
    with elman.accelerated():
        made = [
            torch.nn.LSTM(2, 3),
            torch.nn.RNNCell(2, 3, nonlinearity="relu"),
            torch.nn.GRU(2, 3),
        ]
    assert [type(m) for m in made] == [elman.LSTM, elman.RNNCell, elman.GRU]
    assert made[1].nonlinearity == "relu"


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_what_is_loaded_or_copied_within_is_elmans(way: str) -> None:
    model = Model()
    with elman.accelerated():
        other = reload(model, way)
        alone = reload(torch.nn.LSTM(2, 3), way)
    assert (kinds(model), kinds(other)) == ({"torch"}, {"elman"})
    assert type(alone) is elman.LSTM
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(other(x), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_outside_nothing_changes(way: str) -> None:
    before = {c: dict(vars(c)) for c in (torch.nn.LSTM, torch.nn.GRUCell, torch.nn.Module)}
    with pytest.raises(KeyError), elman.accelerated(), elman.accelerated([Their]):
        raise KeyError
    for cls, names in before.items():
        assert dict(vars(cls)) == names
    assert kinds(Model()) == kinds(reload(Model(), way)) == {"torch"}
    assert type(torch.nn.LSTM(2, 3)) is torch.nn.LSTM


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)], ids=str)
def test_contexts_may_overlap(order: tuple[int, ...]) -> None:
    classes = (*OURS, Their, torch.nn.Module)
    before = {c: dict(vars(c)) for c in classes}
    contexts = [elman.accelerated(), elman.accelerated([Their]), elman.accelerated()]
    for context in contexts:
        context.__enter__()
    left = {0, 1, 2}
    for number in order:
        assert type(torch.nn.GRU(2, 3)) is elman.GRU
        assert kinds(copy.deepcopy(torch.nn.Sequential(torch.nn.RNN(2, 3)))) == {"elman"}
        assert (type(Their(2, 3)) is Their) == (1 not in left)
        contexts[number].__exit__(None, None, None)
        left.remove(number)
    assert {c: dict(vars(c)) for c in classes} == before
    assert kinds(torch.nn.Sequential(torch.nn.GRU(2, 3))) == {"torch"}


def test_contexts_of_threads_may_overlap() -> None:
    first, second = threading.Event(), threading.Event()
    found: list[type] = []

    def work() -> None:
        with elman.accelerated():
            first.set()
            second.wait(PATIENCE)
            found.append(type(torch.nn.LSTM(2, 3)))

    thread = threading.Thread(target=work)
    before = dict(vars(torch.nn.LSTM))
    with elman.accelerated():
        thread.start()
        first.wait(PATIENCE)
    found.append(type(torch.nn.LSTM(2, 3)))
    second.set()
    thread.join()
    assert found == [elman.LSTM, elman.LSTM]
    assert dict(vars(torch.nn.LSTM)) == before


@pytest.mark.parametrize("method", ["__init__", "__setstate__"])
def test_a_method_that_is_kept_does_nothing_more_outside(method: str) -> None:
    layer = torch.nn.GRU(2, 3)
    with elman.accelerated():
        kept = getattr(torch.nn.GRU if method == "__init__" else torch.nn.Module, method)
    kept(layer, *((2, 3) if method == "__init__" else (layer.__dict__,)))
    assert type(layer) is torch.nn.GRU


def test_an_existing_model_that_is_assigned_within_is_taken() -> None:
    assigned, copied, apart = (torch.nn.Sequential(torch.nn.GRU(2, 3)) for _ in range(3))
    with elman.accelerated():
        owner = torch.nn.Module()
        owner.held = assigned
        copy.copy(copied)
    assert [type(m[0]) for m in (assigned, copied, apart)] == [elman.GRU, elman.GRU, torch.nn.GRU]


def test_subclasses_are_taken_as_they_are_made() -> None:
    with elman.accelerated(subclasses=[Their]):
        made = Their(2, 3)
        held = torch.nn.Sequential(Their(2, 3))
    with elman.accelerated():
        assert type(Their(2, 3)) is Their
    for layer in (made, held[0]):
        assert type(layer) is not Their
        assert isinstance(layer.extra, torch.nn.Linear)
        assert elman.explain(layer).layers[0].path == "kernel"
    with (
        pytest.raises(TypeError, match="expected subclasses"),
        elman.accelerated([torch.nn.Linear]),
    ):
        pass


def test_explain_says_which_layers_of_a_reloaded_model_are_torchs_again() -> None:
    model = elman.accelerate(Model())
    fresh = Model()
    fresh.load_state_dict(model.state_dict())
    fresh.one = copy.deepcopy(model.one)
    rows = {row.name: row for row in elman.explain(fresh).layers}
    assert rows["one"].path == "kernel"
    for name in ("several.0", "named.cell", "added.0"):
        assert rows[name].path == "torch.nn"
        assert "elman.accelerate, which takes it, was not called" in rows[name].reason


def test_a_model_that_was_saved_whole_says_that_it_needs_elman(tmp_path: Any) -> None:
    torch.save(elman.accelerate(torch.nn.Sequential(torch.nn.LSTM(2, 3))), tmp_path / "ours.pt")
    torch.save(elman.restore(torch.nn.Sequential(elman.LSTM(2, 3))), tmp_path / "theirs.pt")
    program = """
import sys
sys.modules["elman"] = None
import torch
print(type(torch.load("theirs.pt", weights_only=False)[0]).__module__)
torch.load("ours.pt", weights_only=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "torch.nn.modules.rnn\n"
    assert "ModuleNotFoundError" in done.stderr.splitlines()[-1]
    assert "elman" in done.stderr.splitlines()[-1]
