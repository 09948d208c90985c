import os
from pathlib import Path

import pytest

from elman.bench.contest import Contest
from elman.bench.task import Task
from elman.bench.workloads import WORKLOADS

# Each contestant's process imports torch, which takes long where other programs hold the cores.

OURS = {
    name: f"elman.bench.contestants:{name.upper()}"
    for name in ("torch", "elman", "session", "half_session")
}
WRONG = {name: f"tests.bench.wrong:{name.upper()}" for name in ("off", "dies")}


@pytest.fixture(scope="module")
def contest():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
        with Contest(OURS | WRONG, "torch") as made:
            yield made


def test_what_fails_is_told_and_the_rest_goes_on(contest):
    names = ["off", "dies", "torch", "session"]
    found = contest.compare(Task("GRU", 3, 2, 4, 5, mode="training"), 2, names)
    assert list(found) == names[:3]  # a session has no form for it
    assert [len(one.us) for one in found.values()] == [0, 0, 2]
    assert "its results lie 1.0e-03 from torch's in float64" in found["off"].failure
    assert "its process ended with code 3: out of luck" in found["dies"].failure
    # Its next task finds a new process.
    (dead,) = contest.compare(Task("RNN", 3, 2, 4, 5), 1, ["dies"]).values()
    assert "ended with code 3" in dead.failure


@pytest.mark.parametrize(
    "task",
    [
        Task("RNN", 3, 2, 4, 5, 2, True, "training"),
        Task("LSTM", 3, 2, 4, 5, mode="training"),
        Task("RNN", 3, 2, 4, 5, 2, True),
        Task("GRU", 3, 2, 4, 5, 2),
        Task("GRU", 1, 2, 4, 5, 3),
        Task("LSTM", 1, 1, 4, 5, 2),
    ],
    ids=lambda task: f"{task.layer}{task.T}{task.mode}",
)
def test_elman_agrees_before_it_is_timed(contest, task):
    names = ["elman", "session", "half_session"]
    found = contest.compare(task, 1, names)
    has_session = task.mode == "inference" and not task.bidirectional
    assert list(found) == (names if has_session else names[:1])
    assert [one.failure for one in found.values()] == [""] * len(found)


def test_latencies_and_growth(contest):
    task = Task("LSTM", 200, 64, 32, 64, mode="training")
    contest.compare(task, 0, ["elman"])
    assert all(us > 0 for us in contest.ask("elman", 1, "latencies", form="", count=3))
    if Path("/proc/self/clear_refs").exists():
        output = 4 * 200 * 64 * 64
        assert output < contest.ask("elman", 1, "growth", form="") < 20 * output


def test_every_workload_has_sizes_and_modes():
    for workload in WORKLOADS.values():
        for mode in workload.modes:
            task = workload.task(mode, 2)
            assert (task.mode, task.threads, task.H) == (mode, 2, workload.H)
        assert workload.about
