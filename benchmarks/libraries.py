"""Models of other libraries, as they are and accelerated, by turns in one process on one thread.

``python -m benchmarks.libraries [NAME ...]`` prints a table for those libraries that are installed.
Weights are random, and so are data; nothing is downloaded. Both give the same numbers, or there is
an error instead of a time. Times are the processor's, which other programs disturb little.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from statistics import median
from typing import Any, NamedTuple

import torch

import elman

from .library_models import FITS, MODELS
from .show import table

TOLERANCE = 1e-3  # of the greatest number, which float32 and other orders of summation leave


class Ratio(NamedTuple):
    """How many times as fast a library's model is accelerated, and how far the numbers differ."""

    library: str
    what: str
    training: float
    prediction: float | None
    difference: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.libraries")
    parser.add_argument("names", nargs="*", help="of libraries; all that are installed if none")
    parser.add_argument("--rounds", type=int, default=5, help="of both, by turns")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    rows = []
    for kind, measure in ((MODELS, _model), (FITS, _fit)):
        for library, what, make in kind:
            version = _version(library)
            if not version or (options.names and library not in options.names):
                continue
            try:
                row = measure(library, what, make, options.rounds)
            except Exception as error:  # noqa: BLE001 - the others are worth having
                print(f"{library}, {what}: {error!r}", file=sys.stderr)
                continue
            shown = "" if row.prediction is None else f"{row.prediction:.2f}"
            line = [f"{library} {version}", what, f"{row.training:.2f}", shown]
            rows.append([*line, f"{row.difference:.0e}"])
            print("; ".join(rows[-1]), file=sys.stderr, flush=True)
    print(table(["library", "model", "training", "prediction", "difference"], rows))


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _model(library: str, what: str, make: Callable[[], Any], rounds: int) -> Ratio:
    """Times of a forward and backward pass, and of a forward pass in evaluation."""
    torch.manual_seed(0)
    plain, call, *subclasses = make()
    torch.manual_seed(0)  # a copy would do, but some models cannot be copied
    ours = elman.accelerate(make()[0], subclasses=subclasses)
    _check_taken(ours)

    def train(model: torch.nn.Module) -> list[torch.Tensor]:
        model.train()
        model.zero_grad(set_to_none=True)
        torch.manual_seed(1)
        output = call(model)
        output.square().mean().backward()
        return [output.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]

    def predict(model: torch.nn.Module) -> list[torch.Tensor]:
        model.eval()
        with torch.no_grad():
            return [call(model)]

    differences, ratios = [], []
    for run in (train, predict):
        differences.append(_difference(run(plain), run(ours)))
        ratios.append(_ratio([lambda run=run: run(plain), lambda run=run: run(ours)], rounds))
    return Ratio(library, what, *ratios, max(differences))


def _fit(library: str, what: str, make: Callable[[], Any], rounds: int) -> Ratio:
    """Times of a whole fit, or whatever a library calls it; ``make`` prepares one."""

    def timed(accelerated: bool) -> tuple[float, Any]:
        torch.manual_seed(0)
        with elman.accelerated() if accelerated else nullcontext():
            fit = make()
            began = time.process_time()
            found, model = fit()
            took = time.process_time() - began
        if accelerated:
            _check_taken(model)
        return took, torch.as_tensor(found)

    timed(True)  # kernels are compiled once
    (_, theirs), (_, ours) = timed(False), timed(True)
    times = [[timed(False)[0], timed(True)[0]] for _ in range(rounds)]
    ratio = median(a for a, _ in times) / median(b for _, b in times)
    return Ratio(library, what, ratio, None, _difference([theirs], [ours]))


def _check_taken(model: Any) -> None:
    paths = {row.path for row in elman.explain(model).layers}
    if "kernel" not in paths:
        raise RuntimeError(f"nothing was taken: {elman.explain(model)}")


def _difference(theirs: Sequence[torch.Tensor], ours: Sequence[torch.Tensor]) -> float:
    worst = 0.0
    for a, b in zip(theirs, ours, strict=True):
        scale = max(1e-3, a.abs().max().item())
        worst = max(worst, (a - b).abs().max().item() / scale)
    if worst > TOLERANCE:
        raise RuntimeError(f"the numbers differ by {worst}")
    return worst


def _ratio(calls: Sequence[Callable[[], Any]], rounds: int) -> float:
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, mine in zip(calls, times, strict=True):
            began = time.process_time()
            call()
            mine.append(time.process_time() - began)
    return median(times[0]) / median(times[1])


if __name__ == "__main__":
    main()
