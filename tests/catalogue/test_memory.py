"""Fast weights with several heads, and the function that takes one unit of each head."""

import pytest
import torch

import elman
from tests.reference.catalogue import delta_net

T, B, WIDTH = 6, 3, 4


class Taken(elman.Cell):
    """Every unit has the second and the last unit of its head."""

    gates = ("a",)
    heads = 3

    def step(self, x, u, s):
        value = x.a + u.a
        return elman.tanh(elman.take(value, 1, self.heads) - elman.take(value, -1, self.heads))


def taken(net, x):
    """The same in a plain loop."""
    h, found = x.new_zeros(x.shape[1], net.hidden_size), []
    for row in x:
        wide = torch.block_diag(*net.weight_hh_l0.chunk(net.cell.heads))
        value = row @ net.weight_ih_l0.T + net.bias_ih_l0 + h @ wide.T + net.bias_hh_l0
        heads = value.unflatten(-1, (net.cell.heads, -1))
        h = torch.tanh(heads[..., 1:2] - heads[..., -1:]).expand_as(heads).flatten(-2)
        found.append(h)
    return torch.stack(found)


def remembered(net, x):
    """A layer of ``DeltaNet`` in a plain loop."""
    cell, rows = net.cell, [x.new_zeros(x.shape[1], net.hidden_size)] * net.cell.keys
    gates, found = (x @ net.weight_ih_l0.T + net.bias_ih_l0).chunk(4, -1), []
    step = delta_net(cell.keys, cell.heads)
    for t in range(len(x)):
        now = dict(zip("qkvb", (gate[t] for gate in gates), strict=True))
        h, *rows = step(now.__getitem__, None, None, *rows)
        found.append(h)
    return torch.stack(found)


@pytest.mark.parametrize("path", ["kernel", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("cell", "units", "expected"),
    [
        (Taken(), 6, taken),
        (Taken(), 51, taken),
        (elman.cells.DeltaNet(keys=4, heads=2), 8, remembered),
        (elman.cells.DeltaNet(keys=5, heads=3), 51, remembered),
        (elman.cells.DeltaNet(keys=1), 1, remembered),
    ],
    ids=["taken", "taken wide", "heads", "wide heads", "one"],
)
def test_heads_are_apart(cell, units, expected, dtype, path):
    torch.manual_seed(0)
    net = elman.Recurrent(cell, WIDTH, units, dtype=dtype)
    x = torch.randn(T, B, WIDTH, dtype=dtype, requires_grad=True)
    used = [
        x,
        *(p for name, p in net.named_parameters() if "hh" not in name or net.cell.trace().u_gates),
    ]
    with elman.set_path(path):
        found = net(x)[0]
        gradients = torch.autograd.grad(found.square().sum(), used)
    wanted = expected(net, x)
    close = {"rtol": 1e-12, "atol": 1e-13} if dtype is torch.float64 else {}
    torch.testing.assert_close(found, wanted, **close)
    for a, b in zip(gradients, torch.autograd.grad(wanted.square().sum(), used), strict=True):
        torch.testing.assert_close(a, b, **close)


@pytest.mark.parametrize("path", ["kernel", "reference"])
def test_nothing_but_the_unit_that_is_taken_counts(path):
    class First(elman.Cell):
        gates = ("a",)

        def step(self, x, u, s):
            return elman.take(x.a, 0)

    net = elman.Recurrent(First(), WIDTH, 5)
    with torch.no_grad():
        net.weight_ih_l0[1:] = torch.nan
    x = torch.randn(T, B, WIDTH)
    with elman.set_path(path):
        found = net(x)[0]
    torch.testing.assert_close(
        found, (x @ net.weight_ih_l0[0] + net.bias_ih_l0[0])[..., None].expand_as(found)
    )


def test_a_tensor_has_what_a_formula_has():
    rows = torch.arange(12.0).view(2, 6)
    assert elman.take(rows, -1).tolist() == [[5.0], [11.0]]
    assert elman.take(rows, 1, heads=3).tolist() == [[1, 1, 3, 3, 5, 5], [7, 7, 9, 9, 11, 11]]
    with pytest.raises(IndexError):
        elman.take(rows, 2, heads=3)


def test_what_a_head_lacks_is_refused():
    with pytest.raises(
        ValueError, match="hidden_size of at least 20, since the formula takes unit"
    ):
        elman.Recurrent(elman.cells.DeltaNet(keys=5, heads=4), WIDTH, 16)
    with pytest.raises(ValueError, match="hidden_size to be a multiple of"):
        elman.Recurrent(elman.cells.DeltaNet(keys=2, heads=3), WIDTH, 8)
    with pytest.raises(ValueError, match="keys and heads of at least 1"):
        elman.cells.DeltaNet(keys=0)
    for value, index, heads, message in [
        (torch.ones(2), 1.0, 1, "number of a unit, an int, got 1.0"),
        (torch.ones(2), 0, 0, "heads of at least 1, got 0"),
    ]:
        with pytest.raises(elman.FormulaError, match=message):
            elman.take(value, index, heads)


def test_a_saved_program_says_the_same():
    net = elman.Recurrent(elman.cells.DeltaNet(keys=2, heads=2), WIDTH, 6)
    x = torch.randn(T, B, WIDTH)
    program = torch.export.export(net, (x,))
    torch.testing.assert_close(program.module()(x)[0], net(x)[0], rtol=0, atol=0)
