"""Weights that cannot be converted: the class of the error and its message."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import elman
from elman.cells import GRU, UGRNN
from tests.exchange.trial import H, I


def arrays_of(gates: int = 4, width: int = I, units: int = H, bias: Any = "one") -> list[Any]:
    shapes: list[Any] = [(width, gates * units), (units, gates * units)]
    shapes += {"one": [(gates * units,)], "two": [(2, gates * units)], None: []}[bias]
    return [np.ones(shape, "float32") for shape in shapes]


def layer_of(config: dict[str, Any], *arrays: Any, name: str = "LSTM") -> Any:
    members = {"get_config": lambda _: config, "get_weights": lambda _: list(arrays)}
    return type(name, (), members)()


class Linear(elman.Cell):
    gates = ("a",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return x.a + u.a


TREE = elman.to_flax(elman.GRU(I, H))
MGU = elman.to_flax(elman.Recurrent(UGRNN, I, H))
RESET = {"cell": MGU["cell"] | {"hn": {"kernel": np.ones((H, H)), "bias": np.ones(H)}}}
DENSE = {"kernel": np.ones((H, 2)), "bias": np.ones(2)}

#: The call, the class of its error, and the message, all of it or its beginning.
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: elman.from_keras(layer_of({"recurrent_activation": "hard_sigmoid"}, *arrays_of())),
        ValueError,
        "from_keras: expected LSTM with recurrent_activation of ['sigmoid'], got 'hard_sigmoid'",
    ),
    (
        lambda: elman.from_keras(layer_of({"recurrent_dropout": 0.2}, *arrays_of())),
        ValueError,
        "from_keras: expected LSTM with recurrent_dropout=0.0, got 0.2, which elman does not have: "
        "it acts in training alone; for predictions give the arrays, layer.get_weights()",
    ),
    (
        lambda: elman.from_keras(layer_of({})),
        ValueError,
        "from_keras: expected 3 arrays of LSTM, got 0: build the layer before, by calling it once",
    ),
    (
        lambda: elman.from_keras(layer_of({}, *arrays_of()), reset_after=True),
        TypeError,
        "from_keras: expected options for arrays only, since a layer has its own, got reset_after",
    ),
    (
        lambda: elman.from_keras(layer_of({}, *arrays_of(), name="CuDNNLSTM")),
        TypeError,
        "from_keras: expected SimpleRNN, LSTM, GRU, their cells in an RNN, or Bidirectional, got "
        "CuDNNLSTM: give the recurrent layers alone",
    ),
    (
        lambda: elman.from_keras(arrays_of(), reset_afer=True),
        TypeError,
        "from_keras: got an unexpected option 'reset_afer' for the arrays of LSTM in one "
        "direction; known are ['activation', 'dropout',",
    ),
    (
        lambda: elman.from_keras(arrays_of(2)),
        ValueError,
        "from_keras: expected a recurrent kernel (H, G*H) of G=1, 3 or 4 gates, got shape (5, 10)",
    ),
    (
        lambda: elman.from_keras(arrays_of()[:1]),
        ValueError,
        "from_keras: expected a layer's arrays, kernel, recurrent kernel and perhaps bias, for one "
        "or two directions, got shapes [(3, 20)]",
    ),
    (
        lambda: elman.from_keras(arrays_of(3), reset_after=True),
        ValueError,
        "from_keras: expected the bias of GRU with {'activation': 'tanh', 'recurrent_activation': "
        "'sigmoid', 'reset_after': True} to have shape (2, 15), got (15,)",
    ),
    (
        lambda: elman.from_keras([*arrays_of(), np.ones(3, "f4")]),
        ValueError,
        "from_keras: expected a layer's arrays, kernel, recurrent kernel and perhaps bias, for one "
        "or two directions, got shapes [(3, 20), (5, 20), (20,), (3,)]",
    ),
    (
        lambda: elman.from_keras([*arrays_of()[:2], np.ones(19, "f4")]),
        ValueError,
        "from_keras: expected the bias of LSTM with {'activation': 'tanh', 'recurrent_activation': "
        "'sigmoid'} to have shape (20,), got (19,)",
    ),
    (
        lambda: elman.from_keras([np.ones((I, 19), "f4"), *arrays_of()[1:]]),
        ValueError,
        "from_keras: expected the kernel of LSTM with {'activation': 'tanh', "
        "'recurrent_activation': 'sigmoid'} to have shape (3, 20), got (3, 19)",
    ),
    (
        lambda: elman.from_keras(arrays_of(), merge_mode="sum"),
        TypeError,
        "from_keras: got an unexpected option 'merge_mode' for the arrays of LSTM in one direction",
    ),
    (
        lambda: elman.from_keras(arrays_of() * 2, reset_after=False),
        TypeError,
        "from_keras: got an unexpected option 'reset_after' for the arrays of LSTM in two",
    ),
    (
        lambda: elman.from_keras([arrays_of(), arrays_of(width=H + 1)]),
        ValueError,
        "from_keras: expected weight_ih of layer 1 to have shape (20, 5), transposed where it came "
        "from, got (20, 6): a layer takes the output of the one below",
    ),
    (
        lambda: elman.from_keras(arrays_of() + arrays_of(units=4)),
        ValueError,
        "from_keras: expected weight_ih of layer 0 to have shape (20, 3), transposed",
    ),
    (
        lambda: elman.from_keras([arrays_of() * 2, arrays_of(width=2 * H)]),
        ValueError,
        "from_keras: expected all layers to have 2 directions as layer 0 has, got 1 in layer 1: "
        "convert them one by one",
    ),
    (
        lambda: elman.from_keras([arrays_of(), [a.astype("f8") for a in arrays_of(width=H)]]),
        ValueError,
        "from_keras: expected all weights to be of one dtype, torch.float32 as those of layer 0, "
        "got torch.float64 in layer 1",
    ),
    (
        lambda: elman.from_keras([a.astype(int) for a in arrays_of()]),
        TypeError,
        "from_keras: expected kernel to be an array of floating point numbers, got int64",
    ),
    (lambda: elman.from_keras([]), ValueError, "from_keras: expected at least one layer"),
    (
        lambda: elman.from_keras(elman.LSTM(I, H)),
        TypeError,
        "from_keras: expected a layer of Keras or its list of arrays, got LSTM",
    ),
    (
        lambda: elman.to_keras(elman.Recurrent(Linear, I, H)),
        ValueError,
        "to_keras: expected a formula that Keras has (SimpleRNN, LSTM, GRU), got Linear()",
    ),
    (
        lambda: elman.to_keras(elman.LSTM(I, H, proj_size=2)),
        ValueError,
        "to_keras: expected LSTM without proj_size, which is no part of those layers, got "
        "proj_size=2",
    ),
    (
        lambda: elman.to_keras(elman.Recurrent(GRU, I, H, learn_initial=True)),
        ValueError,
        "to_keras: expected Recurrent without learn_initial",
    ),
    (
        lambda: elman.to_keras(torch.nn.Sequential(elman.GRU(I, H))),
        TypeError,
        "to_keras: expected a recurrent module of elman or torch.nn, got Sequential: give the "
        "layer instead of the model that it is in",
    ),
    *(
        (
            lambda call=call: call(elman.GRU(I, H, device="meta")),
            ValueError,
            f"{call.__name__}: expected weight_ih_l0 to have values, got a tensor on the meta "
            "device: load its weights first",
        )
        for call in (elman.to_keras, elman.to_flax)
    ),
    (
        lambda: elman.from_keras([torch.ones(I, 4 * H, device="meta"), *arrays_of()[1:]]),
        ValueError,
        "from_keras: expected kernel to have values, got a tensor on the meta device",
    ),
    (
        lambda: elman.from_flax(TREE, merge="sum"),
        ValueError,
        "from_flax: expected merge='sum' with a Bidirectional only, got parameters of "
        "GRU(reset_after=True) in 1 direction(s): leave it out",
    ),
    (
        lambda: elman.from_flax(TREE, nonlinearity="relu"),
        ValueError,
        "from_flax: expected nonlinearity='relu' with a SimpleCell only, got parameters of GRU",
    ),
    (
        lambda: elman.from_flax([]),
        TypeError,
        "from_flax: expected a tree of parameters or a list of such, got an empty list: give",
    ),
    (
        lambda: elman.from_flax({}),
        ValueError,
        "from_flax: expected one cell, RNN or Bidirectional, or numbered layers, at the tree, got "
        "nothing: give",
    ),
    (
        lambda: elman.to_flax(elman.GRU(I, H), like=3),
        TypeError,
        "to_flax: expected like to be a tree of parameters or a list of such, got int: give",
    ),
    (
        lambda: elman.from_flax(RESET),
        ValueError,
        "from_flax: expected the parameters of a SimpleCell, LSTMCell, OptimizedLSTMCell, GRUCell "
        "or MGUCell(reset_gate=False), got if, in, hf, hn, or other shapes than theirs",
    ),
    (
        lambda: elman.from_flax({"params": {"rnn": TREE, "Dense_0": DENSE}}),
        ValueError,
        "from_flax: expected one cell, RNN or Bidirectional, or numbered layers, at params, got "
        "rnn, Dense_0: give a list of the recurrent layers' trees, from bottom to top, and two "
        "directions as a dict of forward_rnn and backward_rnn",
    ),
    (
        lambda: elman.from_flax({"Dense_0": DENSE, "Dense_1": DENSE}),
        ValueError,
        "from_flax: expected the parameters of a SimpleCell",
    ),
    (
        lambda: elman.from_flax({"GRUCell_0": TREE["cell"], "GRUCell_1": TREE["cell"]}),
        ValueError,
        "from_flax: expected one cell, RNN or Bidirectional, or numbered layers, at the tree, got "
        "GRUCell_0, GRUCell_1",
    ),
    (
        lambda: elman.from_flax([TREE, elman.to_flax(elman.RNN(H, H))]),
        ValueError,
        "from_flax: expected all layers to have one formula, got GRU(reset_after=True) and Elman",
    ),
    (
        lambda: elman.from_flax({n: {"kernel": np.ones((2, I, H))} for n in "ih"}),
        ValueError,
        "from_flax: expected the parameters of a SimpleCell",
    ),
    (
        lambda: elman.from_flax({"cell": {"i": {"kernel": {}}}}),
        ValueError,
        "from_flax: expected the parameters of a SimpleCell",
    ),
    (
        lambda: elman.from_flax({"cell": {"i": {"kernel": {}}}, "x": 1}),
        ValueError,
        "from_flax: expected one cell",
    ),
    (
        lambda: elman.from_flax({"params": 1}),
        TypeError,
        "from_flax: expected a tree of parameters at params, got int",
    ),
    (
        lambda: elman.from_flax(elman.GRU(I, H)),
        TypeError,
        "from_flax: expected a tree of parameters or a list of such, got GRU: give "
        "model.init(...) or nnx.state(model, nnx.Param)",
    ),
    (
        lambda: elman.from_flax(TREE, nonlinearity="than"),
        ValueError,
        "nonlinearity must be one of",
    ),
    (
        lambda: elman.to_flax(elman.Recurrent(GRU, I, H, bidirectional=True, merge="sum")),
        ValueError,
        "to_flax: expected merge='concat', got 'sum', which Flax has as a function of the layer, "
        "merge_fn: give the layer's parameters as like",
    ),
    (
        lambda: elman.to_flax(elman.GRU(I, H, 2), TREE),
        ValueError,
        "to_flax: expected like to have 2 layers of 1 directions as the module, got the "
        "directions [1]",
    ),
    (
        lambda: elman.to_flax(elman.LSTM(I, H), TREE),
        ValueError,
        "to_flax: expected like to be for LSTM(projection=''), got other parameters: ir, iz, in",
    ),
    (
        lambda: elman.to_flax(elman.GRU(I + 1, H), TREE),
        ValueError,
        "to_flax: expected like to have ir/kernel of shape (4, 5), got (3, 5)",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[r[2][:60] for r in REFUSED])
def test_what_cannot_be_converted_is_named(
    call: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
