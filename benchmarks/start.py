"""How long the first calls take, each in a new process: cold, and with kernels on disk."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .show import table

PROCESSES = 5
_SCRIPT = """
import sys, time
def lap(what, began):
    print(what, time.perf_counter() - began)
import torch
began = time.perf_counter()
import elman
lap("import elman", began)
began = time.perf_counter()
from llvmlite import binding
binding.get_host_cpu_features()
lap("load LLVM", began)
rnn, x = elman.RNN(64, 64), torch.randn(100, 32, 64)
began = time.perf_counter()
if sys.argv[1] == "inference":
    with torch.no_grad():
        rnn(x)
else:
    rnn(x)[0].sum().backward()
lap("first call, " + sys.argv[1], began)
"""


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any]]]:
    """One row."""
    yield "seconds", run


def run() -> dict[str, float]:
    """Medians in seconds of everything that happens once in a process."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as bytecode:  # there is some where a package was installed
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        _lines("inference", {**environment, "ELMAN_CACHE_DIR": "off"})
        for mode in ("inference", "training"):
            for _ in range(PROCESSES):
                with tempfile.TemporaryDirectory() as cache:
                    kernels = {"ELMAN_CACHE_DIR": os.path.join(cache, "kernels")}
                    for state in (", cold", ", kernels on disk"):
                        for line in _lines(mode, environment | kernels):
                            what, seconds = line.rsplit(" ", 1)
                            name = what + state * what.startswith("first")
                            found.setdefault(name, []).append(float(seconds))
    return {what: statistics.median(seconds) for what, seconds in found.items()}


def _lines(mode: str, environment: Mapping[str, str]) -> list[str]:
    """What a new process prints."""
    command = [sys.executable, "-c", _SCRIPT, mode]
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


def show(figures: dict[str, Any]) -> str:
    """What, and how many seconds."""
    rows = figures["start"]["seconds"].items()
    return table(["once in a process", "seconds"], [[what, f"{s:.3f}"] for what, s in rows])
