"""Sessions whose weights are int8: near a module with rounded matrices in float64, always the same
bits, and no farther from the module than rounding explains."""

import copy
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import elman
from elman.dispatch.weight_dtypes import WEIGHT_DTYPES
from tests.compiler.targets import each_isa, force
from tests.streaming.modules import B, Gap, I, T
from tests.streaming.narrow import each_module, example, played, rounded_to, to_int8
from tests.tolerances import assert_close

INT8 = torch.int8
rounded = partial(rounded_to, INT8)


def solved(module: Any, x: Tensor) -> Tensor:
    """The output of the module with rounded matrices, in float64."""
    with torch.no_grad(), elman.set_path("reference"):
        output, _ = rounded(module).double()(x.double())
    return output


@pytest.mark.parametrize("rows", [None, B])
@each_module
def test_results_are_near_those_of_rounded_matrices(make, rows):
    module, x = make(), example(rows)
    found = played(elman.Stream(module, rows, INT8), x)
    expected = played(elman.Stream(rounded(module), rows), x)
    for mine, theirs in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        assert_close(mine, theirs, "same")
    plain = played(elman.Stream(module, rows), x)
    assert not all(
        torch.allclose(a, b, rtol=0, atol=1e-5)  # rounding does count
        for a, b in zip(tree_leaves(plain), tree_leaves(expected), strict=True)
    )


@each_isa
@pytest.mark.parametrize("rows", [None, 3, 40])
def test_on_every_instruction_set_and_for_blocks_of_every_width(row, rows):
    with force(row):
        for H, features in ((1, 1), (52, 17), (192, 40)):
            module, x = elman.LSTM(features, H), example(rows, features)
            stream = elman.Stream(module, rows, INT8)
            found = torch.stack([stream.step(one).clone() for one in x])
            assert_close(found, solved(module, x), "state", f"{H} units")
            stream.reset()
            assert torch.equal(stream.chunk(x), found)
            if rows is not None:
                alone = elman.Stream(module, None, INT8)
                assert torch.equal(alone.chunk(x[:, 1]), found[:, 1])


def test_cells_and_further_inputs():
    cell, x = elman.LSTMCell(I, 20), example(B)
    stream, twin = elman.Stream(cell, B, INT8), elman.Stream(rounded(cell), B)
    assert_close(stream.step(x[0]), twin.step(x[0]), "same")
    net, gap = elman.Recurrent(Gap, I, 20, 2), torch.rand(T, B, 1)
    stream, twin = elman.Stream(net, B, INT8), elman.Stream(rounded(net), B)
    assert_close(stream.chunk(x, {"gap": gap}), twin.chunk(x, {"gap": gap}), "same")


def test_refresh_rounds_the_new_weights_and_keeps_the_old_ones_if_these_cannot_be():
    module, x = elman.GRU(I, 20), example(None)
    stream = elman.Stream(module, weight_dtype=INT8)
    before = stream.step(x[0]).clone()
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(0.7)
    stream.refresh()
    stream.reset()
    after = stream.step(x[0]).clone()
    assert torch.equal(after, elman.Stream(module, weight_dtype=INT8).step(x[0]))
    assert not torch.equal(after, before)
    with torch.no_grad():
        module.weight_hh_l0[1, 2] = torch.nan
    with pytest.raises(ValueError, match="weight_hh_l0: expected finite numbers"):
        stream.refresh()
    stream.reset()
    assert torch.equal(stream.step(x[0]), after)


