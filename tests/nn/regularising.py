"""Layers with options that regularise: their calls, and the same by a plain loop."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman import Recurrent
from elman.nn.masks import LayerMasks
from tests.nn import regularised_loop
from tests.nn.kinds import tensors
from tests.tolerances import assert_close

I, H, T, B = 3, 5, 7, 4  # noqa: E741
LENGTHS = [4, 7, 1, 5]

OPTIONS: Mapping[str, Any] = {
    "input_dropout": 0.3,
    "state_dropout": 0.4,
    "output_dropout": 0.3,
    "recurrent_dropout": 0.2,
    "weight_dropout": 0.4,
    "zoneout": 0.3,
    "state_noise": 0.2,
    "state_clip": 0.15,
    "grad_clip": 0.05,
}
RANDOM = {name: value for name, value in OPTIONS.items() if not name.endswith("clip")}
STACK = {"num_layers": 2, "bidirectional": True}


class Spy:
    """Keeps what modules draw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.masks: list[LayerMasks] = []
        self.weights: list[Tensor] = []
        draw = Recurrent._draw

        def spying(module: Any, *given: Any) -> Any:
            weights, masks = draw(module, *given)
            self.weights, self.masks = [*weights], [*masks]
            return weights, masks

        monkeypatch.setattr(Recurrent, "_draw", spying)


def net_of(cell: str, options: Mapping[str, Any], **others: Any) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(getattr(elman.cells, cell), I, H, dtype=torch.float64, **options, **others)


def run(net: Recurrent, x: Tensor, seed: int = 5, **call: Any) -> dict[str, Tensor]:
    """Results and gradients of a call in which everything counts."""
    torch.manual_seed(seed)
    net.zero_grad()
    x = x.detach().requires_grad_()
    output, final = net(x, **call)
    found = {"output": output, **{f"final {i}": f for i, f in enumerate(tensors(final))}}
    return found | gradients(found, {"x": x, **dict(net.named_parameters())})


def gradients(found: Mapping[str, Tensor], leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    loss = torch.stack([(v * (v + 1 + i)).sum() for i, v in enumerate(found.values())]).sum()
    grads = torch.autograd.grad(loss, [*leaves.values()], allow_unused=True)
    every = zip(leaves.items(), grads, strict=True)
    return {f"gradient of {n}": torch.zeros_like(v) if g is None else g for (n, v), g in every}


def solve(cell: str, net: Recurrent, spy: Spy, x: Tensor, lengths: Any) -> dict[str, Tensor]:
    """The same by the plain loop, for the numbers that the last call drew."""
    x = x.detach().requires_grad_()
    leaves = {"x": x, **dict(net.named_parameters())}
    sets = [[*leaves.values()][1 + i : 5 + i] for i in range(0, len(leaves) - 1, 4)]
    if net.weight_dropout:
        factors = [
            t.detach() / p for t, p in zip(spy.weights[1::4], (s[1] for s in sets), strict=True)
        ]
        sets = [[w, u * f.detach(), a, b] for (w, u, a, b), f in zip(sets, factors, strict=True)]
    drawn = net._drawn
    names = drawn.step.randoms if drawn else ()
    given = spy.masks or [LayerMasks(None, [], None)] * net.num_layers
    masks = [(m.input, dict(zip(names, m.inner, strict=True)), m.output) for m in given]
    options = {name: getattr(net, name) for name in OPTIONS}
    output, final = regularised_loop.layers(cell, x, sets, options, masks, lengths)
    found = {"output": output, **{f"final {i}": f for i, f in enumerate(final)}}
    return found | gradients(found, leaves)


def check(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        kind = "gradient" if name.startswith("gradient") else "state"
        assert_close(value, expected[name], kind, name, floor=1e-3)
