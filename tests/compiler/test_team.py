"""Threads that share the units of every step: the bits of one thread, however many come, whenever
they come, and whenever one of them is held up."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.compiler import isa, jit, sizes
from elman.compiler import team as code
from elman.compiler.ir import Function, Module
from elman.launch import calls
from elman.launch.kernel_cache import scheduled
from tests.cells import EVERY_STEP
from tests.compiler.objects import undefined
from tests.compiler.problem import Problem
from tests.compiler.targets import each_isa, force, here, needs_pairs
from tests.late import come_late
from tests.systems import linux_only, needs_fork, needs_threads

pytestmark = pytest.mark.sampled(6)

FOREVER = 1 << 40
#: However little there is to share; nobody is left behind, or who is not there at the first look.
SMALL = {"flop_per_thread": 1, "meeting_bytes": 1}
PATIENT = {**SMALL, "patience": FOREVER, "team_spins": 20}
HASTY = {**SMALL, "patience": 1, "look_bytes": FOREVER, "team_spins": 20}
RAGGED = [5, 4, 1]
#: Several stages, units of several kinds, heads; reductions over units and of the input.
CELLS = ["tanh", "LSTM", "GRUBefore", "Projected", "Odd", "Headed", "LayerNorm"]
some_cells = pytest.mark.parametrize("cell", CELLS)

Results = dict[str, Tensor]


@pytest.fixture(autouse=True)
def _kernel_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(calls, "avoid_threads", lambda work: False)
    with elman.set_path("kernel"):
        yield


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Into how many slices each forward pass cuts the units, once it is prepared; which grows."""
    counts: list[int] = []
    prepare = sizes.forward

    def watched(*arguments: Any, **named: Any) -> dict[str, int]:
        numbers = prepare(*arguments, **named)
        counts.append(numbers["unit.slices"])
        return numbers

    monkeypatch.setattr(sizes, "forward", watched)
    return counts


