"""Tuning constants: which of them decide bits, and what is decided by them."""

from dataclasses import fields

import pytest
import torch

import elman
from elman.compiler.schedule import DEFAULT, Schedule
from elman.launch.kernel_cache import HOLDERS, _kernels, scheduled
from elman.rows import Rows
from tests.compiler.bits import same_results
from tests.compiler.problem import Problem

pytestmark = pytest.mark.sampled(3)

#: Of each constant another value, with which something else is done.
OTHERS = {
    "parts": 1,
    "rows_for_two_parts": 1,
    "rows_of_part": 3,
    "steps_of_part": 1,
    "segment_rows": 16,
    "narrow_units": 1,
    "split_k": ((0, 3),),
    "flop_per_thread": 1,
    "meeting_bytes": 1,
    "look_bytes": 1,
    "patience": 1,
    "ragged_slices": 1,
    "piece_bytes": 1,
    "written_bytes": 0,
    "pack_cycles": 0,
    "rows_at_once": 0,
    "row_sum_cycles": 10_000,
    "unpacked_steps": 0,
    "gate_bytes": 1,
    "small_bytes": 1,
    "far_bytes": 0,
    "depth_bytes": 1,
    "depth_rows": (8, 8),
    "tile_rows": 2,
    "row_vectors": 1,
    "broadcast_units": 1,
    "spins": 1,
    "team_spins": 1,
    "pipeline_pieces": 1,
    "pipeline_steps": 1,
    "step_ahead": 64,  # these two are of artefacts
    "step_meanwhile": 64,
}
BITS = {constant.name for constant in fields(Schedule) if constant.metadata}


def problems() -> list[Problem]:
    """Many steps, few rows of one step, and one row; of all ways to sum up weights' gradients."""
    sizes = [{"T": 300, "B": 20}, {"T": 1, "B": 7}, {"T": 40, "B": 1}]
    return [Problem("LSTM", H=19, dtype=torch.float32, **size) for size in sizes]


@pytest.fixture(scope="module")
def expected() -> list[dict[str, torch.Tensor]]:
    with elman.set_path("kernel"):
        return [problem.run() for problem in problems()]


def run(constants: dict[str, object]) -> list[dict[str, torch.Tensor]]:
    with elman.set_path("kernel"), scheduled(**constants):
        return [problem.run() for problem in problems()]


def test_each_constant_is_here():
    assert set(OTHERS) == {constant.name for constant in fields(Schedule)}


@pytest.mark.parametrize("name", [name for name in OTHERS if name not in BITS])
def test_a_constant_does_not_change_bits(name, expected):
    for one, other in zip(run({name: OTHERS[name]}), expected, strict=True):
        same_results(one, other)


@pytest.mark.parametrize("name", sorted(BITS - {"parts", "rows_for_two_parts", "rows_of_part"}))
def test_a_constant_that_is_marked_changes_bits(name, expected):
    """But for those that need a larger batch."""
    found = run({name: OTHERS[name]})
    pairs = [(a[of], b[of]) for a, b in zip(found, expected, strict=True) for of in a]
    assert not all(torch.equal(a, b) for a, b in pairs)


def test_kernels_are_as_before_behind_the_context():
    caches = _kernels, *HOLDERS
    before = [dict(cache) for cache in caches]
    with scheduled(spins=1):
        assert not any(caches)
        for cache in caches:
            cache[()] = None
    assert [dict(cache) for cache in caches] == before


@pytest.mark.parametrize(
    ("rows", "units", "order"),
    [
        (Rows(1, 1, 1), 5, (1, 1, 256)),
        (Rows(100, 4, 400), 5, (2, 2, 128)),
        (Rows(100, 64, 6400), 256, (4, 16, 8)),
        (Rows(1000, 800, 800_000), 64, (16, 50, 6)),
    ],
)
def test_the_order_of_summation_is_what_it_has_been(rows, units, order):
    assert DEFAULT.order(rows, units) == order


def test_spans_are_whole_segments_in_the_order_in_which_they_run():
    assert DEFAULT.spans(Rows(700, 1, 700), 5) == [(0, 256), (256, 512), (512, 700)]
    assert DEFAULT.spans(Rows(700, 1, 700, reverse=True), 5) == [
        (444, 700),
        (188, 444),
        (0, 188),
    ]
