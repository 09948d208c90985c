"""``python -m benchmarks.artefacts``: artefacts beside other ways to run layers in a C program.

One thread, one stream. All contestants of a size take turns in this process. Shown are the least
and the median microseconds of a step, of the processor's time, and by how much the outputs of
256 steps are off, at most, from PyTorch's in float64. Contestants:

- the artefact of ``elman.export``, step by step and in one chunk, with ``--narrow`` also with
  weights in fewer bytes;
- ``elman.Stream`` in this process, which a step of one's own in Python calls;
- ONNX Runtime's C API (needs its header: Debian's libonnxruntime-dev, or a folder that
  ONNXRUNTIME_INCLUDE names, and the Python package for the library);
- plain loops in C, as they are and with ``-ffast-math``;
- C++ with sizes as template constants and a quick tanh, which is good to four digits.

Each of the last two is compiled by gcc and clang in several ways, of which the fastest counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from elman.bench.task import Task
from elman.bench.workloads import WORKLOADS

from ..show import table
from .contestants import (
    COMPILED,
    WEIGHTS,
    Contestant,
    MissingError,
    artefact,
    compiled,
    module_of,
    of_library,
    onnx_runtime,
    stream,
)

STEPS = 256
NAMED = ("rnnoise", "silero-vad", "amp-model", "edge-gru")
MORE = {
    "GRU(10, 32)": Task("GRU", STEPS, 1, 10, 32),
    "GRU(40, 128)": Task("GRU", STEPS, 1, 40, 128),
    "LSTM(128, 256)": Task("LSTM", STEPS, 1, 128, 256),
    "LSTM(256, 512)": Task("LSTM", STEPS, 1, 256, 512),
}
Key = tuple[str, str]  # of a contestant: its name, and how it was built if there are several ways
SECONDS = 0.004  # that a contestant takes in its turn, about


def tasks() -> dict[str, Task]:
    """By name, one row each."""
    named = {name: WORKLOADS[name].task("inference", 1)._replace(T=STEPS, B=1) for name in NAMED}
    return named | MORE


def contestants(
    task: Task, folder: Path, narrow: bool, missing: Callable[[str], object]
) -> Iterator[tuple[str, str, Contestant]]:
    """Each with its name, and how it was built if there are several ways."""
    x = task.input()[:, 0].copy()
    for kind in WEIGHTS if narrow else [""]:
        for found in (artefact(task, x, folder, kind), stream(task, x, kind)):
            for who, one in found.items():
                yield who, "", one
    others = {"ONNX Runtime": lambda: [onnx_runtime(task, folder)]}
    others |= {who: lambda every=every: every for who, every in COMPILED.items()}
    for who, every in others.items():
        try:
            for build in every():
                label = " ".join([build.compiler, *build.flags]) if len(every()) > 1 else ""
                yield who, label, of_library(compiled(build, task, folder), task, x)
        except MissingError as error:
            missing(f"{who}: {error}")


def expected(task: Task) -> np.ndarray:
    """What PyTorch computes in float64."""
    module = getattr(torch.nn, task.layer)(task.I, task.H, task.num_layers).double()
    module.load_state_dict(module_of(task).state_dict())
    with torch.no_grad():
        return module(torch.from_numpy(task.input()).double())[0][:, 0].numpy()


def measure(entered: Mapping[Key, Contestant], rounds: int) -> dict[Key, list[float]]:
    """Microseconds of a step in each round."""
    calls, found = {}, {key: list[float]() for key in entered}
    for key, one in entered.items():
        begun = time.process_time()
        one.run()
        calls[key] = max(1, round(SECONDS / max(1e-6, time.process_time() - begun)))
    for _ in range(rounds):
        for key, one in entered.items():
            one.run()
            begun = time.process_time_ns()
            for _ in range(calls[key]):
                one.run()
            found[key].append((time.process_time_ns() - begun) / calls[key] / STEPS / 1e3)
    return found


def errors(entered: Mapping[Key, Contestant], exact: np.ndarray) -> dict[Key, float]:
    """By how much the outputs are off, at most."""
    found = {}
    for key, one in entered.items():
        one.begin()
        (one.fill or one.run)()
        found[key] = abs(one.y - exact).max()
    return found


def show(found: Mapping[Key, list[float]], off: Mapping[Key, float]) -> str:
    """A line for each contestant, of its fastest build."""
    fastest: dict[str, Key] = {}
    for key in sorted(found, key=lambda key: min(found[key])):
        fastest.setdefault(key[0], key)
    lines = []
    for who in dict.fromkeys(who for who, _ in found):
        key = fastest[who]
        times = min(found[key]), statistics.median(found[key])
        lines.append([who, *(f"{t:.3f}" for t in times), f"{off[key]:.0e}", key[1]])
    return table(["contestant", "least us", "median us", "off by", "compiled by"], lines)


def main() -> None:
    """Prints a table for each size."""
    known = tasks()
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.artefacts", description=__doc__, formatter_class=raw
    )
    parser.add_argument("--only", nargs="+", choices=[*known], default=[*known], help="sizes")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--narrow", action="store_true", help="weights in fewer bytes, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    skipped: dict[str, None] = {}
    for name in options.only:
        task = known[name]
        with tempfile.TemporaryDirectory() as folder:
            every = contestants(task, Path(folder), options.narrow, skipped.setdefault)
            entered = {(who, label): one for who, label, one in every}
            off = errors(entered, expected(task))
            found = measure(entered, options.rounds)
        print(f"{name}: {task.layer}, {task.sizes}\n\n{show(found, off)}\n", flush=True)
    for why in skipped:
        print(f"Left out: {why}")


if __name__ == "__main__":
    main()
