"""How far results may lie apart: one table, by operation and dtype.

Everything but the activations is measured against the largest number of the tensor, as its
rounding errors come from sums whose terms are about that large. The figures are about four times
the largest error seen with these tests; an error of a formula or an index is larger by orders
of magnitude.
"""

import torch
from torch import Tensor

#: Of a result that is computed more exactly and rounded once: half a unit of the largest number.
ROUNDED = {torch.bfloat16: 3.95e-3, torch.float16: 5.0e-4}

TOLERANCES = {
    # of a recurrence against float64: its states, and gradients by row and by weight
    "state": {torch.float32: 2e-6, torch.float64: 5e-15, **ROUNDED},
    "gradient": {torch.float32: 8e-6, torch.float64: 2e-14, **ROUNDED},
    # of two computations in the same dtype against each other, through several layers
    "same": {torch.float32: 1e-5, torch.float64: 2e-14},
}

#: Units in the last place, over the whole range of the argument.
ULPS = {
    "exp": 1.5,
    "expm1": 2.0,
    "log": 1.0,
    "log1p": 1.0,
    "sin": 2.5,
    "cos": 2.5,
    "erf": 3.5,
    "tanh": 3.0,
    "sigmoid": 3.0,
    "relu": 0.0,
}


def distance(actual: Tensor, expected: Tensor, floor: float = 1e-30) -> float:
    """The largest difference, in units of the largest number expected, or of ``floor``."""
    assert actual.shape == expected.shape
    if expected.numel() == 0:
        return 0.0
    a, b = actual.detach().double(), expected.detach().double()
    if not (a.isfinite().all() and b.isfinite().all()):
        return float("inf")
    return float((a - b).abs().max() / b.abs().max().clamp(min=floor))


def assert_close(
    actual: Tensor, expected: Tensor, operation: str, what: str = "", floor: float = 1e-30
) -> None:
    """Fails unless ``actual`` is as near as its dtype and the operation allow."""
    allowed = TOLERANCES[operation][actual.dtype]
    found = distance(actual, expected, floor)
    assert found <= allowed, f"{what or operation}: error {found:.2g}, allowed {allowed:.2g}"
