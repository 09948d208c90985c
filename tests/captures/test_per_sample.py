"""Gradients of weights for each sample, of every cell, beside those of a loop over the samples."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

import elman
from elman.step import Step
from elman.taps import tapped
from tests.cells import CATALOGUE, CELLS, EVERY_STEP

EVERY = CELLS | CATALOGUE
T, S, B, I, H = 4, 3, 2, 3, 5  # noqa: E741


def _given(cell: elman.Cell, options: dict[str, Any]) -> tuple[Any, list[Tensor]]:
    torch.manual_seed(0)
    projects = {"proj_size": 2} if cell.projection else {}
    net = elman.Recurrent(cell, I, H, dtype=torch.float64, **projects, **options)
    names = cell.trace().inputs
    data = [torch.randn(T, S, B, I, dtype=torch.float64)]
    data += [torch.rand(T, S, B, 1, dtype=torch.float64) for _ in names]
    return net, data


def _loss(net: Any, parameters: Any, x: Tensor, *further: Tensor, **given: Any) -> Tensor:
    inputs = dict(zip(net.cell.trace().inputs, further, strict=True)) or None
    output, final = functional_call(net, parameters, (x,), {"inputs": inputs, **given})
    parts = [output, *(final if isinstance(final, tuple) else (final,))]
    return torch.stack([p.cos().sum() for p in parts]).sum()


def _check(cell: elman.Cell, options: dict[str, Any], lengths: Tensor | None = None) -> None:
    net, data = _given(cell, options)
    parameters = {n: p.detach() for n, p in net.named_parameters()}

    def of_one(p: Any, lengths: Any, *data: Tensor) -> Any:
        given = {} if lengths is None else {"lengths": lengths}
        return grad(lambda p: _loss(net, p, *data, **given))(p)

    rows = (None if lengths is None else 0, *[1] * len(data))
    with elman.set_path("kernel"):
        found = vmap(of_one, in_dims=(None, *rows))(parameters, lengths, *data)
    for i in range(S):
        own = [t[:, i] for t in data]
        given = {} if lengths is None else {"lengths": lengths[i]}
        loss = _loss(net, dict(net.named_parameters()), *own, **given)
        expected = torch.autograd.grad(loss, [*net.parameters()], materialize_grads=True)
        for name, want in zip(parameters, expected, strict=True):
            torch.testing.assert_close(found[name][i], want, rtol=1e-8, atol=1e-9, msg=name)


@pytest.mark.parametrize("cell", EVERY)
def test_each_sample_has_the_gradients_of_a_call_of_its_own(cell: str) -> None:
    _check(EVERY[cell], {})


@pytest.mark.parametrize("cell", ["LSTM", "GRUBefore", "Multiplicative", "Peephole", "Projected"])
@pytest.mark.parametrize("lengths", [False, True])
def test_so_has_it_in_two_directions_and_layers(cell: str, lengths: bool) -> None:
    given = torch.tensor([[4, 1], [0, 3], [2, 4]]) if lengths else None
    _check(EVERY[cell], {"num_layers": 2, "bidirectional": True}, given)


def test_so_has_it_with_learned_initial_states() -> None:
    _check(CELLS["LSTM"], {"learn_initial": True, "bidirectional": True})


def test_most_formulas_have_taps() -> None:
    """The others have a call for each sample: what their products multiply is not in the output."""
    without = {name for name, step in EVERY_STEP.items() if tapped(step) is None}
    assert without == WITHOUT


WITHOUT = {"Again", "Odd", "Seer", "cornn", "lem", "scrn"}  # another state
WITHOUT |= {"Narrow", "Projected", "lstm, projected"}  # another size


@pytest.mark.parametrize("cell", EVERY_STEP)
def test_taps_are_few(cell: str) -> None:
    """Values that are added up have one gradient, and so one tap."""
    step: Step = EVERY_STEP[cell]
    found = tapped(step)
    if found is not None:
        assert found.taps <= len(set(step.x_gates) | set(step.u_gates)) * 2 + len(step.vectors)
