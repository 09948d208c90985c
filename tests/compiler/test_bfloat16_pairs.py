"""Layers of bfloat16, and of float32 under autocast, where the processor multiplies pairs of
bfloat16s: what products multiply is rounded, and all else is float32."""

import copy
import dataclasses
from collections.abc import Iterator
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

import elman
from elman import reference
from tests.cells import EVERY_STEP, STEPS
from tests.compiler.bits import assert_same_rows, of_rows
from tests.compiler.problem import RAGGED, Problem
from tests.compiler.targets import exact, needs_pairs
from tests.tolerances import distance

pytestmark = [needs_pairs, pytest.mark.sampled(5)]
HALF = torch.bfloat16
each_cell = pytest.mark.parametrize("cell", STEPS)
UNITS = [1, 2, 3, 15, 16, 17, 31, 33, 64, 65, 130]


@pytest.fixture(autouse=True)
def _kernel_path() -> Iterator[None]:
    with elman.set_path("kernel"):
        yield


class _Rounded(torch.autograd.Function):
    """A product of what is rounded, whose gradient is rounded before it is multiplied."""

    @staticmethod
    def forward(ctx, a, weight):
        a = a.to(HALF).to(a)
        ctx.save_for_backward(a, weight)
        return linear(a, weight)

    @staticmethod
    def backward(ctx, g):
        a, weight = ctx.saved_tensors
        g = g.to(HALF).to(g)
        return g @ weight, g.flatten(0, -2).T @ a.flatten(0, -2)


