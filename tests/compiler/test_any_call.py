"""Whatever the sizes and options: results and gradients against the float64 reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import elman
from tests.cells import STEPS
from tests.compiler.bits import assert_same_rows, of_rows
from tests.compiler.problem import Problem, check

# Numbers of units that need few different kernels: a vector and its neighbours, several vectors.
UNITS = st.sampled_from([1, 3, 4, 5, 8, 9, 17, 40])
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=9).map(lambda n: sorted(n)[::-1])


@st.composite
def problems(draw: st.DrawFn, cells: tuple[str, ...] = tuple(STEPS)) -> Problem:
    lengths = draw(st.none() | LENGTHS)
    return Problem(
        cell=draw(st.sampled_from(cells)),
        T=draw(st.integers(1, 9)),
        B=draw(st.integers(1, 15)),
        I=draw(st.integers(1, 19)),
        H=draw(UNITS),
        D=draw(st.sampled_from([1, 2])),
        lengths=lengths,
        bias=draw(st.booleans()),
        h0=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=120)
@given(problem=problems(), data=st.data())
def test_any_call_agrees_with_the_reference(problem, data):
    names = sorted(problem.tensors)
    wanted = data.draw(st.none() | st.sets(st.sampled_from(names), min_size=1), "wanted")
    use = data.draw(st.sampled_from([("output", "final"), ("output",), ("final",)]), "use")
    # With one row and unit a result may be nearly zero, a difference of numbers that are not; and
    # the terms of a norm's gradient, which cancel there, are divided by the root of its epsilon.
    floor = 1.0 if problem.cell == "LayerNorm" else 0.1
    check(problem, wanted, use=use, floor=floor)


@settings(max_examples=60)
@given(problem=problems(("tanh", "LSTM", "GRUBefore", "Odd")), data=st.data())
def test_any_rows_have_the_same_bits_alone(problem, data):
    first = data.draw(st.integers(0, problem.B - 1), "first")
    last = data.draw(st.integers(first + 1, problem.B), "last")
    rows = slice(first, last)
    with elman.set_path("kernel"):
        assert_same_rows(problem, rows, of_rows(problem, rows).run())


@pytest.mark.parametrize("cell", ["tanh", "LSTM"])
def test_large_sizes_agree_with_the_reference(cell):
    """Several chunks of time, several blocks of columns, several depths of the outer sums."""
    check(Problem(cell, T=40, B=33, I=70, H=150))
    check(Problem(cell, T=300, B=3, I=5, H=20, D=2, dtype=torch.float32))
