"""Conversions of other libraries' layers, with small stand-ins for the libraries."""

import copy
import sys
import types
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import elman
from elman.libraries import TAKEN, taken, torchrecurrent_formulas, torchrecurrent_pairs
from elman.libraries.torchrecurrent_formulas import Formula
from elman.nn import conversions


class LiGRU_Layer(torch.nn.Module):
    """What matters of SpeechBrain's: the loop, and dropout masks drawn beforehand."""

    def __init__(self, act: Any = None) -> None:
        super().__init__()
        self.w = torch.nn.Linear(3, 10, bias=False)
        self.u = torch.nn.Linear(5, 10, bias=False)
        self.act = torch.nn.ReLU() if act is None else act
        self.register_buffer("drop_masks", torch.nn.functional.dropout(torch.ones(4, 5), 0.4))

    def forward(self, x: torch.Tensor, hx: Any = None) -> torch.Tensor:
        w = self.w(x)
        return self._ligru_cell(w, w.new_zeros(len(x), 5) if hx is None else hx)

    def _ligru_cell(self, w: torch.Tensor, ht: torch.Tensor) -> torch.Tensor:
        hiddens, drop_mask = [], self._sample_drop_mask(w)
        for k in range(w.shape[1]):
            at, zt = (w[:, k] + self.u(ht)).chunk(2, 1)
            zt = torch.sigmoid(zt)
            ht = zt * ht + (1 - zt) * self.act(at) * drop_mask
            hiddens.append(ht)
        return torch.stack(hiddens, 1)

    def _sample_drop_mask(self, w: torch.Tensor) -> torch.Tensor:
        return self.drop_masks[: len(w)] if self.training else torch.ones(1, dtype=w.dtype)


