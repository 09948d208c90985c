import io
import re

import pytest
from rich.console import Console

from elman.bench import machine
from elman.tasks.commands import bench


def test_bench_times_both_and_tells_the_mean(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    status, out, err = run("bench", "--only", "tutorial", "--rounds", 2, "--threads", 1)
    assert (status, err) == (0, "")
    assert re.search(r"threads 1; elman \S+, torch \S+", out)
    ratio = r"\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)"
    for mode in ("inference", "training"):
        row = rf"tutorial .* RNN .* 3, 1, 2, 4 .* {mode} .*\d [mu]s .*\d [mu]s .* {ratio}"
        assert re.search(row, out)
        assert re.search(rf"^{mode}: \d+\.\d\d times as fast, the geometric mean of 1$", out, re.M)


def test_an_unknown_workload_is_named_with_those_there_are(run):
    status, out, err = run("bench", "--only", "tutorials")
    assert (status, out) == (1, "")
    assert err.startswith("elman: No workload 'tutorials'; there are tutorial, psychrnn, ")


@pytest.mark.parametrize(("share", "warned"), [(0.02, False), (0.9, True)])
def test_a_busy_machine_is_told(share, warned):
    console = Console(file=io.StringIO(), width=200)
    assert bench._warned(share, console) is warned
    shown = "Other programs keep 90% of this machine busy: the ratios below say little."
    assert (shown in console.file.getvalue()) is warned


def test_how_busy_a_machine_is_follows_from_what_its_processors_did(monkeypatch):
    counts = iter([(100, 1000), (160, 1100)])
    monkeypatch.setattr(machine, "_times", lambda: next(counts))
    assert machine.busy_share(0) == pytest.approx(0.4)


def test_the_counters_of_this_machine_can_be_read():
    assert 0 <= machine.busy_share(0.05) <= 1
