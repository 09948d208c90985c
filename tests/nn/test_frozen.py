"""Frozen modules read weights that stay packed, and give the bits of others."""

import copy
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence
from torch.utils._pytree import tree_leaves

import elman
from elman.dispatch.weight_dtypes import WEIGHT_DTYPES
from elman.nn.freeze import status
from elman.nn.frozen import frozen_of
from tests.compiler.targets import each_isa, force
from tests.nn.freezing import CELLS, LAYERS, H, I, both, example, packs, pair, same

pytestmark = pytest.mark.sampled(2)

MODULES = LAYERS | CELLS
each_module = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES.keys())
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())


@pytest.fixture(autouse=True)
def _inference():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


# -- the same bits


@each_layer
def test_layers_give_the_same_bits_in_every_call(make):
    plain, frozen = pair(make)
    turned = plain.batch_first
    for T, B in ((1, 1), (1, 7), (4, 1), (5, 3), (1, 40)):
        x = example(plain, B, T) if turned else example(plain, T, B)
        _, state = both(plain, frozen, x)
        both(plain, frozen, x, state)
    both(plain, frozen, example(plain, 4))
    rows = pack_sequence([example(plain, n) for n in (2, 5, 1)], enforce_sorted=False)
    both(plain, frozen, rows)
    x = example(plain, 2, 4) if turned else example(plain, 4, 2)
    both(plain, frozen, x, lengths=[2, 4])
    both(plain, frozen, x, return_states=True)
    assert packs(frozen)


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS.keys())
def test_cells_give_the_same_bits_in_every_call(make):
    plain, frozen = pair(make)
    for lead in ((1,), (7,), (), (40,)):
        x = example(plain, *lead)
        both(plain, frozen, x, both(plain, frozen, x))
    assert packs(frozen)


@each_isa
def test_the_same_bits_on_every_instruction_set(row):
    with force(row):
        for H in (1, 16, 17, 130):
            for dtype in (torch.float32, torch.float64):
                plain, frozen = pair(lambda: elman.LSTM(I, H, 2, dtype=dtype))  # noqa: B023
                for T, B in ((1, 1), (1, 5), (3, 2)):
                    both(plain, frozen, example(plain, T, B))


def test_the_same_bits_on_several_threads(threads):
    plain, frozen = pair(lambda: elman.GRU(I, 300, 2))
    for count in (1, 2):
        torch.set_num_threads(count)
        for T, B in ((1, 1), (6, 1), (1, 20), (6, 20)):
            both(plain, frozen, example(plain, T, B))


def test_a_formula_whose_numbers_change():
    plain, frozen = pair(lambda: elman.Recurrent(elman.cells.Leaky(0.5), I, H))
    x = example(plain, 1, 2)
    both(plain, frozen, x)
    plain.cell.leak = frozen.cell.leak = 0.25
    both(plain, frozen, x)


def test_options_that_change():
    plain, frozen = pair(lambda: elman.GRU(I, H))
    x = example(plain, 2, 2)
    both(plain, frozen, x)
    plain.batch_first = frozen.batch_first = True
    both(plain, frozen, x)


def spoil(module: Any) -> None:
    """Writes where nobody sees it: to the matrices, all of which are packed."""
    for p in module.parameters():
        if p.dim() == 2:
            p.data.add_(1)


@each_module
def test_known_calls_read_what_is_packed(make):
    _, frozen = pair(make)
    layer = make in LAYERS.values()
    x = example(frozen, 3, 3) if layer else example(frozen, 3)
    state = frozen(x)
    for form in ((x,), (x, state[1] if layer else state)):
        for _ in range(2):
            before = frozen(*form)
        kept = [p.clone() for p in frozen.parameters()]
        spoil(frozen)
        same(frozen(*form), before)
        elman.freeze(frozen)  # which announces it
        assert not torch.equal(tree_leaves(frozen(*form))[0], tree_leaves(before)[0])
        for p, value in zip(frozen.parameters(), kept, strict=True):
            p.data.copy_(value)
        elman.freeze(frozen)


