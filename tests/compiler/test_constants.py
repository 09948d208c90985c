"""Numbers in a formula that a dtype does not hold mean the same on every path."""

import math

import pytest
import torch

import elman

MOST = float(torch.finfo(torch.float32).max)
HALF = 2.0**103  # half of a step beyond it
NUMBERS = (1e39, -1e39, 1e-50, -1e-50, 1e-40, MOST, MOST + HALF / 2, MOST + HALF, -MOST - HALF)
NUMBERS += (math.inf, -math.inf, math.nan, 1 / 3, 16777217.0)
USES = {
    "add": lambda v, n: v + n,
    "sub": lambda v, n: n - v,
    "mul": lambda v, n: v * n,
    "div": lambda v, n: v / n,
    "below": lambda v, n: n / v,
    "two": lambda v, n: v * (elman.abs(v) * n) * n,
    "minimum": elman.minimum,
    "maximum": lambda v, n: elman.maximum(n, v),
    "where": lambda v, n: elman.where(v > 0, n, v),
    "less": lambda v, n: elman.where(v < n, v, 2 * v),
    "greater": lambda v, n: elman.where(n > v, v, 2 * v),
    "negative": lambda v, n: elman.minimum(v, -(v * 0 + n)),
    "tanh": lambda v, n: v + elman.tanh(v * 0 + n),
}


class Using(elman.Cell):
    """Each use of the number is a state of its own."""

    gates = ("h",)
    states = ("h", *USES)

    def __init__(self, number: float) -> None:
        self.number = number

    def step(self, x, u, s):
        return elman.tanh(x.h + u.h), *(use(x.h, self.number) for use in USES.values())


@pytest.mark.parametrize("number", NUMBERS, ids=[float.hex(n) for n in NUMBERS])
def test_numbers_beyond_a_dtype_mean_the_same_on_every_path(number: float) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    net = elman.Recurrent(Using(number), 3, 4)
    x = torch.randn(2, 3, 3)
    found = {}
    for path in ("kernel", "reference"):
        with elman.set_path(path):
            found[path] = net(x)[1][1:]
    found["compiled"] = torch.compile(net, backend="aot_eager", fullgraph=True)(x)[1][1:]
    found["vmap"] = torch.vmap(net, in_dims=1, out_dims=1)(x[:, :, None])[1][1:]
    rounded = torch.tensor(number, dtype=torch.float64).float()  # as PyTorch does
    v = torch.nn.functional.linear(x[-1], net.weight_ih_l0, net.bias_ih_l0).detach()
    for path, values in found.items():
        for (name, use), value in zip(USES.items(), values, strict=True):
            want, have = use(v, rounded), value.detach().view_as(v)
            assert torch.allclose(have, want, equal_nan=True), (path, name, have, want)


class One(elman.Cell):
    gates = ("h",)

    def __init__(self, use: str, number: float) -> None:
        self.use, self.number = use, number

    def step(self, x, u, s):
        return USES[self.use](x.h + 0 * elman.tanh(u.h), self.number)


@pytest.mark.parametrize("use", USES)
def test_gradients_do_with_a_number_beyond_a_dtype_what_the_reference_does(use: str) -> None:
    net, x = elman.Recurrent(One(use, 1e39), 3, 4), torch.randn(2, 3, 3, requires_grad=True)
    found = []
    for path, twice in (("kernel", False), ("kernel", True), ("reference", False)):
        with elman.set_path(path):
            found += torch.autograd.grad(net(x)[0].sum(), x, create_graph=twice)
    for have in found[:2]:
        torch.testing.assert_close(have, found[2], equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_functions_of_tensors_take_numbers_beyond_their_dtype(dtype: torch.dtype) -> None:
    x = torch.tensor([1.0, -2.0], dtype=dtype)
    assert torch.equal(elman.minimum(x, 1e39), x)
    assert torch.equal(elman.maximum(x, -1e39), x)
    assert torch.equal(elman.where(x > 1e39, x, -x), -x)
