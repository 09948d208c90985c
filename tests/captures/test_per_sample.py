"""Gradients of weights for each sample, of every cell, beside those of a loop over the samples."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

import elman
from elman.compiler.isa import ISA, available
from tests.cells import CATALOGUE, CELLS
from tests.compiler.targets import force, label, runnable

pytestmark = pytest.mark.sampled(5)

EVERY = CELLS | CATALOGUE
T, S, B, I, H = 4, 3, 2, 3, 6  # noqa: E741


def _given(cell: elman.Cell, options: dict[str, Any]) -> tuple[Any, list[Tensor]]:
    torch.manual_seed(0)
    projects = {"proj_size": 2} if cell.projection else {}
    units = I if cell.trace().alike else H
    net = elman.Recurrent(cell, I, units, dtype=torch.float64, **projects, **options)
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
        with elman.set_path("reference"):  # which needs no further kernels
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


def _by_rows(net: Any, x: Tensor, lengths: Tensor | None = None) -> tuple[Any, list[Tensor]]:
    """Each row's gradients, and those of all rows together."""
    parameters = {n: p.detach() for n, p in net.named_parameters()}

    def loss(p: Any, x: Tensor, lengths: Tensor | None) -> Tensor:
        given = {} if lengths is None else {"lengths": lengths}
        return functional_call(net, p, (x,), given)[0].cos().sum()

    def of_row(row: Tensor, length: Tensor | None) -> Any:
        only = None if length is None else length[None]
        return grad(loss)(parameters, row[:, None], only)

    found = vmap(of_row, in_dims=(1, None if lengths is None else 0))(x, lengths)
    every = loss(dict(net.named_parameters()), x, lengths)
    return found, list(torch.autograd.grad(every, [*net.parameters()]))


@pytest.mark.parametrize("lengths", [False, True], ids=["padded", "lengths"])
@pytest.mark.parametrize(
    ("T", "B", "width", "units"),
    [(1, 5, 3, 4), (700, 3, 3, 37), (40, 33, 16, 16), (90, 2, 31, 64), (530, 1, 5, 8)],
)
@pytest.mark.parametrize("row", runnable(), ids=label)
def test_rows_add_up_whatever_the_chunks(row: ISA, T: int, B: int, width: int, units: int, lengths):
    torch.manual_seed(0)
    net = elman.Recurrent(elman.cells.GRU, width, units, bidirectional=True, dtype=torch.float64)
    some = torch.randint(0, T + 1, (B,)) if lengths else None
    with force(row), elman.set_path("kernel"):
        found, every = _by_rows(net, torch.randn(T, B, width, dtype=torch.float64), some)
    for mine, want in zip(found.values(), every, strict=True):
        torch.testing.assert_close(mine.sum(0), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_rows_have_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    torch.manual_seed(0)
    net, x = elman.LSTM(24, 48), torch.randn(60, 40, 24)
    expected = _by_rows(net, x)[0]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = _by_rows(net, x)[0]
    finally:
        torch.set_num_threads(before)
    for name, want in expected.items():
        assert torch.equal(found[name], want)


@pytest.mark.skipif(not (available() and available()[0].bf16_pairs), reason="no AVX512-BF16")
def test_rows_add_up_in_products_of_bfloat16() -> None:
    net, x = elman.Recurrent(elman.cells.LSTM, 24, 40), torch.randn(61, 9, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, every = _by_rows(net, x)
    for mine, want in zip(found.values(), every, strict=True):
        most = want.abs().max().item()
        torch.testing.assert_close(mine.sum(0), want, rtol=2e-2, atol=2e-2 * most)


def test_gradients_of_rows_have_gradients() -> None:
    """A penalty on each sample's gradient, as in gradient penalties."""
    torch.manual_seed(0)
    net, x = elman.GRU(3, 4, dtype=torch.float64), torch.randn(5, 3, 3, dtype=torch.float64)

    def penalty(parameters: Any) -> Tensor:
        def of_row(row: Tensor) -> Tensor:
            every = grad(lambda p: functional_call(net, p, (row,))[0].cos().sum())(parameters)
            return torch.stack([g.pow(2).sum() for g in every.values()]).sum().sqrt()

        return vmap(of_row, in_dims=1)(x).sum()

    parameters = {n: p.detach() for n, p in net.named_parameters()}
    found = grad(penalty)(parameters)
    with elman.set_path("reference"):
        expected = grad(penalty)(parameters)
    torch.testing.assert_close(found, expected)