def rounding(a: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product = _Rounded.apply(a, weight)
    return product if bias is None else product + bias


@dataclasses.dataclass
class Wide(Problem):
    """A problem whose numbers are bfloat16s, in float32 under autocast or in float64."""

    def __post_init__(self) -> None:
        dtype, self.dtype = self.dtype, HALF
        super().__post_init__()
        self.dtype = dtype
        self.tensors = {name: t.to(dtype) for name, t in self.tensors.items()}
        self.g_output = self.g_output.to(dtype)
        self.g_final = [g.to(dtype) for g in self.g_final]

    def call(self, leaves: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        with torch.autocast("cpu", HALF):
            return super().call(leaves)


def check(cell: str, **options: object) -> None:
    """Kernels against the reference with rounded factors, in float64. Where a number lies between
    two bfloat16s the two may round differently, which most results must not notice."""
    found = Wide(cell, dtype=torch.float32, **options).run()
    with elman.set_path("reference"), mock.patch.object(reference, "linear", rounding):
        expected = Wide(cell, dtype=torch.float64, **options).run()
    for name, value in found.items():
        wanted = expected[name]
        assert distance(value, wanted) < 0.02, f"{cell}, {name}"
        if "bias" not in name and not EVERY_STEP[cell].vectors:  # sums of rounded gradients here
            near = (value - wanted).abs() <= 2e-5 * wanted.abs().max()
            assert near.double().mean() > 0.8, f"{cell}, {name}"


@each_cell
def test_products_are_of_rounded_numbers(cell):
    for options in ({"D": 2, "lengths": RAGGED}, {"B": 9, "H": 33}, {"B": 1, "H": 17, "T": 4}):
        check(cell, **options)


@pytest.mark.parametrize("H", UNITS)
@pytest.mark.parametrize("B", [1, 8], ids=["one row", "batch"])
def test_any_number_of_units_and_inputs(H, B):
    check("tanh", H=H, B=B, I=H // 2 + 1)
    check("GRUBefore", H=H, B=B, I=5)


@pytest.mark.parametrize("T", [2, 3, 257])
def test_any_number_of_steps(T):
    check("LSTM", T=T, B=30, H=9)


def test_a_call_of_one_step_is_float32():
    for B in (1, 9):
        problem = Wide("GRUBefore", T=1, B=B, H=33, dtype=torch.float32)
        with exact():
            expected = problem.run()
        for name, value in problem.run().items():
            assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("cell", ["tanh", "LSTM", "GRUBefore", "Narrow"])
def test_a_row_has_the_same_bits_in_any_batch(cell):
    for H in (7, 33, 64):
        whole = Wide(cell, T=4, B=13, H=H, I=5, D=2, dtype=torch.float32)
        for start, stop in [(0, 1), (12, 13), (4, 6), (1, 8)]:
            few = of_rows(whole, slice(start, stop))
            assert_same_rows(whole, slice(start, stop), few.run())


def test_what_lies_behind_an_odd_number_of_units_is_not_read():
    rnn = elman.RNN(3, 5, dtype=HALF)
    x = torch.full((4, 2, 7), float("nan"), dtype=HALF)
    x[..., :3] = torch.randn(4, 2, 3)
    beside = x[..., :3].requires_grad_()
    plain = x[..., :3].contiguous().requires_grad_()
    for one, other in zip(rnn(beside), rnn(plain), strict=True):
        assert torch.equal(one, other)
        assert not one.isnan().any()


def test_nan_and_infinity_arrive():
    rnn = elman.RNN(2, 3, nonlinearity="relu", dtype=HALF)
    with torch.no_grad():
        for p in rnn.parameters():
            p.fill_(1)
    x = torch.ones(1, 3, 2, dtype=HALF)
    x[0, 0, 0], x[0, 1, 0] = float("nan"), float("inf")
    output, _ = rnn(x)
    assert output[0, 0].isnan().all()
    assert output[0, 1].isinf().all()
    assert output[0, 2].isfinite().all()


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_modules_are_as_near_as_torchs(kind):
    """To the results of float64."""
    torch.manual_seed(0)
    ours = getattr(elman, kind)(24, 40, 2, bidirectional=True, dtype=HALF)
    theirs = getattr(torch.nn, kind)(24, 40, 2, bidirectional=True, dtype=HALF)
    theirs.load_state_dict(ours.state_dict())
    wide = getattr(torch.nn, kind)(24, 40, 2, bidirectional=True, dtype=torch.float64)
    wide.load_state_dict(ours.state_dict())
    x, errors = torch.randn(30, 6, 24, dtype=HALF), []
    for module in (ours, theirs, wide):
        leaf = x.to(next(module.parameters()).dtype).clone().requires_grad_()
        output, _ = module(leaf)
        module.zero_grad()
        (output.double() * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        errors.append([output, leaf.grad, *(p.grad for p in module.parameters())])
    for mine, other, right in zip(*errors, strict=True):
        assert distance(mine, right) < 1.25 * distance(other, right) + 4e-3


def test_it_is_used_and_explained(no_kernels_in_memory):
    rnn = elman.RNN(3, 5, dtype=HALF)
    output, _ = rnn(torch.randn(4, 2, 3, dtype=HALF))
    output.float().sum().backward()
    (row,) = elman.explain(rnn).layers
    assert row.dtype == "float32 sums of bfloat16 products"
    assert {*row.kernels} == {"train, bfloat16 products", "backward, bfloat16 products"}
    with exact():
        (row,) = elman.explain(rnn).layers
        assert row.dtype == "float32 arithmetic for bfloat16 weights"


def test_autocast_and_cells_are_explained():
    wide, cell = elman.GRU(3, 5), elman.GRUCell(3, 5, dtype=HALF)
    other = elman.RecurrentCell(elman.cells.MGU, 3, 5, dtype=HALF)
    with torch.autocast("cpu", HALF):
        (row,) = elman.explain(wide).layers
        assert row.dtype == "float32 sums of bfloat16 products"
        for one_step in (cell, other):
            (row,) = elman.explain(one_step).layers
            assert row.dtype == "float32 arithmetic for bfloat16 weights"
    (row,) = elman.explain(wide).layers
    assert row.dtype == "float32"


def test_compiled_and_exported_programs_have_the_bits():
    torch._dynamo.reset()
    rnn, x = elman.GRU(3, 5, 2, dtype=HALF), torch.randn(7, 4, 3, dtype=HALF, requires_grad=True)
    found = []
    for run in (rnn, torch.compile(rnn, fullgraph=True, backend="aot_eager")):
        output, h_n = run(x)
        loss = output.sum() + h_n.sum()
        found.append([output, *torch.autograd.grad(loss, [x, *rnn.parameters()])])
    for eager, traced in zip(*found, strict=True):
        assert torch.equal(traced, eager)
    program = torch.export.export(rnn, (x.detach(),))
    assert torch.equal(program.module()(x)[0], found[0][0])


def test_recompute_and_threads_change_no_bits(threads):
    torch.manual_seed(0)
    x = torch.randn(600, 6, 8, dtype=HALF)
    cell = {"recompute": False}, {"recompute": True}
    net = [elman.Recurrent(elman.cells.GRU(), 8, 24, dtype=HALF, **options) for options in cell]
    net[1].load_state_dict(net[0].state_dict())
    found = []
    for module, count in ((net[0], 1), (net[0], 2), (net[1], 1)):
        torch.set_num_threads(count)
        module.zero_grad()
        output, _ = module(x)
        output.float().square().sum().backward()
        found.append([output, *(p.grad.clone() for p in module.parameters())])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_under_autocast_layers_of_float32_multiply_bfloat16s(kind):
    torch.manual_seed(0)
    net = getattr(elman, kind)(8, 20, 2, bidirectional=True)
    narrow = copy.deepcopy(net).to(HALF)
    x = torch.randn(7, 3, 8).to(HALF).float().requires_grad_()
    before = net(x)[0]
    for _ in range(3):  # the second call is known
        with torch.autocast("cpu", HALF):
            output, _ = net(x)
            first = net.__class__(8, 20, dtype=torch.float64)(x.double())[0]
        assert (output.dtype, first.dtype) == (torch.float32, torch.float64)
        assert not torch.equal(output, before)
        torch.testing.assert_close(output.to(HALF), narrow(x.to(HALF))[0], rtol=2e-2, atol=2e-2)
        output.sum().backward()
        with torch.autocast("cpu", HALF, enabled=False):
            assert torch.equal(net(x)[0], before)
        with torch.autocast("cpu", torch.float16):
            assert torch.equal(net(x)[0], before)


def test_a_compiled_program_knows_the_autocast_that_it_was_traced_under():
    torch._dynamo.reset()
    rnn, x = elman.GRU(3, 5), torch.randn(7, 4, 3)

    @torch.compile(fullgraph=True, backend="aot_eager")
    def run(x: Tensor) -> Tensor:
        return rnn(x)[0]

    for narrow in (True, False, True):
        with torch.autocast("cpu", HALF, enabled=narrow):
            assert torch.equal(run(x), rnn(x)[0])
    assert not torch.equal(run(x), rnn(x.to(HALF).float())[0])