def test_calls_of_any_length_share_what_is_packed():
    _, frozen = pair(lambda: elman.GRU(I, H, 2))
    taken = set()
    for T, B in ((1, 2), (5, 2), (3, 9), (1, 1), (7, 1)):
        for _ in range(2):
            frozen(example(frozen, T, B))
        taken.add(frozen_of(frozen).held.packed.nbytes)
    one, two = sorted(taken)  # a single row has kernels of its own
    assert two < 2.5 * one


# -- weights of fewer bytes


def rounded(module: Any) -> Any:
    twin = copy.deepcopy(module)
    for weight in twin.parameters():
        if weight.dim() == 2:
            weight.copy_(weight.bfloat16().float())
    return twin


@each_module
def test_bfloat16_weights_have_the_bits_of_rounded_matrices(make):
    plain = make().float().eval()
    frozen = elman.freeze(copy.deepcopy(plain), weight_dtype=torch.bfloat16)
    twin = rounded(plain)
    if make in CELLS.values():
        for lead in ((1,), (7,), ()):
            x = example(plain, *lead)
            both(twin, frozen, x, both(twin, frozen, x))
    else:
        for T, B in ((1, 1), (1, 7), (5, 3)):
            both(twin, frozen, example(plain, T, B))
        x = example(plain, 4, 4)
        both(twin, frozen, x, lengths=[2, 4, 1, 4])
        both(twin, frozen, x, return_states=True)
        both(twin, frozen, pack_sequence([example(plain, n) for n in (5, 2)]))
    assert packs(frozen)
    with torch.enable_grad():  # of the weights themselves
        same(tree_leaves(frozen(x))[0], tree_leaves(plain(x))[0])
    both(twin, frozen, x)


@pytest.mark.parametrize("weight_dtype", WEIGHT_DTYPES)
@pytest.mark.parametrize("name", ["GRU, no bias, double", "LSTM, projected", "heads", "wide"])
def test_weights_of_a_dtype_have_the_bits_of_a_session(name, weight_dtype):
    frozen = elman.freeze(LAYERS[name]().float().eval(), weight_dtype=weight_dtype)
    for T, B in ((1, 1), (1, 7), (5, 3)):
        x = example(frozen, T, B)
        expected = elman.Stream(frozen, B, weight_dtype).chunk(x)
        for _ in range(3):
            assert torch.equal(frozen(x)[0], expected)


def test_bfloat16_weights_take_half_the_bytes():
    taken = {}
    for weight_dtype in (None, torch.bfloat16):
        frozen = elman.freeze(elman.GRU(256, 256).eval(), weight_dtype=weight_dtype)
        for _ in range(2):
            frozen(torch.randn(1, 1, 256))
        taken[weight_dtype] = frozen_of(frozen).held.packed.nbytes
    assert taken[torch.bfloat16] < 0.6 * taken[None]
    assert status(frozen).endswith("bytes of bfloat16 weights")


# -- errors


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        (lambda: elman.freeze(3), TypeError, "freeze: expected a torch.nn.Module, got int"),
        (lambda: elman.thaw([]), TypeError, "thaw: expected a torch.nn.Module, got list"),
        (
            lambda: elman.freeze(torch.nn.GRU(I, H)),
            ValueError,
            "expected recurrent layers of elman in GRU, got none: elman.accelerate",
        ),
        (
            lambda: elman.freeze(elman.GRU(I, H), weight_dtype=torch.float16),
            ValueError,
            "freeze: expected weight_dtype to be .* or None, got torch.float16",
        ),
        (
            lambda: elman.freeze(elman.GRU(I, H).double(), weight_dtype=torch.bfloat16),
            ValueError,
            r"is for modules of torch.float32, got one of torch.float64: module.float\(\)",
        ),
    ],
)
def test_what_cannot_be_frozen_is_refused(given, kind, text):
    with pytest.raises(kind, match=text):
        given()
