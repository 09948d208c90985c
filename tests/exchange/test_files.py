"""Modules in files: safetensors, state dicts, whole modules, and those that old versions wrote."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import Tensor
from torch.nn.utils.parametrizations import weight_norm
from torch.utils._pytree import tree_leaves

import elman
from elman import cells
from tests.exchange.trial import run_examples
from tests.nn.kinds import KINDS, Kind, each
from tests.nn.old import OLD_STATES

I, H, T, B = 3, 5, 6, 4  # noqa: E741


def tied() -> torch.nn.Module:
    """One tensor in two layers, by two names."""
    net = elman.Recurrent(cells.LSTM, H, H, num_layers=2)
    net.weight_ih_l1, net.bias_ih_l1 = net.weight_ih_l0, net.bias_hh_l0
    return net


def shared() -> torch.nn.Module:
    """One layer at two places of a model, beside an accelerated one."""
    layer = elman.GRU(I, I, bidirectional=True)
    return elman.accelerate(torch.nn.ModuleDict({"a": layer, "b": layer, "c": torch.nn.GRU(I, H)}))


def turned() -> torch.nn.Module:
    """A weight whose rows don't lie one after the other."""
    gru = elman.GRU(I, H)
    gru.weight_ih_l0 = torch.nn.Parameter(torch.randn(I, 3 * H).t())
    return gru


BOTH: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
MODULES: dict[str, Callable[[], torch.nn.Module]] = {
    "RNN": lambda: elman.RNN(I, H, nonlinearity="relu", **BOTH),
    "LSTM": lambda: elman.LSTM(I, H, proj_size=2, **BOTH),
    "GRU": lambda: elman.GRU(I, H, reset_after=False, **BOTH),
    "RNNCell": lambda: elman.RNNCell(I, H),
    "LSTMCell": lambda: elman.LSTMCell(I, H),
    "GRUCell": lambda: elman.GRUCell(I, H, reset_after=False),
    "Recurrent": lambda: elman.Recurrent(cells.PeepholeLSTM, I, [H, 4], bidirectional=True),
    "vectors": lambda: elman.Recurrent(cells.MIRNN, I, H, num_layers=2),
    "matrices": lambda: elman.Recurrent(cells.MinimalRNN, I, H, num_layers=2),
    "projected": lambda: elman.Recurrent(cells.LSTM(projection=True), I, H, proj_size=2),
    "learned states": lambda: elman.Recurrent(cells.GRU, I, H, learn_initial=True, **BOTH),
    "masked": lambda: elman.Recurrent(cells.LSTM, I, H, mask=torch.ones(H, H).triu(), **BOTH),
    "Dale": lambda: elman.RecurrentCell(cells.Elman, I, 2, mask=elman.nn.Dale([1, -1])),
    "weight norm": lambda: weight_norm(elman.RNN(I, H), "weight_hh_l0"),
    "tied": tied,
    "shared": shared,
    "turned": turned,
    "RecurrentCell": lambda: elman.RecurrentCell(cells.BRC, I, H),
}
LENGTHS = torch.tensor([6, 2, 0, 3])


def run(module: Any) -> list[Tensor]:
    """All that a module gives for some inputs."""
    if isinstance(module, torch.nn.ModuleDict):
        return [t for part in module.values() for t in run(part)]
    torch.manual_seed(0)
    if not hasattr(module, "num_layers"):
        return tree_leaves(module(torch.randn(B, module.input_size)))
    found = tree_leaves(module(torch.randn(T, B, module.input_size)))
    if isinstance(module, elman.Recurrent):
        found += tree_leaves(module(torch.randn(T, B, module.input_size), lengths=LENGTHS))
    return found


def changed(module: torch.nn.Module) -> torch.nn.Module:
    """A copy with other numbers."""
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.3)
    return other


def by_save_model(module: torch.nn.Module, path: Path) -> torch.nn.Module:
    save_model(module, str(path))
    other = changed(module)
    load_model(other, path)
    return other


def by_save_file(module: torch.nn.Module, path: Path) -> torch.nn.Module:
    """Every tensor under its own name, as loaders of other languages want it."""
    save_file({name: t.contiguous().clone() for name, t in module.state_dict().items()}, path)
    other = changed(module)
    other.load_state_dict(load_file(path))
    return other


