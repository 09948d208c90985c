"""Keras' layers beside elman's, in a process of their own: `python -m tests.exchange.in_keras`."""

import os

os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
from keras import layers as k

import elman
from tests.exchange.trial import H, I, batch, differences, redrawn, run_examples

keras.config.set_floatx("float64")  # which layers read when they are made, as is the policy
keras.config.set_dtype_policy("float64")
CLOSE = 2e-6  # Keras multiplies float64 matrices in float32 where PyTorch has no layer for it
ALL = {"return_sequences": True}

#: By name: the layers, and the class that is made of them.
CASES: dict[str, tuple[list[Any], str]] = {
    "SimpleRNN": ([k.SimpleRNN(H, **ALL)], "RNN"),
    "SimpleRNN relu": ([k.SimpleRNN(H, activation="relu", **ALL)], "RNN"),
    "SimpleRNN linear": ([k.SimpleRNN(H, activation=None, **ALL)], "Recurrent"),
    "SimpleRNN sigmoid": ([k.SimpleRNN(H, activation="sigmoid", **ALL)], "Recurrent"),
    "LSTM": ([k.LSTM(H, **ALL)], "LSTM"),
    "GRU": ([k.GRU(H, **ALL)], "GRU"),
    "GRU before": ([k.GRU(H, reset_after=False, **ALL)], "GRU"),
    "SimpleRNN without bias": ([k.SimpleRNN(H, use_bias=False, **ALL)], "RNN"),
    "LSTM without bias": ([k.LSTM(H, use_bias=False, **ALL)], "LSTM"),
    "GRU without bias": ([k.GRU(H, use_bias=False, **ALL)], "GRU"),
    "GRU before without bias": ([k.GRU(H, reset_after=False, use_bias=False, **ALL)], "GRU"),
    "two ways": ([k.Bidirectional(k.LSTM(H, **ALL))], "LSTM"),
    "two ways sum": ([k.Bidirectional(k.GRU(H, **ALL), merge_mode="sum")], "Recurrent"),
    "two ways ave": ([k.Bidirectional(k.SimpleRNN(H, **ALL), merge_mode="ave")], "Recurrent"),
    "two ways mul": ([k.Bidirectional(k.LSTM(H, **ALL), merge_mode="mul")], "Recurrent"),
    "own backward layer": (
        [k.Bidirectional(k.LSTM(H, **ALL), backward_layer=k.LSTM(H, go_backwards=True, **ALL))],
        "LSTM",
    ),
    "stack": ([k.GRU(H, **ALL), k.GRU(H, **ALL), k.GRU(H, **ALL)], "GRU"),
    "stack of sizes": ([k.LSTM(H, **ALL), k.LSTM(4, **ALL)], "Recurrent"),
    "stack of two ways": ([k.Bidirectional(k.GRU(H, **ALL)) for _ in range(2)], "GRU"),
    "stack of two ways and sizes": (
        [k.Bidirectional(k.GRU(n, reset_after=False, **ALL)) for n in (H, 4)],
        "Recurrent",
    ),
    "partly without bias": ([k.LSTM(H, **ALL), k.LSTM(H, use_bias=False, **ALL)], "LSTM"),
    "RNN of a cell": ([k.RNN(k.GRUCell(H), **ALL)], "GRU"),
    "RNN of cells": (
        [k.RNN(k.StackedRNNCells([k.LSTMCell(H), k.LSTMCell(4)]), **ALL)],
        "Recurrent",
    ),
}
#: The options that arrays don't tell.
TELL: dict[str, dict[str, Any]] = {
    "SimpleRNN relu": {"activation": "relu"},
    "SimpleRNN linear": {"activation": "linear"},
    "SimpleRNN sigmoid": {"activation": "sigmoid"},
    "GRU before without bias": {"reset_after": False},
    **{f"two ways {merge}": {"merge_mode": merge} for merge in ("sum", "ave", "mul")},
}

