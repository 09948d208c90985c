"""What the trials of all frameworks share: modules with weights of some size, and comparisons."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

#: Steps, rows and sizes of the trials. Weights depend on neither steps nor rows, and each further
#: number of them is another program to compile for JAX.
T, B, I, H = 7, 3, 3, 5  # noqa: E741


def redrawn(module: torch.nn.Module) -> torch.nn.Module:
    """Other weights, biases included, in place."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.6)
    return module


def batch() -> np.ndarray:
    """An input, ``(B, T, I)``."""
    return np.random.default_rng(1).standard_normal((B, T, I))


def differences(
    theirs: Callable[[np.ndarray], Any], ours: torch.nn.Module, what: str, tolerance: float
) -> list[str]:
    """What is wrong with the outputs of a module of float64, in words."""
    x = batch()
    with torch.no_grad():
        found = ours(torch.from_numpy(x))[0].numpy()
    expected = np.asarray(theirs(x))
    if found.shape != expected.shape:
        return [f"{what}: shape {found.shape}, expected {expected.shape}"]
    if not np.allclose(found, expected, rtol=tolerance, atol=tolerance):
        return [f"{what}: off by {abs(found - expected).max()}"]
    if not 1e-3 < abs(found).max() < 1e3:
        return [f"{what}: says nothing, at most {abs(found).max()}"]
    return []


def run_examples(heading: str) -> None:
    """Runs the examples of a section of the guide, one after the other."""
    guide = Path(__file__).parents[2] / "docs" / "exchange.md"
    _, section = guide.read_text(encoding="utf-8").split(f"\n## {heading}\n")
    blocks = re.findall(r"^```python\n(.*?)^```", section.split("\n## ")[0], re.M | re.S)
    assert blocks
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, f"{guide.name}, {heading}", "exec"), names)
