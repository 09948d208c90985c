"""Flax' layers beside elman's, in a process of their own: `python -m tests.exchange.in_flax`."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np
import torch
from flax import nnx

import elman
from tests.exchange.trial import H, I, differences, redrawn, run_examples

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)  # compiling takes all the time
CLOSE = 1e-11
F64: dict[str, Any] = {"param_dtype": jax.numpy.float64}


def ways(make: Any) -> Any:
    return nn.Bidirectional(nn.RNN(make()), nn.RNN(make()))


#: Of flax.linen, by name: the model, the class that is made of it, and the options of `from_flax`.
LINEN: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "SimpleCell": (nn.RNN(nn.SimpleCell(H, **F64)), "RNN", {}),
    "SimpleCell relu": (
        nn.RNN(nn.SimpleCell(H, activation_fn=nn.relu, **F64)),
        "RNN",
        {"nonlinearity": "relu"},
    ),
    "SimpleCell sigmoid": (
        nn.RNN(nn.SimpleCell(H, activation_fn=nn.sigmoid, **F64)),
        "Recurrent",
        {"nonlinearity": "sigmoid"},
    ),
    "LSTMCell": (nn.RNN(nn.LSTMCell(H, **F64)), "LSTM", {}),
    "OptimizedLSTMCell": (nn.RNN(nn.OptimizedLSTMCell(H, **F64)), "LSTM", {}),
    "GRUCell": (nn.RNN(nn.GRUCell(H, **F64)), "GRU", {}),
    "MGUCell": (nn.RNN(nn.MGUCell(H, reset_gate=False, **F64)), "Recurrent", {}),
    "two ways": (ways(lambda: nn.GRUCell(H, **F64)), "GRU", {}),
    "two ways sum": (
        nn.Bidirectional(
            nn.RNN(nn.GRUCell(H, **F64)), nn.RNN(nn.GRUCell(H, **F64)), merge_fn=jax.numpy.add
        ),
        "Recurrent",
        {"merge": "sum"},
    ),
    "stack": (nn.Sequential([nn.RNN(nn.LSTMCell(H, **F64)) for _ in range(3)]), "LSTM", {}),
    "stack of sizes": (
        nn.Sequential([nn.RNN(nn.SimpleCell(n, **F64)) for n in (H, 4)]),
        "Recurrent",
        {},
    ),
    "stack of two ways": (
        nn.Sequential([ways(lambda: nn.LSTMCell(H, **F64)) for _ in range(2)]),
        "LSTM",
        {},
    ),
}

RNGS = nnx.Rngs(0)


def cell(kind: Any, width: int, units: int, **options: Any) -> Any:
    return nnx.RNN(kind(width, units, rngs=RNGS, **F64, **options))


#: Of flax.nnx, likewise.
NNX: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "SimpleCell": (cell(nnx.SimpleCell, I, H, dtype=jax.numpy.float64), "RNN", {}),
    "LSTMCell": (cell(nnx.LSTMCell, I, H), "LSTM", {}),
    "OptimizedLSTMCell": (cell(nnx.OptimizedLSTMCell, I, H), "LSTM", {}),
    "GRUCell": (cell(nnx.GRUCell, I, H), "GRU", {}),
    "two ways": (
        nnx.Bidirectional(cell(nnx.GRUCell, I, H), cell(nnx.GRUCell, I, H)),
        "GRU",
        {},
    ),
    "stack": (
        nnx.Sequential(
            nnx.Bidirectional(cell(nnx.LSTMCell, I, H), cell(nnx.OptimizedLSTMCell, I, H)),
            nnx.Bidirectional(cell(nnx.LSTMCell, 2 * H, H), cell(nnx.LSTMCell, 2 * H, H)),
        ),
        "LSTM",
        {},
    ),
}


def random_like(tree: Any) -> Any:
    random = np.random.default_rng(2)
    return jax.tree_util.tree_map(lambda a: jax.numpy.array(random.normal(0, 0.6, a.shape)), tree)


def shapes(model: Any) -> Any:
    return jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 2, I)))


def same(a: Any, b: Any) -> bool:
    """Whether two trees have the same structure and arrays."""
    if isinstance(a, dict):
        return isinstance(b, dict) and {*a} == {*b} and all(same(a[k], b[k]) for k in a)
    return np.array_equal(a, b)


def wrong_with_linen(name: str) -> list[str]:
    model, kind, options = LINEN[name]
    params, apply = random_like(shapes(model)), jax.jit(model.apply)
    module = elman.from_flax(params, **options)
    wrong = differences(lambda x: apply(params, x), module, f"{name}, from linen", CLOSE)
    if type(module).__name__ != kind:
        wrong.append(f"{name}: is {type(module).__name__}, expected {kind}")
    if not same(elman.to_flax(module, params), params):
        wrong.append(f"{name}: comes back as another tree")
    redrawn(module)
    back = elman.to_flax(module, params)
    wrong += differences(lambda x: apply(back, x), module, f"{name}, to linen", CLOSE)
    if "merge" not in options and not same(elman.to_flax(module), back["params"]):
        wrong.append(f"{name}: is another tree than with one to go by")
    return wrong


def wrong_with_nnx(name: str) -> list[str]:
    model, kind, options = NNX[name]
    params = random_like(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    nnx.update(model, params)
    jitted = nnx.jit(lambda model, x: model(x))

    def run(x: np.ndarray) -> Any:
        return jitted(model, x)

    module = elman.from_flax(nnx.state(model, nnx.Param), **options)
    wrong = differences(run, module, f"{name}, from nnx", CLOSE)
    if type(module).__name__ != kind:
        wrong.append(f"{name}: is {type(module).__name__}, expected {kind}")
    if not same(elman.to_flax(module, nnx.state(model, nnx.Param)), params):
        wrong.append(f"{name}: comes back as another tree")
    redrawn(module)
    if kind == "GRU":  # which has no second bias in nnx
        with torch.no_grad():
            for key, value in module.named_parameters():
                if key.startswith("bias_hh"):
                    value[2 * H :] = 0
    nnx.update(model, elman.to_flax(module, params))
    return wrong + differences(run, module, f"{name}, to nnx", CLOSE)


class Compact(nn.Module):
    """Layers made in a method, whose cells are numbered there whatever they are in."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.RNN(nn.LSTMCell(H, **F64))(x)
        return ways(lambda: nn.LSTMCell(H, **F64))(x)


def wrong_with_parts() -> list[str]:
    """Numbered cells may be layers or directions, so a list has to say which."""
    model = Compact()
    params, apply = random_like(shapes(model))["params"], jax.jit(model.apply)
    below, ahead, behind = (params[f"LSTMCell_{n}"] for n in range(3))
    try:
        elman.from_flax(params)
        return ["parts: taken without a word"]
    except ValueError as error:
        wrong = [] if "LSTMCell_0, LSTMCell_1, LSTMCell_2" in str(error) else [f"parts: {error}"]
    first = elman.from_flax(below)
    second = elman.from_flax([{"backward_rnn": behind, "forward_rnn": ahead}])

    class Both(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return second(first(x)[0])

    def theirs(x: np.ndarray) -> Any:
        return apply({"params": params}, x)

    return wrong + differences(theirs, Both(), "parts", CLOSE)


def main() -> None:
    wrong = [words for name in LINEN for words in wrong_with_linen(name)]
    wrong += [words for name in NNX for words in wrong_with_nnx(name)]
    wrong += wrong_with_parts()
    assert not wrong, "\n".join(wrong)
    run_examples("Flax")


if __name__ == "__main__":
    main()
