"""How long the first calls take, each in a new process: cold, and with a warm disk cache."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

_SCRIPT = """
import time
start = time.perf_counter()
import torch
torch_seconds = time.perf_counter() - start
start = time.perf_counter()
import elman
print("import elman", time.perf_counter() - start)
start = time.perf_counter()
from llvmlite import binding
binding.get_host_cpu_features()
print("load LLVM", time.perf_counter() - start)
rnn, x = elman.RNN(64, 64), torch.randn(100, 32, 64)
if {inference}:
    start = time.perf_counter()
    with torch.no_grad():
        rnn(x)
    print("first inference", time.perf_counter() - start)
else:
    start = time.perf_counter()
    rnn(x)[0].sum().backward()
    print("first forward and backward", time.perf_counter() - start)
"""


def run(times: int = 5) -> dict[str, float]:
    """Medians in seconds of everything that happens once in a process."""
    found: dict[str, list[float]] = {}
    for inference in (True, False):
        for _ in range(times):
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "warm cache"):
                    env = {**os.environ, "ELMAN_CACHE_DIR": os.path.join(cache, "kernels")}
                    code = _SCRIPT.format(inference=inference)
                    out = subprocess.run(
                        [sys.executable, "-c", code],
                        check=False,
                        env=env,
                        capture_output=True,
                        text=True,
                    )
                    if out.returncode:
                        raise RuntimeError(out.stderr)
                    for line in out.stdout.splitlines():
                        what, seconds = line.rsplit(" ", 1)
                        where = f", {state}" if what.startswith("first") else ""
                        found.setdefault(what + where, []).append(float(seconds))
    return {what: statistics.median(seconds) for what, seconds in found.items()}
