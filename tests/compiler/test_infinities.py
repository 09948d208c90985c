"""Infinities and NaN: they stay in their rows and steps, and go where torch.nn lets them go."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import elman
from tests.cells import STEPS
from tests.compiler.problem import Problem

pytestmark = pytest.mark.sampled(3)

BAD = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf"), "huge": 3e38}
bad_values = pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())


@pytest.fixture(autouse=True)
def _kernel_path() -> Iterator[None]:
    with elman.set_path("kernel"):
        yield


def of_other_rows(problem: Problem, results: dict[str, Tensor], row: int) -> dict[str, Tensor]:
    """What belongs to the other rows of the batch."""
    keep = torch.arange(problem.B) != row
    by_row = ("output", "gradient of x", "final", "gradient of h0")
    return {n: t[:, keep] for n, t in results.items() if n.startswith(by_row)}


@bad_values
@pytest.mark.parametrize("where", ["x", "h0.h"])
@pytest.mark.parametrize("cell", ["tanh", "relu", "LSTM", "GRUBefore", "Odd"])
def test_a_bad_number_in_one_row_does_not_touch_the_others(cell, where, bad):
    for B, H in ((7, 9), (5, 33)):
        problem, row = Problem(cell, B=B, H=H, T=4, dtype=torch.float32), 3
        clean = of_other_rows(problem, problem.run(), row)
        problem.tensors[where][-1, row, 0] = bad
        spoiled = of_other_rows(problem, problem.run(), row)
        assert len(clean) >= 4
        for name, value in clean.items():
            assert value.isfinite().all()
            assert torch.equal(spoiled[name], value), name


@bad_values
@pytest.mark.parametrize("cell", ["tanh", "LSTM", "GRUBefore"])
def test_a_bad_input_does_not_touch_earlier_steps(cell, bad):
    problem = Problem(cell, T=6, B=4)
    clean = problem.run()["output"]
    problem.tensors["x"][3, 2, 1] = bad
    spoiled = problem.run()["output"]
    assert torch.equal(spoiled[:3], clean[:3])
    assert not torch.equal(spoiled[3, 2], clean[3, 2])


@pytest.mark.parametrize("cell", STEPS)
def test_nan_in_a_row_is_seen_in_its_results(cell):
    """No primitive swallows it: what is NaN for PyTorch is NaN here, and nothing else. (Rows of
    weights that the formula does not use are left out: PyTorch multiplies NaN by zero there.)"""
    problem = Problem(cell, T=3, B=4)
    problem.tensors["x"][0, 1] = float("nan")
    found = problem.run()
    with elman.set_path("reference"):
        expected = problem.run()
    by_row = {n: v for n, v in expected.items() if "weight" not in n and "bias" not in n}
    assert {"output", "gradient of x", "gradient of h0.h"} <= set(by_row)
    for name, value in by_row.items():
        assert torch.equal(found[name].isnan(), value.isnan()), name


SPOTS = {"weight_ih_l0": (1, 2), "weight_hh_l0": (3, 0), "bias_ih_l0": (4,), "bias_hh_l0": (0,)}


@bad_values
@pytest.mark.parametrize("name", SPOTS)
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("B", [1, 5], ids=["one row", "batch"])
def test_bad_weights_give_what_they_give_in_torch(nonlinearity, name, bad, B):
    """Padding of vectors and panels with zeros must not meet them: 0 * inf is NaN."""
    torch.manual_seed(0)
    options = {"nonlinearity": nonlinearity, "dtype": torch.float64}
    theirs, ours = torch.nn.RNN(3, 5, **options), elman.RNN(3, 5, **options)
    with torch.no_grad():
        getattr(theirs, name)[SPOTS[name]] = bad
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, B, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for module in (theirs, ours):
        output, h_n = module(x)
        leaves = [x, *module.parameters()]
        found.append([output, h_n, *torch.autograd.grad(output.sum() + h_n.sum(), leaves)])
    for expected, actual in zip(*found, strict=True):
        assert torch.equal(actual.isnan(), expected.isnan())
        torch.testing.assert_close(actual, expected, equal_nan=True, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_gradients_that_vanish_into_denormal_numbers_are_right(dtype):
    """Through many steps they shrink below the smallest normal number, and to zero."""
    problem = Problem("tanh", T=60, B=2, H=8, dtype=dtype)
    tiny = torch.finfo(dtype).tiny
    problem.tensors["0.weight_hh"] *= 0.1
    problem.g_output.zero_()
    problem.g_final[0] *= tiny * 1e6
    found, expected = problem.run(), problem.solve()
    name = "gradient of x"
    step = found[name].abs().double().amax((1, 2))
    assert ((step > 0) & (step < tiny)).any()
    assert step[0] == 0
    assert step[-1] > tiny
    torch.testing.assert_close(found[name].double(), expected[name], rtol=1e-5, atol=tiny * 1e-2)