class SLiGRU_Layer(LiGRU_Layer):
    def _sligru_cell(self, w: torch.Tensor, ht: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


@pytest.fixture
def speechbrain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library, as far as it is needed, with these classes."""
    for name in ("speechbrain", "speechbrain.nnet", "speechbrain.nnet.RNN"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for kind in (LiGRU_Layer, SLiGRU_Layer):
        setattr(sys.modules["speechbrain.nnet.RNN"], kind.__name__, kind)
        monkeypatch.setattr(kind, "__module__", "speechbrain.nnet.RNN")
    monkeypatch.delitem(sys.modules, "elman.libraries.speechbrain", raising=False)
    monkeypatch.setattr(taken, "changed", lambda *_: "")


@pytest.mark.usefixtures("speechbrain")
@pytest.mark.parametrize("act", [torch.nn.ReLU(), torch.nn.Tanh(), torch.sin, torch.nn.LeakyReLU()])
@pytest.mark.parametrize("training", [False, True])
def test_a_converted_layer_computes_and_learns_the_same(act: Any, training: bool) -> None:
    theirs = LiGRU_Layer(act).double().train(training)
    ours = elman.accelerate(copy.deepcopy(theirs))
    assert type(ours) is not LiGRU_Layer
    assert isinstance(ours, LiGRU_Layer)
    assert repr(ours) == repr(theirs)
    assert elman.explain(ours).layers[0].path == "kernel"
    inputs = [torch.randn(4, 7, 3, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)]
    found = []
    for layer in (theirs, ours):
        given = [t.clone().requires_grad_() for t in inputs]
        with elman.set_path("auto" if layer is theirs else "kernel"):
            output = layer(*given)
            output.pow(2).sum().backward()
        found.append([output, *(t.grad for t in (*given, *layer.parameters()))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert type(elman.restore(ours)) is LiGRU_Layer


@pytest.mark.usefixtures("speechbrain")
def test_their_code_runs_where_kernels_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, calls = elman.accelerate(LiGRU_Layer().eval()), []
    own = LiGRU_Layer._ligru_cell
    monkeypatch.setattr(LiGRU_Layer, "_ligru_cell", lambda *a: (calls.append(1), own(*a))[1])
    x = torch.randn(2, 4, 3)
    expected = layer(x)
    assert not calls
    with elman.set_path("reference"):
        torch.testing.assert_close(layer(x), expected)
    assert len(calls) == 1
    torch.testing.assert_close(torch.func.vmap(layer)(x[:, None])[:, 0], expected)
    with torch.autocast("cpu", torch.bfloat16):
        layer(x)
    layer.bfloat16()(x.bfloat16())
    assert len(calls) == 4
    with elman.set_path("kernel"), pytest.raises(elman.PathError):
        torch.func.vmap(layer.float())(x[:, None])


class Adapter(torch.nn.Linear):
    """It takes a linear map's place, and adds something to it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 0.1


def _adapted(layer: Any) -> None:
    layer.u.__class__ = Adapter


def _hooked(layer: Any) -> None:
    layer.u.register_forward_hook(lambda module, args, output: output + 0.1)


def _normalised(layer: Any) -> None:
    torch.nn.utils.parametrizations.weight_norm(layer.u)
    with torch.no_grad():
        layer.u.parametrizations.weight.original0 *= 2


def _made_before_each_call(layer: Any) -> None:
    torch.nn.utils.spectral_norm(layer.u)


@pytest.mark.usefixtures("speechbrain")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("change", [_adapted, _hooked, _normalised, _made_before_each_call])
def test_parts_that_do_more_than_their_weights_say_are_called(change: Any) -> None:
    theirs = LiGRU_Layer().eval()
    ours, x = elman.accelerate(copy.deepcopy(theirs)), torch.randn(2, 4, 3)
    for layer in (theirs, ours):
        torch.manual_seed(0)
        change(layer)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.usefixtures("speechbrain")
def test_other_code_and_other_activations_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = elman.accelerate(LiGRU_Layer(torch.nn.GELU()))
    assert type(layer) is LiGRU_Layer
    assert "its activation is GELU" in elman.explain(layer).layers[0].reason
    monkeypatch.undo()
    for name in ("speechbrain", "speechbrain.nnet"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    home = types.SimpleNamespace(LiGRU_Layer=LiGRU_Layer, SLiGRU_Layer=SLiGRU_Layer)
    monkeypatch.setitem(sys.modules, "speechbrain.nnet.RNN", home)
    monkeypatch.delitem(sys.modules, "elman.libraries.speechbrain", raising=False)
    monkeypatch.setattr(LiGRU_Layer, "__module__", "speechbrain.nnet.RNN")
    layer = elman.accelerate(LiGRU_Layer())
    assert type(layer) is LiGRU_Layer
    assert "is not that which elman's was compared with" in elman.explain(layer).layers[0].reason
    monkeypatch.delitem(sys.modules, "elman.libraries.speechbrain")


def test_a_library_that_lacks_a_class_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("speechbrain", "speechbrain.nnet", "speechbrain.nnet.RNN"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.delitem(sys.modules, "elman.libraries.speechbrain", raising=False)
    monkeypatch.setattr(LiGRU_Layer, "__module__", "speechbrain.nnet.RNN")
    layer = elman.accelerate(LiGRU_Layer())
    assert type(layer) is LiGRU_Layer
    assert "elman.libraries.speechbrain cannot be imported" in elman.explain(layer).layers[0].reason


def _plain() -> Any:
    def f(x: int) -> int:
        return x + 1

    return f


def _commented() -> Any:
    def f(x: int) -> int:
        """With words."""
        return (
            # and more of them
            x + 1
        )

    return f


def _changed() -> Any:
    def f(x: int) -> int:
        return x + 2

    return f


def test_a_digest_sees_code_and_nothing_else() -> None:
    plain = taken.digest_of(_plain())
    assert taken.changed(plain, _plain()) == taken.changed(plain, _commented()) == ""
    assert "is not that which elman's was compared with" in taken.changed(plain, _changed())
    without_source = types.FunctionType(compile("lambda: 1", "nowhere", "eval"), {})
    assert taken.digest_of(without_source) == "no source"


@pytest.mark.parametrize("home", TAKEN)
def test_what_is_taken_is_registered_by_name(home: str) -> None:
    for name in TAKEN[home]:
        assert name in conversions._BY_NAME


FORMULAS = [
    found
    for room in (torchrecurrent_formulas, torchrecurrent_pairs)
    for found in vars(room).values()
    if isinstance(found, type) and issubclass(found, Formula) and found.gates
]
ACTIVATIONS = {
    "act": torch.nn.Tanh(),
    "gate_act": torch.nn.Sigmoid(),
    "output_act": torch.nn.SiLU(),
}
NUMBERS = ("epsilon", "gamma", "dt", "alpha", "update_coefficient", "reset_coefficient")


def test_every_layer_of_torchrecurrent_has_a_formula() -> None:
    names = {"coRNN" if f.__name__ == "CoRNN" else f.__name__ for f in FORMULAS}
    assert names == {name.rpartition(".")[2] for name in TAKEN["torchrecurrent"]}


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f.__name__)
def test_formulas_can_be_traced(formula: type[Formula]) -> None:
    cell = formula(SimpleNamespace(**ACTIVATIONS, **dict.fromkeys(NUMBERS, 0.5)))
    step = cell.trace()
    assert step.states == formula.states
    assert formula.foreign(SimpleNamespace(**ACTIVATIONS)) == ""
    unknown = dict.fromkeys(ACTIVATIONS, torch.nn.Softplus(2.0))
    assert bool(formula.foreign(SimpleNamespace(**unknown))) == bool(formula.activations)


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("ATR", elman.cells.ATR()),
        ("CFN", elman.cells.CFN()),
        ("MGU", elman.cells.MGU()),
        ("LiGRU", elman.cells.LightGRU()),
    ],
)
def test_formulas_are_those_of_the_catalogue(name: str, cell: elman.Cell) -> None:
    formula = next(f for f in FORMULAS if f.__name__ == name)
    activations = ACTIVATIONS | ({"act": torch.nn.ReLU()} if name == "LiGRU" else {})
    mine = elman.Recurrent(formula(SimpleNamespace(**activations)), 3, 5, dtype=torch.float64)
    theirs = elman.Recurrent(cell, 3, 5, dtype=torch.float64)
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(mine(x)[0], theirs(x)[0], rtol=1e-12, atol=1e-12)