def test_a_module_of_rounded_matrices_is_rounded_to_itself():
    module, x = elman.LSTM(I, 33), example(None)
    once, twice = elman.Stream(module, None, INT8), elman.Stream(rounded(module), None, INT8)
    assert torch.equal(once.chunk(x), twice.chunk(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_go_on_with_the_weights_that_the_session_had(copied):
    module, x = elman.GRU(I, 20, 2), example(B)
    stream = elman.Stream(module, B, INT8)
    stream.chunk(x[:3])
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    again = copied(stream)
    assert again.weight_dtype is INT8
    assert torch.equal(again.chunk(x[3:]), stream.chunk(x[3:]))


def test_with_threads(threads):
    module, x = elman.GRU(64, 256), torch.randn(20, 8, 64)
    expected = elman.Stream(module, 8, INT8).chunk(x)
    torch.set_num_threads(2)
    stream = elman.Stream(module, 8, INT8)
    for row, wanted in zip(x, expected, strict=True):
        assert torch.equal(stream.step(row), wanted)


def test_rounded_matrices_are_whole_numbers_times_a_scale_of_each_row():
    matrix = torch.randn(200, 37) * 10.0 ** torch.arange(-25, 25, 0.25)[:, None]
    matrix[0], matrix[1], matrix[2] = 0, -0.0, 1e-41
    matrix[3, 0] = torch.finfo(torch.float32).max
    matrix[4] = torch.arange(-18, 19) + 0.5  # what lies between two whole numbers becomes even
    matrix[4, 0] = 127
    found = WEIGHT_DTYPES[INT8].rounded(matrix)
    assert torch.equal(found.double(), to_int8(matrix))
    assert (found[4, 1:5] == torch.tensor([-16.0, -16, -14, -14])).all()
    assert torch.equal(WEIGHT_DTYPES[INT8].rounded(found), found)


@pytest.mark.parametrize("flushed", [False, True], ids=["", "denormals are zeros"])
def test_rows_of_zeros_and_of_the_smallest_and_largest_numbers(flushed):
    module, x = elman.RNN(I, 40, nonlinearity="relu"), example(None)
    largest = torch.finfo(torch.float32).max
    least = 127 * 2.0**-126  # the largest weight of the smallest row that has a scale
    special = {2: -0.0, 3: 1e-40, 4: least, 5: 0.99 * least, 6: largest, 7: 1e-45}
    with torch.no_grad():
        module.weight_hh_l0[1] = 0
        for row, value in special.items():
            module.weight_ih_l0[row] = torch.tensor([value, -value / 3, value / 200])
        module.bias_ih_l0.zero_()
        module.bias_hh_l0.zero_()
    x[0] = torch.tensor([0.25, -0.5, 0.5])
    torch.set_flush_denormal(flushed)
    try:
        found = elman.Stream(module, weight_dtype=INT8).step(x[0]).double()
    finally:
        torch.set_flush_denormal(False)
    expected = solved(module, x)[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2.0**-126 * flushed)
    assert (found[[2, 3, 5, 7]] == 0).all()
    assert 0.4 * least < found[4] < 0.5 * least
    assert found[6] > 0.4 * largest


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l1"])
def test_weights_that_are_not_finite_are_refused(value, name):
    module = elman.GRU(I, 5, 2)
    with torch.no_grad():
        getattr(module, name)[3, 2] = value
    text = f"Stream: weight_dtype=torch.int8: {name}: expected finite numbers, got infinite ones"
    with pytest.raises(ValueError, match=text):
        elman.Stream(module, weight_dtype=INT8)
    elman.Stream(module, weight_dtype=torch.bfloat16)


def test_biases_are_not_rounded():
    module, x = elman.RNN(I, 20), torch.zeros(1, I)
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(torch.rand_like(p) if name == "bias_ih_l0" else torch.zeros_like(p))
    assert torch.equal(elman.Stream(module, None, INT8).chunk(x), elman.Stream(module).chunk(x))


@pytest.mark.parametrize("entry", ["Stream", "freeze", "export"])
def test_transposed_matrices_are_refused(entry, tmp_path):
    """They would need a scale for each column too."""

    class Tied(elman.Cell):
        gates = ("a",)
        matrices = ("w",)

        def step(self, x, u, s):
            return elman.tanh(x.a + self.product("w", self.product("w", s.h), transpose=True))

    module = elman.Recurrent(Tied, 3, 4)
    given = (tmp_path / "cell",) if entry == "export" else ()
    with pytest.raises(ValueError, match=f"{entry}: weight_dtype=torch.int8 is for .* transposed"):
        getattr(elman, entry)(module, *given, weight_dtype=INT8)
    getattr(elman, entry)(module, *given, weight_dtype=torch.bfloat16)
