"""Calls multiply weights as they lie, or pack them: the bits stay the same."""

import ctypes
import itertools
import mmap

import pytest
import torch

import elman
from elman.batch import LayerArgs, Weights
from elman.compiler.isa import available
from elman.launch.kernel import Kernel
from elman.launch.kernel_cache import forget_calls, kernel_for
from elman.rows import Rows
from tests.cells import EVERY_STEP
from tests.compiler.bits import same_results
from tests.compiler.layouts import inside, shifted, spread, turned
from tests.compiler.problem import Problem
from tests.compiler.targets import each_isa, force, label, runnable
from tests.sizes import layer_sizes
from tests.systems import linux_only

pytestmark = pytest.mark.sampled(5)


@each_isa
@pytest.mark.parametrize("B", [1, 3, 9])
@pytest.mark.parametrize("H", [5, 48, 70])  # 5: more rows than units, which are turned again
@pytest.mark.parametrize("T", [1, 5])
def test_bits_do_not_depend_on_how_weights_lie(row, B, H, T):
    sizes = {"T": T, "B": B, "H": H, "I": 48, "dtype": torch.float32}
    with force(row), elman.set_path("kernel"):
        expected = Problem("LSTM", **sizes).run()
        for layout in (spread, shifted, inside, turned):
            other = Problem("LSTM", **sizes)
            for name, tensor in other.tensors.items():
                if "weight" in name:
                    other.tensors[name] = layout(tensor)
            same_results(other.run(), expected)


@each_isa
@pytest.mark.parametrize("cell", ["tanh", "GRU", "GRUBefore", "Projected", "LayerNorm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_step_gives_the_bits_of_the_first_of_two(row, cell, dtype):
    """Of one row, of few in each of the ways to multiply them, and of some more than a vector."""
    with force(row), elman.set_path("kernel"), torch.no_grad():
        for (H, features), B in itertools.product(((20, 7), (50, 32)), (1, 2, 4, 7, 13, 19)):
            sizes = {"B": B, "H": H, "I": features, "dtype": dtype}
            two, one = Problem(cell, T=2, **sizes), Problem(cell, T=1, **sizes)
            one.tensors = {n: t[:1] if n == "x" else t for n, t in two.tensors.items()}
            assert torch.equal(one.run()["output"], two.run()["output"][:1])


def test_what_is_packed():
    """Nothing for a few rows of one step, unless something lies as PyTorch does not make it."""
    gru = EVERY_STEP["GRU"]

    def packs(T=1, B=4, gate=None, x=None):
        shapes = [*gru.shapes(layer_sizes(32, 32)).values()]
        weights = Weights.of([torch.rand(*shape) for shape in shapes])
        weights = weights._replace(w_hh=weights.w_hh if gate is None else gate)
        x = torch.rand(T, B, 32) if x is None else x
        given = LayerArgs(x, [torch.rand(1, B, 32)], [], [weights]).flat()
        kernel = kernel_for(gru, torch.float32, available()[0], 32, single=B == 1)
        results = [torch.empty(T, B, 32), torch.empty(1, B, 32)]
        run = kernel.forward(Rows(T, B, T * B), layer_sizes(32, 32), given, results, (), False, 1)
        return not run.slot("unpacked")

    assert [packs(B=B) for B in (1, 4, 16, 500)] == [False, False, False, True]
    assert packs(T=2)
    assert packs(gate=torch.rand(32, 96).t())
    assert packs(x=torch.rand(1, 32, 4).transpose(1, 2))


@pytest.mark.parametrize(
    ("T", "B", "H", "packs"),
    [
        (1, 3, 32, 0),
        (1, 1, 32, 0),
        (30, 20, 32, 0),
        (30, 1, 32, 1),
        (40, 20, 32, 1),
        (30, 20, 33, 1),
    ],
)
def test_what_is_packed_for_a_backward_pass(T, B, H, packs, monkeypatch):
    """Nothing for few rows of all steps, unless one row takes many steps, or a matrix's rows end
    within a vector."""
    made, backward = [], Kernel.backward

    def spy(*args, **options):
        made.append(backward(*args, **options))
        return made[-1]

    monkeypatch.setattr(Kernel, "backward", spy)
    forget_calls()
    with elman.set_path("kernel"):
        elman.GRU(32, H)(torch.rand(T, B, 32))[0].sum().backward()
    assert [run.slot("unpacked") for run in made] == [1 - packs]


def test_numbers_that_are_none_stay_with_their_units():
    """A row of weights that is NaN, at the end of a matrix whose units are read in pairs."""
    rnn = elman.RNN(20, 19)
    with elman.set_path("kernel"), torch.no_grad():
        rnn.weight_ih_l0[-1] = float("nan")
        output, _ = rnn(torch.ones(1, 1, 20))
    assert output[..., -1].isnan().all()
    assert output[..., :-1].isfinite().all()


@linux_only
@pytest.mark.parametrize("row", runnable(), ids=label)  # an emulator would not see such pages
@pytest.mark.parametrize(("T", "B"), [(1, 1), (1, 3), (1, 13), (4, 1), (4, 13)])
@pytest.mark.parametrize(("features", "H"), [(21, 19), (24, 40), (16, 176), (200, 200), (40, 16)])
def test_nothing_is_read_beyond_a_matrix(row, T, B, features, H):
    """Each weight ends where the next page must not be touched; a read there ends the process.

    Backward, a matrix is multiplied as it lies if whole vectors, or half ones, end where it does.
    """
    rnn = elman.RNN(features, H)
    for weight in (rnn.weight_ih_l0, rnn.weight_hh_l0):
        weight.data = at_the_end_of_a_page(weight.data)
    x = at_the_end_of_a_page(torch.randn(T, B, features)).requires_grad_()
    gradients = {}
    for path in ("kernel", "reference"):
        with force(row), elman.set_path(path):
            rnn(x)[0].sum().backward()
        gradients[path], x.grad = x.grad, None
    torch.testing.assert_close(gradients["kernel"], gradients["reference"])


def at_the_end_of_a_page(tensor: torch.Tensor) -> torch.Tensor:
    pages = -(-tensor.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, pages + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None).mprotect
    assert protect(ctypes.c_void_p(start + pages), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    inside = torch.frombuffer(
        memory, dtype=tensor.dtype, count=tensor.numel(), offset=pages - tensor.nbytes
    )
    return inside.view(tensor.shape).copy_(tensor)
