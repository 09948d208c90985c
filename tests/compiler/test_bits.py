"""The bits of a row's results depend on nothing but the row: not on its company, not on chunks
of time, not on threads, not on how many calls its steps are spread over."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.compiler import sizes
from elman.launch import calls, stack
from elman.launch.kernel_cache import scheduled
from elman.runtime import threads
from tests.compiler.bits import UNITS, assert_same_rows, each_dtype, of_rows, same_results
from tests.compiler.problem import Problem
from tests.compiler.targets import each_isa, force
from tests.late import come_late
from tests.systems import needs_threads

pytestmark = pytest.mark.sampled(3)

each_size = pytest.mark.parametrize("H", UNITS)
some_cells = pytest.mark.parametrize("cell", ["tanh", "LSTM", "GRUBefore"])
RAGGED = [9, 9, 7, 4, 4, 4, 2, 1, 1]


@pytest.fixture(autouse=True)
def _kernel_path() -> Iterator[None]:
    with elman.set_path("kernel"):
        yield


@each_size
@each_dtype
def test_a_row_has_the_same_bits_in_any_batch_and_place(H, dtype):
    whole = Problem("tanh", T=4, B=32, H=H, I=5, dtype=dtype)
    for start, stop in [(0, 1), (31, 32), (1, 3), (3, 8), (5, 11), (6, 13), (7, 20)]:
        rows = slice(start, stop)
        assert_same_rows(whole, rows, of_rows(whole, rows).run())


@some_cells
@each_dtype
def test_a_row_of_any_cell_has_the_same_bits_in_any_batch(cell, dtype):
    whole = Problem(cell, T=5, B=13, H=33, D=2, dtype=dtype)
    for start, stop in [(0, 1), (12, 13), (4, 6), (1, 8)]:
        rows = slice(start, stop)
        assert_same_rows(whole, rows, of_rows(whole, rows).run())


@some_cells
@each_dtype
def test_a_ragged_row_has_the_bits_of_the_row_alone(cell, dtype):
    whole = Problem(cell, lengths=RAGGED, H=17, D=2, dtype=dtype)
    for b in (0, 2, 5, 8):
        assert_same_rows(whole, b, of_rows(whole, b).run())
    rows = slice(2, 7)
    assert_same_rows(whole, rows, of_rows(whole, rows).run())


@each_isa
@pytest.mark.parametrize(
    ("cell", "H"), [*(("tanh", H) for H in (5, 20, 70)), ("GRU", 20), ("LSTM", 70), ("Odd", 9)]
)
def test_a_row_has_the_same_bits_in_any_batch_on_every_isa(row, cell, H):
    with force(row):
        whole = Problem(cell, T=4, B=14, H=H, dtype=torch.float32)
        for rows in (slice(0, 1), slice(3, 8), slice(2, 11)):
            assert_same_rows(whole, rows, of_rows(whole, rows).run())


@pytest.fixture
def one_step_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inputs are projected for one step at a time; kernels have prepared no other size."""
    prepare, chunks = sizes.forward, set()

    def watched(*arguments: Any) -> Any:
        numbers = prepare(*arguments)
        chunks.add(numbers["piece"])
        return numbers

    monkeypatch.setattr(sizes, "forward", watched)
    with scheduled(piece_bytes=1):
        yield
    assert chunks == {1}


@pytest.fixture
def whole_chunks() -> dict[str, dict[str, Tensor]]:
    """The results with chunks as they are."""
    return {name: p.run() for name, p in chunked_problems().items()}


def chunked_problems() -> dict[str, Problem]:
    problems = {f"H={H}": Problem("tanh", T=7, B=3, H=H) for H in UNITS}
    problems |= {f"H={H}, one row": Problem("tanh", T=7, B=1, H=H) for H in (1, 17, 65)}
    problems |= {c: Problem(c, lengths=RAGGED, D=2, H=8) for c in ("tanh", "LSTM", "GRUBefore")}
    return problems


