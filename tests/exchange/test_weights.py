"""What needs no other framework: weights of every module there and back, and what is refused."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.parametrize import register_parametrization

import elman
from elman.cells import GRU, LSTM, UGRNN, Elman
from tests.exchange.trial import H, I, redrawn

T, B = 4, 2

#: Modules by name; each is made anew.
MODULES: dict[str, Callable[[], torch.nn.Module]] = {
    "RNN": lambda: elman.RNN(I, H, num_layers=2, nonlinearity="relu", batch_first=True),
    "LSTM": lambda: elman.LSTM(I, H, num_layers=12, batch_first=True),
    "GRU": lambda: elman.GRU(I, H, 2, batch_first=True, bidirectional=True),
    "torch's GRU": lambda: torch.nn.GRU(I, H, batch_first=True, bidirectional=True),
    "torch's LSTM": lambda: torch.nn.LSTM(I, H, batch_first=True, dtype=torch.float64),
    "Recurrent": lambda: elman.Recurrent(GRU, I, [H, 4], batch_first=True, bidirectional=True),
    "one unit": lambda: elman.LSTM(1, 1, batch_first=True),
}
THERE: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "Keras": (elman.to_keras, elman.from_keras),
    "Flax": (elman.to_flax, elman.from_flax),
}


@pytest.mark.parametrize("framework", THERE)
@pytest.mark.parametrize("name", MODULES)
def test_there_and_back_outputs_stay(name: str, framework: str) -> None:
    module, (to, back) = redrawn(MODULES[name]()), THERE[framework]
    relu = {"Keras": {"activation": "relu"}, "Flax": {"nonlinearity": "relu"}}[framework]
    other = back(to(module), **(relu if name == "RNN" else {}))
    weight = next(module.parameters())
    x = torch.randn(B, T, module.input_size, dtype=weight.dtype)
    assert next(other.parameters()).dtype == weight.dtype
    torch.testing.assert_close(other(x)[0], module(x)[0])


@pytest.mark.parametrize("framework", THERE)
@pytest.mark.parametrize("kind", [elman.RNN, elman.LSTM, elman.GRU])
def test_cells_and_layers_give_the_same_arrays(kind: Any, framework: str) -> None:
    to, back = THERE[framework]
    layer = redrawn(kind(I, H))
    for nn in (elman, torch.nn):
        cell = getattr(nn, f"{kind.__name__}Cell")(I, H)
        cell.load_state_dict({n.removesuffix("_l0"): p for n, p in layer.named_parameters()})
        other = back(to(cell), batch_first=False)
        x = torch.randn(T, B, I)
        torch.testing.assert_close(other(x)[0], layer(x)[0])


def test_reset_before_the_product_goes_to_keras_and_not_to_flax() -> None:
    before = redrawn(elman.GRU(I, H, reset_after=False, batch_first=True))
    (arrays,) = elman.to_keras(before)
    assert [a.shape for a in arrays] == [(I, 3 * H), (H, 3 * H), (3 * H,)]
    other, x = elman.from_keras(arrays), torch.randn(B, T, I)
    assert not other.reset_after
    torch.testing.assert_close(other(x)[0], before(x)[0])
    with pytest.raises(ValueError, match=r"to_flax: expected a formula that Flax has, got GRU\("):
        elman.to_flax(before)


def test_a_formula_counts_and_not_its_class() -> None:
    class Mine(elman.Cell):
        gates = ("i", "f", "g", "o")
        states = ("h", "c")

        def step(self, x: Any, u: Any, s: Any) -> Any:
            return LSTM.step(LSTM(), x, u, s)

        projection = ""

    module = redrawn(elman.Recurrent(Mine, I, H))
    assert type(elman.from_keras(elman.to_keras(module))) is elman.LSTM


def test_weights_count_as_they_are_used() -> None:
    """A parametrized weight is what the parametrization makes of it."""
    module = redrawn(elman.GRU(I, H))
    register_parametrization(module, "weight_hh_l0", elman.nn.Mask(torch.eye(H)))
    _, recurrent, _ = elman.to_keras(module)[0]
    assert np.count_nonzero(recurrent) == 3 * H
    assert np.count_nonzero(elman.to_flax(module)["cell"]["hr"]["kernel"]) == H


def test_nothing_is_shared_and_nothing_drawn() -> None:
    module = redrawn(elman.RNN(I, H))
    before = [p.detach().clone() for p in module.parameters()]
    state = torch.get_rng_state()
    arrays, tree = elman.to_keras(module), elman.to_flax(module)
    others = [elman.from_keras(arrays), elman.from_flax(tree)]
    assert torch.equal(torch.get_rng_state(), state)
    kept = [[p.detach().clone() for p in other.parameters()] for other in others]
    for array in (*arrays[0], tree["cell"]["h"]["kernel"], tree["cell"]["i"]["bias"]):
        np.add(array, 1, out=array)
    for now, then in zip([module, *others], [before, *kept], strict=True):
        assert all(torch.equal(*pair) for pair in zip(now.parameters(), then, strict=True))
        assert all(p.requires_grad for p in now.parameters())


@pytest.mark.parametrize("framework", THERE)
def test_narrow_weights_are_handed_over_as_float32(framework: str) -> None:
    to, back = THERE[framework]
    module = redrawn(elman.LSTM(I, H)).bfloat16()
    other = back(to(module), batch_first=False)
    assert next(other.parameters()).dtype == torch.float32
    assert torch.equal(other.weight_hh_l0.bfloat16(), module.weight_hh_l0)


def test_arrays_of_bfloat16_are_read() -> None:
    """As JAX has them, whose type NumPy gets from ml_dtypes."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    arrays = [a.astype(ml_dtypes.bfloat16) for a in elman.to_keras(redrawn(elman.GRU(I, H)))[0]]
    other = elman.from_keras(arrays)
    assert next(other.parameters()).dtype == torch.bfloat16
    there = zip(elman.to_keras(other)[0], arrays, strict=True)
    assert all(np.array_equal(found, given.astype("float32")) for found, given in there)


