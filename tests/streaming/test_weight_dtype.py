"""Sessions whose weights are bfloat16 give the bits of a module with rounded matrices."""

import itertools
from functools import partial

import pytest
import torch

import elman
from elman.compiler import sizes
from elman.dispatch.select import current_isa
from elman.launch.kernel_cache import kernel_for
from elman.rows import Rows
from tests.compiler.targets import each_isa, force
from tests.sizes import layer_sizes
from tests.streaming.modules import B, Gap, I, T, same
from tests.streaming.narrow import each_module, example, played, rounded_to

HALF = torch.bfloat16
rounded = partial(rounded_to, HALF)


@pytest.mark.parametrize("rows", [None, B])
@each_module
def test_the_bits_are_those_of_rounded_matrices(make, rows):
    module, x = make(), example(rows)
    stream = elman.Stream(module, rows, weight_dtype=HALF)
    expected = played(elman.Stream(rounded(module), rows), x)
    assert same(played(stream, x), expected)
    assert not same(expected, played(elman.Stream(module, rows), x))  # rounding does count


@each_isa
@pytest.mark.parametrize("rows", [None, 3, 40])
def test_on_every_instruction_set_and_for_blocks_of_every_width(row, rows):
    with force(row):
        for H, features in ((1, 1), (52, 17), (192, 40)):
            module, x = elman.GRU(features, H), example(rows, features)
            with torch.no_grad():
                expected, _ = rounded(module)(x)
            for stream in (elman.Stream(module, rows, HALF), elman.Stream(rounded(module), rows)):
                found = [stream.step(one).clone() for one in x[:2]]
                assert torch.equal(torch.stack(found), expected[:2])
                assert torch.equal(stream.chunk(x[2:]), expected[2:])


def test_cells_and_further_inputs():
    cell = elman.LSTMCell(I, 20)
    x = example(B)
    stream, twin = elman.Stream(cell, B, HALF), elman.Stream(rounded(cell), B)
    assert torch.equal(stream.step(x[0]), twin.step(x[0]))
    net, gap = elman.Recurrent(Gap, I, 20, 2), torch.rand(T, B, 1)
    stream, twin = elman.Stream(net, B, HALF), elman.Stream(rounded(net), B)
    assert torch.equal(stream.chunk(x, {"gap": gap}), twin.chunk(x, {"gap": gap}))


def test_refresh_rounds_the_new_weights():
    module, x = elman.GRU(I, 20), example(None)
    stream = elman.Stream(module, weight_dtype=HALF)
    before = stream.step(x[0]).clone()
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(0.7)
    stream.refresh()
    stream.reset()
    after = stream.step(x[0])
    assert torch.equal(after, elman.Stream(rounded(module)).step(x[0]))
    assert not torch.equal(after, before)


def test_numbers_that_are_none_and_the_smallest_pass():
    module, x = elman.RNN(I, 40, nonlinearity="relu"), example(None)
    special = [float("nan"), float("inf"), -float("inf"), 1e-40, -0.0, 3.4e38]
    with torch.no_grad():
        for k, value in itertools.product(range(I), special):
            module.weight_ih_l0[6 * k + special.index(value), k] = value
    found = elman.Stream(module, weight_dtype=HALF).step(x[0])
    expected = elman.Stream(rounded(module)).step(x[0])
    assert found.isnan().any()
    assert found.isinf().any()
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def test_with_threads(threads):
    module = elman.GRU(64, 256)
    x = torch.randn(100, 8, 64)
    torch.set_num_threads(2)
    stream, twin = elman.Stream(module, 8, HALF), elman.Stream(rounded(module), 8)
    for row in x:
        assert torch.equal(stream.step(row), twin.step(row))


@pytest.mark.parametrize("single", [True, False])
def test_the_weights_take_a_half_or_a_quarter_of_the_memory(single):
    isa, step, rows = current_isa(), elman.GRU(256, 256)._step(), 1 if single else 4
    taken = {}
    for narrow in ("", "weights", "int8"):
        kernel = kernel_for(step, torch.float32, isa, 256, single, narrow)
        size = layer_sizes(256, 256)
        numbers = sizes.forward(kernel.spec, Rows(1, rows, rows), size, 1, False, True)
        _, taken[narrow] = kernel.passes["infer"].slots.layout(numbers)
    assert taken["weights"] < 0.6 * taken[""]
    assert taken["int8"] < 0.35 * taken[""]


@pytest.mark.usefixtures("no_kernels_in_memory")
def test_explain_names_their_kernels():
    module, expected = elman.GRU(I, 23), []
    names = {HALF: ", bfloat16 weights", torch.int8: ", int8 weights", None: ""}
    for weight_dtype, name in names.items():
        elman.Stream(module, weight_dtype=weight_dtype)
        (layer,) = elman.explain(module).layers
        expected.append(f"infer, one row{name}")
        assert {*layer.kernels} == {*expected}


@pytest.mark.parametrize(
    ("make", "weight_dtype", "text"),
    [
        (elman.GRU, torch.float16, r"torch.bfloat16, torch.int8 or None, got torch.float16"),
        (elman.GRU, torch.uint8, "torch.int8 or None, got torch.uint8"),
        (elman.GRU, "bfloat16", "torch.int8 or None, got 'bfloat16'"),
        (elman.GRU, [HALF], r"torch.int8 or None, got \[torch.bfloat16\]"),
        (
            lambda *sizes: elman.GRU(*sizes).double(),
            HALF,
            r"is for modules of torch.float32, got one of torch.float64: module.float\(\) converts",
        ),
        (lambda *sizes: elman.GRU(*sizes).bfloat16(), HALF, "got one of torch.bfloat16"),
        (lambda *sizes: elman.GRU(*sizes).double(), torch.int8, "got one of torch.float64"),
    ],
    ids=["float16", "uint8", "a string", "a list", "double", "bfloat16", "double for int8"],
)
def test_other_dtypes_are_refused(make, weight_dtype, text):
    with pytest.raises(ValueError, match=text):
        elman.Stream(make(I, 5), weight_dtype=weight_dtype)
