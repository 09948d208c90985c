"""``return_states=True`` of a single step, as cells take it."""

from typing import Any

import pytest
import torch

import elman
from elman import Recurrent, RecurrentCell
from tests.cells import CELLS
from tests.nn.kinds import (
    B,
    I,
    T,
    assert_same_bits,
    further,
    loss_of,
    options_of,
    tensors,
    units_of,
)

pytestmark = pytest.mark.usefixtures("kernel_path")
NAMES = ("GRU", "LSTM", "Gauge", "Projected", "Sized", "Echo")
each_name = pytest.mark.parametrize("name", NAMES)


def pair(name: str, dtype: torch.dtype = torch.float64) -> tuple[Recurrent, RecurrentCell]:
    """A layer and a cell with the same numbers."""
    torch.manual_seed(1)
    cell = CELLS[name]
    net, single = (
        kind(cell, I, units_of(cell), **options_of(cell), dtype=dtype)
        for kind in (Recurrent, RecurrentCell)
    )
    single.load_state_dict({k.removesuffix("_l0"): v for k, v in net.state_dict().items()})
    return net, single


def of_steps(single: RecurrentCell, x: torch.Tensor, inputs: Any) -> tuple[Any, list[torch.Tensor]]:
    """The last states of a loop, and what all steps returned, ``(1, T, B, H)`` each."""
    hx, found = None, []
    for t in range(len(x)):
        now = inputs and {k: v[t].double() for k, v in inputs.items()}
        hx, states = single(x[t], hx, now, return_states=True)
        found.append(tensors(states))
    return hx, [torch.stack(parts)[None] for parts in zip(*found, strict=True)]


@pytest.mark.parametrize("path", ["kernel", "reference"])
@each_name
def test_they_are_those_of_the_layer(name: str, path: str) -> None:
    net, single = pair(name)
    x, inputs = torch.randn(T, B, I, dtype=torch.float64), further(CELLS[name], T, B)
    more = inputs and {k: v.double() for k, v in inputs.items()}
    with elman.set_path(path):
        _, final, states = net(x, inputs=more, return_states=True)
        hx, found = of_steps(single, x, inputs)
        again = of_steps(single, x, inputs)[1]  # as known calls
    assert_same_bits(tensors(hx), [s[0] for s in tensors(final)])
    assert_same_bits(found, tensors(states))
    assert_same_bits(again, found)
    assert len(found) == len(net.cell.states) + len(net.cell.outputs)


@each_name
def test_their_gradients_are_those_of_the_layer(name: str) -> None:
    net, single = pair(name)
    x, inputs = torch.randn(T, B, I, dtype=torch.float64), further(CELLS[name], T, B)
    more = inputs and {k: v.double() for k, v in inputs.items()}
    expected = tensors(net(x, inputs=more, return_states=True)[2])
    found = of_steps(single, x, inputs)[1]
    pairs = zip(single.parameters(), net.parameters(), strict=True)
    mine = torch.autograd.grad(loss_of(found), [*single.parameters()])
    for (own, _), a, e in zip(
        pairs, mine, torch.autograd.grad(loss_of(expected), [*net.parameters()]), strict=True
    ):
        assert own.shape == a.shape
        torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-11)


def test_a_call_without_a_batch() -> None:
    _, single = pair("Gauge")
    x = torch.randn(1, I, dtype=torch.float64)
    _, expected = single(x, return_states=True)
    hx, found = single(x[0], return_states=True)
    assert_same_bits(tensors(hx), tensors(found)[:2])
    assert_same_bits([t[None] for t in found], [*expected])


def test_calls_with_and_without_are_told_apart() -> None:
    _, single = pair("LSTM")
    x = torch.randn(B, I, dtype=torch.float64)
    for _ in range(3):
        h, c = single(x)
        (h_n, _), (states, more) = single(x, return_states=True)
        assert_same_bits([h, h, c], [h_n, states, more])


def test_a_compiled_program_returns_them() -> None:
    _, single = pair("Gauge", torch.float32)
    x = torch.randn(B, I)
    compiled = torch.compile(lambda x: single(x, return_states=True), backend="eager")
    assert_same_bits(tensors(compiled(x)), tensors(single(x, return_states=True)))


@pytest.mark.parametrize("given", [1, "h"])
def test_it_is_true_or_false(given: Any) -> None:
    _, single = pair("GRU")
    with pytest.raises(TypeError, match="RecurrentCell: return_states must be True or False, got"):
        single(torch.randn(B, I, dtype=torch.float64), return_states=given)
