"""``python -m benchmarks.peers.worker PEER THREADS``: answers requests, and sleeps between them.

A request and its answer are a line of JSON each. ``prepare`` compiles a task and saves what it
computes; ``time`` repeats the call that was prepared.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def main(peer: str, threads: int) -> None:
    """Serve until the input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    import numpy as np

    module = importlib.import_module(f".in_{peer}", "benchmarks.peers")
    from .task import Task

    if peer != "jax":
        import torch

        torch.set_num_threads(threads)
    calls: dict[str, Callable[[], Any]] = {}
    with os.fdopen(answers, "w") as out:
        print(json.dumps({"variants": module.VARIANTS}), file=out, flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "prepare":
                call, results = module.prepare(Task(*request["task"]), request["variant"])
                calls[request["key"]] = call
                np.savez(request["file"], *results())
                answer: dict[str, Any] = {}
            else:
                call, repeats = calls[request["key"]], request["repeats"]
                began = time.perf_counter()
                for _ in range(repeats):
                    call()
                answer = {"seconds": (time.perf_counter() - began) / repeats}
            print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
