"""elman's layers against torch.nn's, through ``module(...)``, in alternating rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import elman

from .workloads import Workload

MODES = ("inference", "training")
ROUND_SECONDS = 0.02  # a round repeats the call until it has taken about this long


def compare(workload: Workload, mode: str, rounds: int) -> dict[str, Any]:
    """Median microseconds of both, and the median ratio of a round with its 95% interval."""
    torch.manual_seed(0)
    sizes = (workload.I, workload.H, workload.num_layers)
    theirs, ours = (getattr(nn, workload.layer)(*sizes) for nn in (torch.nn, elman))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(workload.T, workload.B, workload.I)
    _agree(theirs, ours, x)
    calls = [_call(m, x, mode) for m in (theirs, ours)]
    repeats = [max(1, int(ROUND_SECONDS / _seconds(call, 3))) for call in calls]
    times = [
        [_seconds(call, n) for call, n in zip(calls, repeats, strict=True)] for _ in range(rounds)
    ]
    ratios = sorted(t / o for t, o in times)
    low, high = interval(rounds)
    return {
        "workload": workload.name,
        "sizes": workload._asdict(),
        "mode": mode,
        "torch_us": 1e6 * statistics.median(t for t, _ in times),
        "elman_us": 1e6 * statistics.median(o for _, o in times),
        "ratio": statistics.median(ratios),
        "interval": [ratios[low], ratios[high]],
    }


def interval(n: int) -> tuple[int, int]:
    """The ranks of a distribution-free 95% interval for a median."""
    half = 0.98 * n**0.5
    return max(0, int(n / 2 - half)), min(n - 1, int(n / 2 + half))


def _call(module: torch.nn.Module, x: torch.Tensor, mode: str) -> Callable[[], None]:
    parameters = list(module.parameters())

    def infer() -> None:
        with torch.no_grad():
            module(x)

    def train() -> None:
        module(x)[0].sum().backward()
        for p in parameters:
            p.grad = None

    return infer if mode == "inference" else train


def _seconds(call: Callable[[], None], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _agree(theirs: torch.nn.Module, ours: torch.nn.Module, x: torch.Tensor) -> None:
    """Nothing is timed before outputs and gradients agree."""
    results = []
    for module in (theirs, ours):
        output, _ = module(x)
        gradients = torch.autograd.grad(output.sum(), list(module.parameters()))
        results.append([output, *gradients])
    for mine, other in zip(*results, strict=True):
        scale = float(other.detach().abs().max()) + 1e-30
        torch.testing.assert_close(mine, other, rtol=2e-4, atol=2e-5 * scale)
