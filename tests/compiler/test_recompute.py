"""Sequences whose segments run twice instead of being kept: the same bits, less memory."""

import pytest
import torch

import elman
from elman.compiler.schedule import DEFAULT
from tests.compiler.problem import Problem, check

LONG = [700, 640, 500, 300, 299, 1]  # of several segments, some rows within one
CELLS = ["tanh", "LSTM", "Again", "LayerNorm", "Projected", "Seer"]


def bits(problem: Problem, recompute: bool) -> dict[str, torch.Tensor]:
    problem.recompute = recompute
    with elman.set_path("kernel"):
        return problem.run()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options", [{"T": 900, "B": 1}, {"T": 300, "B": 3, "h0": False}, {"lengths": LONG}], ids=str
)
def test_the_bits_are_those_of_keeping_everything(cell, options):
    problem = Problem(cell, H=5, D=2, **options)
    assert len(DEFAULT.spans(problem.rows, problem.H)) > 2
    expected, found = bits(problem, False), bits(problem, True)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_many_segments_agree_with_the_reference():
    for options in ({"T": 600, "B": 2}, {"lengths": LONG}):
        problem = Problem("LSTM", H=5, D=2, **options)
        problem.recompute = True
        check(problem)


def test_what_is_kept_for_the_backward_pass_is_a_fraction():
    kept = {}
    for recompute in (False, True):
        size = 0

        def count(tensor):
            nonlocal size
            size += tensor.numel()
            return tensor

        problem = Problem("LSTM", T=5000, B=1, I=4, H=16)
        problem.recompute = recompute
        with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
            problem.call({n: t.requires_grad_() for n, t in problem.tensors.items()})
        kept[recompute] = size - problem.tensors["x"].numel()
    assert kept[True] < 0.05 * kept[False]
