"""What needs no other framework: weights of every module, there and back."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.parametrize import register_parametrization

import elman
from elman.cells import GRU, LSTM, Elman
from tests.exchange.trial import H, I, redrawn

T, B = 4, 2
TREE = elman.to_flax(elman.GRU(I, H))

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
