"""Gradients for each sample of a batch, beside a plain backward pass: ``python -m
benchmarks.per_sample``.

A plain pass is forward and backward over the whole batch. Beside it are ``vmap(grad)`` of elman's
layer, and the same by its reference, as for any module that consists of operators. torch.nn's
layer, which ``vmap`` cannot take, runs in a loop over the samples. Opacus' own layer runs with its
hooks, if Opacus is installed. All run by turns, on one thread. A turn is a few calls in a row, as
in a training loop. Shown is the least time of a call, in milliseconds of the processor's time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch.func import functional_call, grad, vmap

import elman
from elman.bench.contest import ALLOCATORS

from .turns import least_seconds

T, B, H = 50, 64, 64
ROUNDS, CALLS = 15, 3


def contestants(name: str) -> dict[str, Callable[[], Any]]:
    """What is timed of a layer."""
    ours, theirs = getattr(elman, name)(H, H), getattr(torch.nn, name)(H, H)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(T, B, H)
    parameters = {n: p.detach() for n, p in ours.named_parameters()}
    per_sample = vmap(
        grad(lambda p, row: functional_call(ours, p, (row,))[0].pow(2).sum()), in_dims=(None, 1)
    )

    def plain() -> Any:
        return torch.autograd.grad(ours(x)[0].pow(2).sum(), [*ours.parameters()])

    def reference() -> Any:
        with elman.set_path("reference"):
            return per_sample(parameters, x[:, :, None])

    def loop() -> Any:
        every = [
            torch.autograd.grad(theirs(x[:, i : i + 1])[0].pow(2).sum(), [*theirs.parameters()])
            for i in range(B)
        ]
        return [torch.stack(parts) for parts in zip(*every, strict=True)]

    found = {
        "plain": plain,
        "vmap(grad)": lambda: per_sample(parameters, x[:, :, None]),
        "its reference": reference,
        "torch.nn, a loop": loop,
    }
    if find_spec("opacus"):
        found["Opacus"] = _opacus(name, theirs, x)
    return found


def _opacus(name: str, theirs: torch.nn.Module, x: torch.Tensor) -> Callable[[], Any]:
    """Hooks that compute each sample's gradients in the backward pass of Opacus' layer."""
    from opacus import GradSampleModule, layers

    layer = getattr(layers, f"DP{name}")(H, H)
    layer.load_state_dict(theirs.state_dict())
    module = GradSampleModule(layer, batch_first=False, loss_reduction="sum")

    def run() -> Any:
        module.zero_grad()
        module(x)[0].pow(2).sum().backward()
        of = {n.removeprefix("_module."): p.grad_sample for n, p in module.named_parameters()}
        return [of[n] for n, _ in theirs.named_parameters()]

    return run


def main() -> None:
    """Prints a line for each layer; in brackets, times of the plain pass."""
    kept = ALLOCATORS["kept"]  # that of the other benchmarks, which takes a process of its own
    if not kept.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.per_sample"]
        sys.exit(subprocess.run(command, env=os.environ | kept, check=False).returncode)
    torch.set_num_threads(1)
    for name in ("RNN", "LSTM", "GRU"):
        runs = contestants(name)
        _check(runs)
        least = least_seconds(runs, ROUNDS, CALLS)
        one = least["plain"]
        shown = [f"{who} {1e3 * s:.2f} ({s / one:.2f})" for who, s in least.items()]
        print(f"{name}: {', '.join(shown)}")


def _values(found: Any) -> list[Any]:
    return list(found.values() if isinstance(found, dict) else found)


def _check(runs: dict[str, Callable[[], Any]]) -> None:
    """All agree, and add up to the gradient of the batch."""
    plain, *every = (run() for run in runs.values())
    for found in every:
        for want, have in zip(plain, _values(found), strict=True):
            torch.testing.assert_close(have.sum(0), want, rtol=1e-3, atol=1e-3)


if __name__ == "__main__":
    main()
