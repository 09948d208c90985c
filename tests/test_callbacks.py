"""Callbacks that accelerate what other libraries train."""

import pickle
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch

import elman
from elman import callbacks


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.GRU(3, 4, batch_first=True)
        self.out = torch.nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(self.rnn(x)[0][:, -1])
        return found


class Gathered(torch.nn.Module):
    """A layer that is replaced by another module."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.w(x[:, -1])
        return found


def net(*given: Any, module: Any = Net) -> Any:
    from skorch import NeuralNetRegressor

    return NeuralNetRegressor(module, callbacks=[*given], max_epochs=2, verbose=0, train_split=None)


def data() -> tuple[Any, Any]:
    x = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
    return x, x.sum((1, 2))[:, None]


def test_skorch_trains_the_same_on_elmans_layers() -> None:
    x, y = data()
    found = []
    for given in ((), (callbacks.AccelerateSkorch(),)):
        torch.manual_seed(0)
        trained = net(*given).fit(x, y)
        found.append(trained.predict(x))
    assert type(trained.module_.rnn) is elman.GRU
    assert elman.explain(trained).layers[0].path == "kernel"
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)
    again = pickle.loads(pickle.dumps(trained))
    assert type(again.module_.rnn) is elman.GRU
    assert type(again.callbacks[0]) is callbacks.AccelerateSkorch
    np.testing.assert_array_equal(again.predict(x), found[1])


def test_skorch_does_not_train_parameters_that_nobody_uses(monkeypatch: Any) -> None:
    from elman.nn import conversions

    monkeypatch.setattr(conversions, "_BY_CLASS", {})
    elman.register(Gathered, _copied)
    with pytest.raises(RuntimeError, match=r"within elman\.accelerated\(\)"):
        net(callbacks.AccelerateSkorch(), module=lambda: torch.nn.Sequential(Gathered())).fit(
            *data()
        )


def _copied(theirs: Gathered) -> torch.nn.Module:
    ours = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 1))
    ours[1].load_state_dict(theirs.w.state_dict())
    return ours


@pytest.mark.parametrize("name", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning_calls_it_before_it_makes_optimizers(name: str, monkeypatch: Any) -> None:
    library = types.ModuleType(name)
    library.Callback = type("Callback", (), {})  # type: ignore[attr-defined]
    for other in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, other, None)
        monkeypatch.delitem(sys.modules, other)
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), library)
    monkeypatch.delitem(sys.modules, "elman.callbacks.lightning", raising=False)
    found = callbacks.AccelerateLightning
    assert found is callbacks.AccelerateLightning
    assert found.__mro__[1] is library.Callback
    model = Net()
    found().setup(None, model, "fit")
    assert type(model.rnn) is elman.GRU
    monkeypatch.delitem(sys.modules, "elman.callbacks.lightning")


def test_no_library_is_imported_before_it_is_asked_for() -> None:
    program = (
        "import sys; import elman.callbacks\n"
        "assert 'skorch' not in sys.modules, sys.modules\n"
        "print(dir(elman.callbacks))\n"
        "try: elman.callbacks.Other\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "AccelerateSkorch" in done.stdout
    assert "no attribute 'Other'" in done.stdout