#: What elman does not have: the option that has to be named, and the layers.
REFUSED: list[tuple[str, Callable[[], Any]]] = [
    ("recurrent_activation", lambda: k.LSTM(H, recurrent_activation="hard_sigmoid")),
    ("activation", lambda: k.GRU(H, activation="relu")),
    ("activation", lambda: k.SimpleRNN(H, activation="selu")),
    ("dropout", lambda: k.GRU(H, dropout=0.1)),
    ("recurrent_dropout", lambda: k.LSTM(H, recurrent_dropout=0.1)),
    ("go_backwards", lambda: k.SimpleRNN(H, go_backwards=True)),
    ("stateful", lambda: k.GRU(H, stateful=True)),
    ("merge_mode", lambda: k.Bidirectional(k.GRU(H), merge_mode=None)),
    ("got Dense", lambda: k.Dense(H)),
    ("got ConvLSTM2D", lambda: k.ConvLSTM2D(H, 2)),
    ("one formula", lambda: [k.GRU(H, **ALL), k.LSTM(H)]),
    ("one formula", lambda: [k.GRU(H, **ALL), k.GRU(H, reset_after=False)]),
    ("one merge_mode", lambda: [k.Bidirectional(k.GRU(H, **ALL), merge_mode="sum"), k.GRU(H)]),
    (
        "one formula in both directions",
        lambda: k.Bidirectional(k.GRU(H), backward_layer=k.LSTM(H, go_backwards=True)),
    ),
    ("one layer", lambda: k.Bidirectional(k.RNN(k.StackedRNNCells([k.GRUCell(H)] * 2)))),
    (
        "go_backwards",
        lambda: k.Bidirectional(k.GRU(H, go_backwards=True), backward_layer=k.GRU(H)),
    ),
]


def model_of(layers: list[Any]) -> Any:
    return keras.Sequential([keras.Input((None, I)), *layers])


def wrong_with(name: str) -> list[str]:
    """What is wrong with a case, in words: from Keras, from its arrays alone, and to Keras."""
    layers, kind = CASES[name]
    model, random = model_of(layers), np.random.default_rng(2)
    for layer in layers:
        layer.set_weights([random.normal(0, 0.6, a.shape) for a in layer.get_weights()])

    def theirs(x: np.ndarray) -> np.ndarray:
        return keras.ops.convert_to_numpy(model(x))

    module = elman.from_keras(layers if len(layers) > 1 else layers[0])
    wrong = differences(theirs, module, f"{name}, from Keras", CLOSE)
    if type(module).__name__ != kind:
        wrong.append(f"{name}: is {type(module).__name__}, expected {kind}")
    arrays = [layer.get_weights() for layer in layers]
    if not name.startswith("RNN of"):
        given = arrays if len(arrays) > 1 else arrays[0]
        alone = elman.from_keras(given, **TELL.get(name, {}))
        wrong += differences(theirs, alone, f"{name}, from arrays", CLOSE)
        if not name.startswith("partly"):
            back = [array for layer in elman.to_keras(module) for array in layer]
            there = [array for layer in arrays for array in layer]
            if not all(np.array_equal(*pair) for pair in zip(back, there, strict=True)):
                wrong.append(f"{name}: comes back as other arrays")
            for layer, mine in zip(layers, elman.to_keras(redrawn(module)), strict=True):
                layer.set_weights(mine)
            wrong += differences(theirs, module, f"{name}, to Keras", CLOSE)
    return wrong


def wrong_with_final_states() -> list[str]:
    """Keras returns the final states where it does not return all steps."""
    layer = k.Bidirectional(k.GRU(H))
    model = model_of([layer])
    x = batch()
    with torch.no_grad():
        h_n = elman.from_keras(layer)(torch.from_numpy(x))[1]
    expected = keras.ops.convert_to_numpy(model(x))
    if not np.allclose(torch.cat([*h_n], -1).numpy(), expected, CLOSE, CLOSE):
        return ["final states: differ"]
    return []


def wrong_with_refusals() -> list[str]:
    """Whether what elman does not have is named."""
    wrong = []
    for named, make in REFUSED:
        try:
            layers = make()
            if isinstance(layers, list):
                model_of(layers)  # which builds them
            elman.from_keras(layers)
            wrong.append(f"{named}: taken without a word")
        except (ValueError, TypeError) as error:
            if named not in str(error) or not str(error).startswith("from_keras: expected"):
                wrong.append(f"{named}: not named in {error}")
    return wrong


def main() -> None:
    wrong = [words for name in CASES for words in wrong_with(name)]
    wrong += wrong_with_final_states() + wrong_with_refusals()
    assert not wrong, "\n".join(wrong)
    keras.config.set_dtype_policy("float32")
    run_examples("Keras")


if __name__ == "__main__":
    main()