@pytest.fixture
def teams(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many threads each pass that is prepared wants to meet, 0 if none; which grows."""
    counts: list[int] = []

    def watch(name: str) -> None:
        prepare: Callable[..., dict[str, int]] = getattr(sizes, name)

        def watched(*arguments: Any) -> dict[str, int]:
            numbers = prepare(*arguments)
            counts.append(numbers["team"] * numbers["threads"])
            return numbers

        monkeypatch.setattr(sizes, name, watched)

    watch("forward")
    watch("backward")
    return counts


def both(problem: Problem, threads: int) -> tuple[Results, Results]:
    """The results of training and of inference, or chosen ones of a stack."""
    torch.set_num_threads(threads)
    training = problem.run()
    with torch.no_grad():
        return training, problem.run()


def same(one: tuple[Results, Results], other: tuple[Results, Results]) -> None:
    for mine, theirs in zip(one, other, strict=True):
        assert mine.keys() == theirs.keys()
        assert "output" in mine
        for name, value in mine.items():
            assert torch.equal(value, theirs[name]), name


def share(problem: Problem, teams: list[int], count: int) -> None:
    """So many threads have the bits of one; each of the three passes has wanted a team of as many,
    or of one less if tiles cannot be cut that often."""
    one = both(problem, 1)
    teams.clear()
    same(one, both(problem, count))
    assert len(teams) == 3
    assert {*teams} <= {count, max(2, count - 1)}


@needs_threads
@pytest.mark.parametrize("cell", EVERY_STEP)
def test_two_threads_have_the_bits_of_one(teams, cell):
    with scheduled(**PATIENT):
        problem = Problem(cell, lengths=RAGGED, H=70)
        one = both(problem, 1)
        teams.clear()
        same(one, both(problem, 2))
        assert set(teams) <= {0, 2}


@needs_threads
@some_cells
def test_most_cells_have_a_team_in_all_passes(teams, cell):
    with scheduled(**PATIENT):
        for B in (1, 2):
            share(Problem(cell, T=3, B=B, H=128, I=40), teams, 2)


@needs_threads
@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell != "Headed"])  # of two heads
@pytest.mark.parametrize("count", [3, 5])
def test_more_threads_have_the_bits_of_one(teams, cell, count):
    with scheduled(**PATIENT):
        for H, B in ((400, 1), (170, 3)):
            share(Problem(cell, T=2, B=B, H=H), teams, count)


@needs_threads
@pytest.mark.parametrize("T", range(1, 10))
def test_any_number_of_steps(T):
    with scheduled(**PATIENT):
        for B in (1, 2, 3):
            problem = Problem("GRUBefore", T=T, B=B, H=75, I=11)
            same(both(problem, 1), both(problem, 2))


@needs_threads
@pytest.mark.parametrize("H", [71, 72, 73, 80, 95, 97, 129, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_any_size(H, dtype):
    with scheduled(**PATIENT):
        problem = Problem("LSTM", T=3, B=1, H=H, I=H // 2, dtype=dtype)
        same(both(problem, 1), both(problem, 2))


@needs_threads
@each_isa
@pytest.mark.parametrize("cell", ["LSTM", "GRUBefore"])
def test_every_isa(row, cell, teams):
    if not here(row):
        pytest.skip("an emulated kernel has one thread")
    with force(row), scheduled(**PATIENT):
        share(Problem(cell, T=3, B=1, H=150, dtype=torch.float32), teams, 2)


@needs_threads
@pytest.mark.parametrize("cell", [*CELLS, "mingru"])
def test_who_is_held_up_is_done_without(cell):
    """A thread that has to wait at all takes over: teams end at some meeting, at any."""
    with scheduled(**HASTY):
        for H, lengths in ((170, [9]), (100, RAGGED), (75, [40])):
            problem = Problem(cell, lengths=lengths, B=len(lengths), H=H)
            one = both(problem, 1)
            for count in (2, 3, 2):
                same(one, both(problem, count))


@needs_threads
@needs_pairs
def test_products_of_bfloat16_pairs(teams):
    torch.manual_seed(0)
    gru, x = elman.GRU(33, 90).bfloat16(), torch.randn(4, 3, 33, dtype=torch.bfloat16)

    def results(count: int) -> list[Tensor]:
        torch.set_num_threads(count)
        output, h_n = gru(x)
        return [output, h_n, *torch.autograd.grad(output.float().sum(), [*gru.parameters()])]

    with scheduled(**PATIENT):
        one = results(1)
        teams.clear()
        assert all(torch.equal(a, b) for a, b in zip(one, results(2), strict=True))
        assert teams == [2, 0]  # no team in the backward pass


@needs_threads
def test_segments_and_chunks_of_the_backward_pass(teams):
    with scheduled(**PATIENT, gate_bytes=1, small_bytes=1, segment_rows=4, steps_of_part=10**6):
        share(Problem("LSTM", T=17, B=2, H=100, I=9), teams, 2)


@needs_threads
def test_a_second_direction_and_recomputed_steps():
    with scheduled(**PATIENT):
        for options in ({"D": 2}, {"recompute": True}, {"bias": False, "h0": False}):
            problem = Problem("LSTM", T=9, B=2, H=100, **options)
            same(both(problem, 1), both(problem, 2))


def test_who_never_comes_is_not_waited_for(monkeypatch, teams):
    regions = come_late(monkeypatch)
    with scheduled(**SMALL):
        problem = Problem("GRUBefore", T=5, B=1, H=100)
        one = both(problem, 1)
        same(one, both(problem, 2))
    assert teams[-3:] == [2, 2, 2] == regions


def test_the_last_one_to_come_leads_if_the_others_are_first(monkeypatch):
    """Threads of Python, one of which begins before the caller does."""
    worker = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

    def run(function: Any, data: int, count: int, flags: int) -> None:
        others = [threading.Thread(target=function, args=(data,)) for _ in range(count - 1)]
        for other in others:
            other.start()
        function(data)
        for other in others:
            other.join()

    region = ctypes.CFUNCTYPE(None, worker, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)(run)
    address = ctypes.cast(region, ctypes.c_void_p).value
    with scheduled(**PATIENT):
        problem = Problem("Projected", T=5, B=1, H=200)
        one = both(problem, 1)
        monkeypatch.setattr(calls, "parallel_address", lambda: address)
        same(one, both(problem, 3))


@needs_threads
@pytest.mark.parametrize("weights", [None, torch.bfloat16, torch.int8], ids=str)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_session_shares_units(teams, weights, layers, batch):
    torch.manual_seed(0)
    lstm, x = elman.LSTM(20, 150, layers), torch.randn(7, batch, 20)
    with scheduled(**PATIENT):
        found = list[Tensor]()
        for count in (1, 2):
            torch.set_num_threads(count)
            teams.clear()
            stream = elman.Stream(lstm, batch, weight_dtype=weights)
            steps = [stream.step(row).clone() for row in x[:2]]
            found.append(torch.cat([torch.stack(steps), stream.chunk(x[2:5]), stream.chunk(x[5:])]))
            assert (2 in teams) is (count == 2 and (layers == 1 or batch > 1))
        assert torch.equal(*found)


@needs_threads
def test_layers_on_one_another_share_units(teams):
    torch.manual_seed(0)
    gru, x = elman.GRU(20, 150, 2, bidirectional=True), torch.randn(5, 2, 20)

    def results(count: int) -> list[Tensor]:
        torch.set_num_threads(count)
        output, h_n = gru(x)
        weights = [*gru.parameters()]
        return [output, h_n, *torch.autograd.grad((output * output.detach()).sum(), weights)]

    with scheduled(**PATIENT):
        one = results(1)
        teams.clear()
        assert all(torch.equal(a, b) for a, b in zip(one, results(2), strict=True))
        assert set(teams) == {2}


@pytest.mark.parametrize(
    ("cell", "sizes_", "wanted"),
    [
        ("LSTM", {"H": 100}, 2),
        ("LSTM", {"H": 200}, 3),
        ("LSTM", {"H": 700}, 4),
        ("LSTM", {"H": 700, "B": 40}, 0),  # there are rows for everybody
        ("tanh", {"H": 200}, 2),
        ("tanh", {"H": 140}, 0),  # reads 80 KiB a step: too little for two
    ],
)
@needs_threads
def test_units_are_shared_where_there_is_enough_to_read(teams, cell, sizes_, wanted):
    problem = Problem(cell, **{"T": 20, "B": 1, "dtype": torch.float32, **sizes_})
    torch.set_num_threads(4)
    with torch.no_grad(), scheduled(flop_per_thread=1):
        problem.run()
    assert teams == [wanted]


@needs_threads
@pytest.mark.parametrize("cell", ["mingru", "sru", "Independent", "Echo"])
@pytest.mark.parametrize(
    "sizes_",
    [
        {"T": 9, "B": 1, "I": 40},
        {"T": 1, "B": 1},
        {"lengths": RAGGED, "D": 2},
        {"T": 40, "D": 2, "B": 2},
    ],
)
def test_independent_units_meet_in_the_backward_pass_alone(slices, teams, cell, sizes_):
    with scheduled(**PATIENT, gate_bytes=1, small_bytes=1, segment_rows=4, steps_of_part=10**6):
        problem = Problem(cell, **sizes_, H=200)
        one = both(problem, 1)
        teams.clear(), slices.clear()
        same(one, both(problem, 2))
    directions = sizes_.get("D", 1)
    assert slices == [2] * 2 * directions
    assert teams == [*[0] * directions, *[2] * directions, *[0] * directions]


@needs_threads
def test_independent_units_are_shared_where_there_is_enough_to_do(slices):
    torch.set_num_threads(2)
    for sizes_, count in (
        ({"T": 500, "H": 256, "I": 64}, 2),
        ({"T": 10, "H": 256, "I": 4}, 1),
        ({"T": 500, "H": 256, "I": 64, "B": 40}, 1),  # there are rows for everybody
    ):
        slices.clear()
        with torch.no_grad():
            Problem("mingru", **{"B": 1, "dtype": torch.float32, **sizes_}).run()
        assert slices == [count]


def _meet() -> Callable[..., int]:
    """``meet(met, meeting, me, patience, rest)`` as a function of Python."""
    row, module = isa.of_this_kind()[-1], Module()
    code._define_meet(module, row, 1)
    f = Function(module, "elman_meet", [("ptr", "args")], public=True)
    kinds = "ptr", "i64", "i64", "i64", "ptr"
    given = ", ".join(f"{kind} {f.load(kind, '%args', i)}" for i, kind in enumerate(kinds))
    f.store("i64", f.op(f"call i64 @meet({given})"), f.gep("i64", "%args", 5))
    ((found, _),) = jit.load(jit.Source("a meeting", row, "elman_meet", lambda: module))
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(found.address)

    def meet(met: Any, meeting: int, me: int, patience: int, rest: int) -> int:
        table = (ctypes.c_int64 * 6)(ctypes.addressof(met), meeting, me, patience, rest, -1)
        run(ctypes.addressof(table))
        return table[5]

    meet.found = found  # type: ignore[attr-defined]  # which would be freed
    return meet


def test_the_code_asks_for_nothing_else_on_any_processor() -> None:
    for row in isa.TABLE:
        module = Module()
        code._define_meet(module, row, 1)
        assert undefined(jit.object_code(str(module).replace("internal ", ""), row)) == []


def test_a_meeting_agrees_on_who_takes_over():
    """Three threads, of which the first two wait for the third; their number is in the word before
    it comes. One that has not yet left the meeting before does not take it for that one's."""
    meet, met = _meet(), ctypes.c_int64(0)
    rests = ctypes.CFUNCTYPE(ctypes.c_int)
    heirs: list[tuple[int, int]] = []

    def third_comes() -> int:
        if met.value & 0xFFFFFFFF == 5:
            heirs.append((met.value >> 32, meet(met, 6, 3, 1, 0)))
        return 0

    def second_comes() -> int:
        if met.value & 0xFFFFFFFF == 4:
            heirs.append((met.value >> 32, meet(met, 6, 2, 1, rest(third_comes))))
        return 0

    def rest(function: Callable[[], int]) -> int:
        kept.append(rests(function))
        return ctypes.cast(kept[-1], ctypes.c_void_p).value or 0

    kept: list[Any] = []
    met.value = 2
    assert meet(met, 3, 3, 1, 0) == 0  # the last to come to the first meeting
    assert meet(met, 6, 1, 1, rest(second_comes)) == 1
    assert heirs == [(1, 1), (1, 1)]  # the third one's, then the second one's, who came in between
    met.value = (2 << 32) + 4 - 1
    assert meet(met, 3, 1, 1, 0) == 0  # sees one thread at the next meeting, and that it takes over


BUSY = """
import subprocess, sys, torch, elman
from elman.launch import calls
burner = "import sys\\nwhile True: pass"
torch.manual_seed(0)
lstm, x = elman.LSTM(64, 256), torch.randn(50, 1, 64)
torch.set_num_threads(1)

def results():
    output, _ = lstm(x)
    return [output, *torch.autograd.grad(output.sum(), [*lstm.parameters()])]

one = results()
programs = [subprocess.Popen([sys.executable, "-c", burner]) for _ in range(3)]
lates = []
calls.avoid_threads = lambda work: False
calls.record_lateness = lambda late, work: lates.append(late)
try:
    torch.set_num_threads(2)
    for _ in range(40):
        assert all(torch.equal(a, b) for a, b in zip(one, results(), strict=True))
finally:
    for program in programs:
        program.kill()
print(len(lates))
"""


@needs_threads
def test_other_programs_hold_the_cores():
    done = subprocess.run(
        [sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip() == "80", done.stderr


FORK = """
import os, torch, elman
torch.manual_seed(0)
torch.set_num_threads(2)
gru, x = elman.GRU(64, 300), torch.randn(20, 1, 64)
stream = elman.Stream(gru, 1)
before = gru(x)[0]
assert torch.equal(stream.chunk(x), before)
child = os.fork()
if not child:
    stream.reset()
    os._exit(0 if torch.equal(gru(x)[0], before) and torch.equal(stream.chunk(x), before) else 2)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), torch.equal(gru(x)[0], before))
"""


@linux_only
@needs_fork
def test_a_forked_child_has_no_team():
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip() == "0 True", done.stderr