def test_one_bias_of_flax_is_the_sum_of_both() -> None:
    module = redrawn(elman.LSTM(I, H))
    cell = elman.to_flax(module)["cell"]
    total = (module.bias_ih_l0 + module.bias_hh_l0).detach()
    found = np.concatenate([cell[name]["bias"] for name in ("hi", "hf", "hg", "ho")])
    assert np.allclose(found, total.numpy())
    assert "bias" not in cell["ii"]


def test_a_bias_without_a_place_is_refused() -> None:
    """GRUCell of flax.nnx has no bias at the state, where the reset multiplies it."""
    like = {"dense_i": {"kernel": np.ones((I, 3 * H)), "bias": np.ones(3 * H)}}
    like |= {"dense_h": {"kernel": np.ones((H, 3 * H))}}
    module = redrawn(elman.GRU(I, H))
    with pytest.raises(ValueError, match="to_flax: expected bias_hh of gate 'n' to be zero"):
        elman.to_flax(module, like)
    with torch.no_grad():
        module.bias_hh_l0[2 * H :] = 0
    other, x = elman.from_flax(elman.to_flax(module, like)), torch.randn(B, T, I)
    torch.testing.assert_close(other(x)[0].transpose(0, 1), module(x.transpose(0, 1))[0])


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


def test_any_nonlinearity_of_a_simple_cell_has_the_same_parameters() -> None:
    module = redrawn(elman.Recurrent(Elman("softsign"), I, H))
    other = elman.from_flax(elman.to_flax(module), nonlinearity="softsign")
    assert repr(other.cell) == "Elman(nonlinearity='softsign')"


def test_random_numbers_in_a_state_are_passed_over() -> None:
    state = {"layers": {0: TREE | {"rngs": {"count": 0}}}}
    assert repr(elman.from_flax(state)) == repr(elman.from_flax(TREE))
    assert elman.to_flax(elman.GRU(I, H), state)["layers"][0]["rngs"] == {"count": 0}


def test_a_tree_to_go_by_keeps_its_form() -> None:
    module = redrawn(elman.GRU(I, H, 2))
    first, second = TREE["cell"], elman.to_flax(elman.GRU(H, H))["cell"]
    for like in ([first, second], {"params": {"b_10": {"x": second}, "b_2": {"x": first}}}):
        back = elman.to_flax(module, like)
        assert type(back) is type(like)
        x = torch.randn(T, B, I)
        torch.testing.assert_close(elman.from_flax(back, batch_first=False)(x)[0], module(x)[0])
    assert np.array_equal(TREE["cell"]["in"]["kernel"], first["in"]["kernel"])


def test_reading_weights_imports_none_of_the_frameworks() -> None:
    program = (
        "import sys, elman\n"
        "elman.from_keras(elman.to_keras(elman.GRU(2, 3)))\n"
        "elman.from_flax(elman.to_flax(elman.LSTM(2, 3)))\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'keras', 'flax', 'jax'})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