def test_bits_do_not_depend_on_chunks_of_time(whole_chunks, one_step_chunks):
    for name, problem in chunked_problems().items():
        same_results(problem.run(), whole_chunks[name])


@some_cells
def test_bits_of_gradients_do_not_depend_on_chunks_of_the_backward_pass(cell):
    """Of gradients at the gates a chunk may have no more than one segment's, and then all."""
    lengths = [700, 640, 500, 300, 299, 1]
    found = []
    for nbytes in (1, 1 << 30):
        with scheduled(gate_bytes=nbytes):
            one, other = Problem(cell, T=900, B=1, H=5, D=2), Problem(cell, lengths=lengths, D=2)
            found.append((one.run(), other.run()))
    for one, other in zip(*found, strict=True):
        same_results(one, other)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many threads each pass took; a multiplication is work enough for one, a row for a part of
    the batch, and who comes late is waited for."""
    counts = []

    def count(*given: Any) -> int:
        counts.append(threads.thread_count(*given))
        return counts[-1]

    monkeypatch.setattr(calls, "avoid_threads", lambda work: False)
    monkeypatch.setattr(stack, "thread_count", count)
    with scheduled(flop_per_thread=1, steps_of_part=1):
        yield counts


def with_threads(problem: Problem, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The results of training and of inference."""
    torch.set_num_threads(count)
    training = problem.run()
    with torch.no_grad():
        return training, problem.run()


@needs_threads
@each_size
@each_dtype
def test_bits_do_not_depend_on_threads(taken, H, dtype):
    problem = Problem("tanh", T=4, B=13, H=H, dtype=dtype)
    one, alone = with_threads(problem, 1)
    assert set(taken) == {1}
    for count in (2, 3):
        taken.clear()
        many, inferred = with_threads(problem, count)
        assert taken == [count] * 6  # what each pass may take, and what its one layer does
        same_results(one, many)
        assert torch.equal(inferred["output"], alone["output"])


@needs_threads
@some_cells
@pytest.mark.parametrize("B", [2, 9, 40])
def test_bits_of_any_cell_do_not_depend_on_threads(taken, cell, B):
    for options in ({"B": B}, {"lengths": (RAGGED * 5)[:0] + sorted((RAGGED * 5)[:B])[::-1]}):
        problem = Problem(cell, D=2, H=17, T=4, **options)
        one, _ = with_threads(problem, 1)
        for count in (2, 5):
            taken.clear()
            many, _ = with_threads(problem, count)
            assert max(taken) == min(count, B)
            same_results(one, many)


@needs_threads
@pytest.mark.parametrize("cell", ["LSTM", "Projected", "GRUBefore"])
@pytest.mark.parametrize(("B", "H"), [(7, 5), (7, 40), (7, 100), (1, 300)])
def test_bits_of_one_step_do_not_depend_on_threads(taken, cell, B, H):
    """All of them are cut by units there."""
    problem = Problem(cell, T=1, B=B, H=H)
    one, alone = with_threads(problem, 1)
    for count in (2, 3):
        many, inferred = with_threads(problem, count)
        same_results(one, many)
        assert all(torch.equal(value, inferred[name]) for name, value in alone.items())
    assert max(taken) == 3


def test_a_call_whose_helpers_come_late_is_right_and_the_next_one_does_without(monkeypatch):
    regions = come_late(monkeypatch)
    monkeypatch.setattr(stack, "thread_count", lambda *work: 2)
    for name, value in {"_late": 0, "_alone_until": 0, "_pause": 60}.items():
        monkeypatch.setattr(threads, name, value)
    problem = Problem("LSTM", T=40, B=13, H=9)
    found = problem.run()
    assert regions == [2, 2]
    same_results(found, problem.run())
    assert regions == [2, 2]
    monkeypatch.setattr(threads, "_alone_until", 0)
    problem.run()
    assert regions == [2] * 4
