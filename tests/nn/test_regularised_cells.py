"""Options that regularise, of cells whose formulas are unusual: kernels against the reference."""

from typing import Any

import pytest
import torch

import elman
from tests.cells import CELLS
from tests.nn.kinds import B, I, T, further, options_of, units_of

OPTIONS: dict[str, dict[str, Any]] = {
    "products of a bounded state": {"grad_clip": 0.05},
    "zoneout and dropout": {"zoneout": 0.3, "state_clip": 0.8},
    "noise": {"state_noise": 0.1, "weight_dropout": 0.2},
}
NAMES = ("Seer", "Again", "Sized", "Tied", "TiedHeads", "Clipped")


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_kernels_and_reference_agree(name: str, option: str) -> None:
    cell, options = CELLS[name], dict(OPTIONS[option])
    if name == "Sized":
        options.pop("weight_dropout", None)  # it has no recurrent matrix
    torch.manual_seed(0)
    made = {**options_of(cell), **options}
    net = elman.Recurrent(cell, I, units_of(cell), **made, dtype=torch.float64)
    x, inputs = torch.randn(T, B, I, dtype=torch.float64), further(cell, T, B)
    inputs = inputs and {k: v.double() for k, v in inputs.items()}
    results = []
    for path in ("kernel", "reference"):
        torch.manual_seed(3)
        with elman.set_path(path):
            output, final = net(x, inputs=inputs)
            parts = [output, *(final if isinstance(final, tuple) else (final,))]
            loss = torch.stack([p.sin().sum() for p in parts]).sum()
            gradients = torch.autograd.grad(
                loss, [*net.parameters()], allow_unused=True, materialize_grads=True
            )
        results.append([*parts, *gradients])
    assert any(g.any() for g in results[0][len(parts) :])
    for a, e in zip(*results, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-12)
