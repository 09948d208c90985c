"""Weights that are masked, or of one sign in each unit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils.parametrize import register_parametrization

import elman
from elman import Recurrent, RecurrentCell
from tests.nn.kinds import (
    B,
    H,
    I,
    Leaky,
    T,
    assert_same_bits,
    tensors,
)

pytestmark = pytest.mark.usefixtures("kernel_path")


@pytest.mark.parametrize("owner", [elman.LSTM, lambda *a: Recurrent(elman.cells.LSTM, *a)])
def test_masked_weights_stay_zero_in_every_gate(owner: Callable[..., torch.nn.Module]) -> None:
    mask = torch.rand(H, H) > 0.5
    net = owner(I, H)
    register_parametrization(net, "weight_hh_l0", elman.nn.Mask(mask))
    blocks = mask.repeat(4, 1)
    assert not net.weight_hh_l0[~blocks].any()
    net(torch.randn(T, B, I))[0].sum().backward()
    gradient = net.parametrizations.weight_hh_l0.original.grad
    assert torch.equal(gradient != 0, blocks)


def test_a_mask_is_on_every_recurrent_weight() -> None:
    mask = torch.rand(H, H) > 0.5
    net = Recurrent(elman.cells.GRU, I, H, 2, bidirectional=True, mask=mask)
    weights = [p for name, p in named_weights(net) if name.startswith("weight_hh")]
    assert len(weights) == 4
    assert not any(w[~mask.repeat(3, 1)].any() for w in weights)
    plain = Recurrent(elman.cells.GRU, I, H, 2, bidirectional=True)
    plain.load_state_dict(dict(named_weights(net)))
    x = torch.randn(T, B, I)
    assert_same_bits(tensors(net(x)), tensors(plain(x)))
    cell = RecurrentCell(elman.cells.GRU, I, H, mask=mask)
    assert not cell.weight_hh[~mask.repeat(3, 1)].any()
    signs = Recurrent(elman.cells.Elman, I, H, mask=elman.nn.Dale([1, 1, -1, -1, 1]))
    assert signs.weight_hh_l0.sign()[0].tolist() == [1, 1, -1, -1, 1]


def named_weights(net: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [(name, getattr(net, name)) for each in net._names for name in each.values()]


def test_every_unit_has_one_sign() -> None:
    signs = torch.tensor([1.0, -1, 1, 1, -1])
    net = Recurrent(elman.cells.Elman, I, H)
    before = net.weight_hh_l0.detach().clone()
    register_parametrization(net, "weight_hh_l0", elman.nn.Dale(signs))
    assert torch.equal(net.weight_hh_l0, before.abs() * signs)
    plain = Recurrent(elman.cells.Elman, I, H)
    plain.load_state_dict({n: getattr(net, n) for n in plain.state_dict()})
    x = torch.randn(T, B, I)
    assert_same_bits(tensors(net(x)), tensors(plain(x)))
    for module in (net, plain):
        module(x)[0].sum().backward()
    gradient = net.parametrizations.weight_hh_l0.original.grad
    assert_same_bits([gradient], [plain.weight_hh_l0.grad * signs * before.sign()])
    net.reset_parameters()
    assert torch.equal(net.weight_hh_l0.sign(), signs.expand(H, H))
    assert net.weight_hh_l0.abs().max() <= H**-0.5


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, r"mask to be 2-D .* got shape \(3,\)", lambda: elman.nn.Mask([1, 0, 1])),
        (ValueError, "each 1 or -1, got", lambda: elman.nn.Dale([1, 0, 1])),
        (RuntimeError, r"blocks \(3, 3\)", lambda: elman.nn.Mask(torch.eye(3))(torch.ones(4, 3))),
        (RuntimeError, r"shape \(3, 3\)", lambda: elman.nn.Dale([1, 1])(torch.ones(3, 3))),
        (
            ValueError,
            "this cell does not have",
            lambda: Recurrent(elman.cells.IndRNN, I, H, mask=torch.eye(H)),
        ),
        (RuntimeError, r"blocks \(3, 3\)", lambda: Recurrent(Leaky, I, H, mask=torch.eye(3))),
    ],
    ids=["mask", "signs", "blocks", "columns", "no weight_hh", "another size"],
)
def test_wrong_constraints_are_named(
    error: type[Exception], message: str, make: Callable[[], Any]
) -> None:
    with pytest.raises(error, match=message):
        make()