def by_state_dict(module: torch.nn.Module, path: Path) -> torch.nn.Module:
    torch.save(module.state_dict(), path)
    other = changed(module)
    other.load_state_dict(torch.load(path, weights_only=True))
    return other


def by_mapped_state_dict(module: torch.nn.Module, path: Path) -> torch.nn.Module:
    torch.save(module.state_dict(), path)
    other = changed(module).to("meta")
    other.load_state_dict(torch.load(path, weights_only=True, mmap=True), assign=True)
    return other


WAYS = [by_save_model, by_save_file, by_state_dict, by_mapped_state_dict]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", MODULES)
def test_weights_come_back_from_a_file(name: str, way: Any, tmp_path: Path) -> None:
    module = MODULES[name]()
    expected = run(module)
    assert not all(torch.equal(*pair) for pair in zip(run(changed(module)), expected, strict=True))
    found = run(way(module, tmp_path / "weights"))
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", MODULES)
def test_a_whole_module_comes_back_where_its_classes_are_allowed(name: str) -> None:
    module, file = MODULES[name](), io.BytesIO()
    if hasattr(module, "parametrizations"):
        with pytest.raises(RuntimeError, match=r"only supported through state_dict\(\)"):
            torch.save(module, file)
        return
    torch.save(module, file)
    inside = [m for m in module.modules() if hasattr(m, "cell")]
    allowed = [*{type(m) for m in module.modules()}, *{type(m.cell) for m in inside}]
    file.seek(0)
    with torch.serialization.safe_globals(allowed):
        loaded = torch.load(file, weights_only=True)
    assert type(loaded) is type(module)
    for other in (loaded, pickle.loads(pickle.dumps(module))):
        assert all(torch.equal(*pair) for pair in zip(run(other), run(module), strict=True))


@pytest.mark.parametrize("nn", [torch.nn, elman], ids=["torch", "elman"])
def test_parameters_in_one_buffer_are_saved_as_copies(nn: Any, tmp_path: Path) -> None:
    """As cuDNN wants them on a GPU: safetensors refuses views that are only parts."""
    module = nn.LSTM(I, H)
    flat = torch.cat([p.detach().flatten() for p in module.parameters()])
    cut = flat.split([p.numel() for p in module.parameters()])
    for (name, p), part in zip(list(module.named_parameters()), cut, strict=True):
        setattr(module, name, torch.nn.Parameter(part.view_as(p)))
    with pytest.raises(RuntimeError, match="None is covering the entire storage"):
        save_model(module, str(tmp_path / "refused"))
    other = by_save_file(module, tmp_path / "weights")
    assert all(torch.equal(*pair) for pair in zip(run(other), run(module), strict=True))


def test_examples_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_examples("Files")


class Pickled:
    """Is pickled as an object of another class, with a state that need not be what it has today."""

    def __init__(self, kind: type, state: dict[str, Any]) -> None:
        self.kind, self.state = kind, state

    def __reduce__(self) -> Any:
        return object.__new__, (self.kind,), self.state


#: What a module has held from the first version on, beside its own.
ANCIENT = {"_parameters", "_buffers", "_modules", "_forward_hooks", "_backward_hooks"}


@each([kind for kind in KINDS if not kind.proj_size])
@pytest.mark.parametrize("age", OLD_STATES)
def test_files_of_old_versions_are_loaded_accelerated_and_exchanged(kind: Kind, age: str) -> None:
    original, _ = kind.stack()
    state, file = dict(vars(original)), io.BytesIO()
    if not kind.single:
        OLD_STATES[age](state)
        state.pop("nonlinearity", None)
        state.pop("_flat_weight_refs", None)  # which no pickle holds
    added = {n for n in vars(torch.nn.Module()) if n.startswith("_")} - ANCIENT
    torch.save(Pickled(type(original), {n: v for n, v in state.items() if n not in added}), file)
    file.seek(0)
    loaded = elman.accelerate(torch.load(file, weights_only=False))
    assert type(loaded) is getattr(elman, kind.name)
    expected = run(original)
    exchanged = elman.from_keras(elman.to_keras(loaded), batch_first=False)
    assert type(exchanged).__name__ == kind.name.removesuffix("Cell")
    for module in (
        loaded,
        elman.restore(copy.deepcopy(loaded)),
        pickle.loads(pickle.dumps(loaded)),
        *([] if kind.single else [exchanged]),
    ):
        for found, right in zip(run(module), expected, strict=True):
            torch.testing.assert_close(found, right)
