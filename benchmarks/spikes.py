"""``python -m benchmarks.spikes``: large calls that now and then take longer, and why.

Every case has processes of its own, one after another. Calls that take more than ``SLOW`` times the
median are slow. The second table has the means of what the others and the slow ones did: time of
this process as a user and in the system, minor faults, and how often a thread lost its core. Of
the whole machine: huge pages made and missed, searches for room for one, time that a host took.
Linux only; on a machine that does nothing else. ``--busy`` adds a neighbour on the last core.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pkgutil
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from elman.bench.contest import ALLOCATORS
from elman.bench.contestants import Modules
from elman.bench.task import MODES
from elman.bench.workloads import WORKLOADS

from .busy import busy_core
from .contestants import ELMAN, LAYERS, TORCH
from .show import table

SLOW = 1.3  # times the median
WARM_UP = 3  # calls
TICK = 1000 / os.sysconf("SC_CLK_TCK")  # milliseconds, of the machine's own counts of time
#: Counters of the whole machine, by their names in /proc/vmstat.
PAGES = {"huge": "thp_fault_alloc", "missed": "thp_fault_fallback", "stalls": "compact_stall"}


class Count(NamedTuple):
    """A moment, or what a call took: milliseconds, and counts."""

    wall: float
    user: float
    system: float
    faults: float
    preempted: float
    stolen: float
    huge: float
    missed: float
    stalls: float

    @staticmethod
    def now() -> Count:
        lines = Path("/proc/vmstat").read_text().splitlines()
        pages = {name: float(number) for name, number in (line.split() for line in lines)}
        stolen = float(Path("/proc/stat").read_text().split(maxsplit=9)[8]) * TICK
        own = resource.getrusage(resource.RUSAGE_SELF)
        of_machine = stolen, *(pages.get(name, 0.0) for name in PAGES.values())
        times = 1e3 * time.perf_counter(), 1e3 * own.ru_utime, 1e3 * own.ru_stime
        return Count(*times, own.ru_minflt, own.ru_nivcsw, *of_machine)

    def since(self, before: Count) -> Count:
        return Count(*(a - b for a, b in zip(self, before, strict=True)))


class Case(NamedTuple):
    """What one process does."""

    who: str
    mode: str
    threads: int
    busy: bool

    def __str__(self) -> str:
        beside = ", busy core" if self.busy else ""
        return f"{self.mode}, {self.threads} thread{'s' * (self.threads > 1)}{beside}, {self.who}"


def session(case: Case, options: argparse.Namespace) -> tuple[list[Count], float]:
    """The calls of a new process, and the share of its memory that lies in huge pages."""
    command = [sys.executable, "-m", "benchmarks.spikes", "--session", json.dumps(case)]
    command += ["--calls", str(options.calls), "--workload", options.workload]
    command += ["--layers", str(options.layers)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(case.threads))
    environment = os.environ | threads | ALLOCATORS[options.allocator]
    with busy_core() if case.busy else contextlib.nullcontext():
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    calls, share = json.loads(done.stdout)
    return [Count(*call) for call in calls], share


def calls_of(case: Case, options: argparse.Namespace) -> tuple[list[Count], float]:
    """What :func:`session` gives, in this process."""
    torch.set_num_threads(case.threads)
    torch.set_grad_enabled(case.mode == "training")
    contestant: Modules = pkgutil.resolve_name(LAYERS[case.who])
    task = WORKLOADS[options.workload].task(case.mode, case.threads)
    call = contestant.prepare(task._replace(num_layers=options.layers or task.num_layers), "")
    found = list[Count]()
    for _ in range(WARM_UP + options.calls):
        before = Count.now()
        results = call()
        after = Count.now()
        found.append(after.since(before))
    share = _huge_share()
    del results
    return found[WARM_UP:], share


def _huge_share() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return sizes["AnonHugePages"] / sizes["Anonymous"]


def times(case: Case, sessions: Sequence[Sequence[Count]]) -> list[str]:
    """A line of the first table: quantiles of all calls, and the medians of the processes."""
    wall = sorted(call.wall for calls in sessions for call in calls)
    middle, last = statistics.median(wall), len(wall) - 1
    quantiles = middle, wall[round(0.9 * last)], wall[round(0.99 * last)], wall[last]
    medians = [statistics.median(call.wall for call in calls) for calls in sessions]
    spread = f"{min(medians):.0f} to {max(medians):.0f}"
    return [str(case), *(f"{q:.0f}" for q in quantiles), f"{wall[last] / middle:.2f}", spread]


def causes(case: Case, sessions: Sequence[Sequence[Count]], shares: Sequence[float]) -> list[str]:
    """A line of the second table: what slow calls did, behind what the others did."""
    every = [call for calls in sessions for call in calls]
    limit = SLOW * statistics.median(call.wall for call in every)
    slow, others = [c for c in every if c.wall > limit], [c for c in every if c.wall <= limit]

    def mean(calls: Iterable[Count], i: int) -> str:
        found = [call[i] for call in calls]
        return f"{statistics.fmean(found):.0f}" if found else ""

    pairs = [f"{mean(others, i)} / {mean(slow, i)}" for i in range(len(Count._fields))]
    return [str(case), f"{len(slow)} of {len(every)}", *pairs, f"{statistics.fmean(shares):.0%}"]


def main() -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spikes", description=__doc__)
    parser.add_argument("--workload", default="hydrology", choices=WORKLOADS)
    parser.add_argument("--layers", type=int, default=0, help="instead of the workload's")
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--who", nargs="+", default=[TORCH, ELMAN], choices=[TORCH, ELMAN])
    parser.add_argument("--busy", action="store_true", help="also beside a busy core")
    parser.add_argument("--allocator", default="default", choices=ALLOCATORS)
    parser.add_argument("--sessions", type=int, default=3, help="processes of a case")
    parser.add_argument("--calls", type=int, default=40, help="of a process")
    parser.add_argument("--session", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.session:
        print(json.dumps(calls_of(Case(*options.session), options)))
        return
    cases = [
        Case(who, mode, threads, busy)
        for mode in options.modes
        for threads in options.threads
        for busy in (False, True)[: 1 + options.busy]
        for who in options.who
    ]
    found: dict[Case, list[tuple[list[Count], float]]] = {case: [] for case in cases}
    for _ in range(options.sessions):  # by turns: what the machine does meanwhile, it does to all
        for case, mine in found.items():
            mine.append(session(case, options))
    every = {case: tuple(zip(*mine, strict=True)) for case, mine in found.items()}
    header = ["milliseconds", "median", "90%", "99%", "most", "most / median", "medians"]
    print(table(header, [times(case, calls) for case, (calls, _) in every.items()]))
    print()
    header = ["others / slow", "slow", *Count._fields, "in huge pages"]
    print(table(header, [causes(case, *both) for case, both in every.items()]))


if __name__ == "__main__":
    main()
