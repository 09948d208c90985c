"""Values of learned vectors alone, which are computed once a call, or once for packed weights."""

from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.compiler.plan import plan_of
from tests.cells import EVERY_STEP

#: By cell the values of its forward pass, from the outside.
FIXED = {
    "lru": {"mul(exp(neg(exp(vector.nu))), cos(exp(vector.theta)))", "exp(vector.gamma)"}
    | {"mul(exp(neg(exp(vector.nu))), sin(exp(vector.theta)))"},
    "fastrnn": {"sigmoid(vector.alpha)", "sigmoid(vector.beta)"},
    "LSTM": set[str](),
    "Peephole": set[str](),
}


class Decay(elman.Cell):
    """A vector of another size, one number, a comparison of a vector, and a state that is fixed."""

    gates = ("a",)
    states = ("h", "m", "k")
    vectors = ("rate", "scale", "small", "sign")
    sizes = {"scale": 1, "small": 3, "m": 3}  # noqa: RUF012

    def step(self, x: Any, u: Any, s: Any) -> Any:
        keep = elman.exp(-elman.exp(self.vector("rate"))) / (1 + elman.exp(self.vector("scale")))
        sign = elman.where(elman.tanh(self.vector("sign")) > 0, 1.0, -1.0)
        h = keep * s.h + sign * elman.tanh(x.a + u.a + elman.mean(s.k))
        return h, elman.tanh(self.vector("small")) * s.m + 1, elman.exp(self.vector("rate"))


@pytest.mark.parametrize("name", FIXED)
def test_which_values_are_fixed(name: str) -> None:
    assert {repr(value) for value in plan_of(EVERY_STEP[name]).infer.fixed} == FIXED[name]


def results(net: Any, x: Tensor, path: str) -> list[Tensor]:
    with elman.set_path(path):
        output, final = net(x)
    leaves = [*net.parameters()]
    loss = (output * output.detach().cos()).sum() + sum((f * f).sum() for f in final)
    return [output, *final, *torch.autograd.grad(loss, leaves, materialize_grads=True)]


@pytest.mark.parametrize(("T", "B", "H"), [(1, 1, 3), (5, 1, 37), (6, 4, 9)])
def test_any_vectors(T: int, B: int, H: int) -> None:
    torch.manual_seed(0)
    net = elman.Recurrent(Decay, 2, H, dtype=torch.float64)
    x = torch.randn(T, B, 2).double()
    pairs = zip(results(net, x, "kernel"), results(net, x, "reference"), strict=True)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", [elman.cells.LRU, Decay])
@pytest.mark.parametrize(("T", "B"), [(1, 1), (4, 3)])
def test_packed_weights_have_them(cell: Any, T: int, B: int) -> None:
    torch.manual_seed(0)
    net, x = elman.Recurrent(cell, 4, 20).eval(), torch.randn(T, B, 4)
    stream = elman.Stream(net, B)
    vector = net.weight_nu_l0 if cell is elman.cells.LRU else net.weight_rate_l0
    with torch.no_grad():
        for _ in range(2):
            expected = net(x)[0]
            stream.refresh()
            stream.reset()
            assert torch.equal(stream.chunk(x), expected)
            elman.freeze(net)
            for _ in range(2):
                assert torch.equal(net(x)[0], expected)
            vector += 0.5
            again = net(x)[0]
            elman.thaw(net)
            assert torch.equal(net(x)[0], again)
