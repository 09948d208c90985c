"""Recurrences that are affine in their states, where no kernel runs: all steps at once, against the
reference of these tests, and against the loop over time."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

import elman
from elman.compiler import jit
from elman.dispatch import layer, select
from elman.dispatch.affine import affine
from elman.dispatch.parallel import scan
from elman.expr import constant
from tests.cells import EVERY_STEP
from tests.compiler.problem import Problem, check
from tests.nn.kinds import assert_all_close, call, tensors

AFFINE = ("Forgetful", "Echo", "qrnn", "mingru", "minlstm", "lru", "deltanet")


class Rotor(elman.Cell):
    """Two coupled states and one that follows; outputs that no state reads, one not affine."""

    gates = ("a", "b")
    states = ("h", "p", "q")
    outputs = ("both",)
    vectors = ("angle",)
    inputs = ("keep",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        keep, angle = self.input("keep"), self.vector("angle")
        p = elman.where(keep > 0.5, elman.cos(angle) * s.p - elman.sin(angle) * s.q, 0.5 * s.p)
        q = -(elman.sin(angle) * s.p + s.q * elman.cos(angle)) / -(1 + keep) - x.b
        return elman.tanh(p + x.a) * s.q, p + x.a, q, p * s.p


class Delay(elman.Cell):
    """The state is the input of the step before, and no sum at all."""

    gates = ("a",)
    states = ("h", "last")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return s.last, x.a


class Blank(elman.Cell):
    """It reads no state."""

    gates = ("a",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return elman.tanh(x.a)


class Sizes(elman.Cell):
    """States of two sizes."""

    gates = ("a",)
    states = ("h", "m")
    matrices = ("w",)
    sizes = {"m": 3, "w": 3}  # noqa: RUF012

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return x.a + 0.5 * s.h, self.product("w", x.a) + 0.5 * s.m


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A process without kernels; by layer that has all steps at once, how many."""
    steps: list[int] = []
    run = layer.run_parallel

    def counted(step: Any, rows: Any, given: Any) -> Any:
        steps.append(rows.T)
        return run(step, rows, given)

    monkeypatch.setattr(layer, "run_parallel", counted)
    monkeypatch.setattr(jit, "obstacle", lambda: "there are none (test)")
    select._own_isa.cache_clear()
    yield steps
    select._own_isa.cache_clear()


def net_of(cell: Any, *sizes: int, **options: Any) -> Any:
    torch.manual_seed(0)
    return elman.Recurrent(cell, *(sizes or (3, 5)), dtype=torch.float64, **options)


def by_loop(net: Any, *given: Any, **named: Any) -> Any:
    with elman.set_path("reference"):
        return net(*given, **named)


def test_which_cells_are_affine() -> None:
    found = {name for name, step in EVERY_STEP.items() if not affine(step)[1]}
    assert found == {*AFFINE}


@pytest.mark.parametrize("cell", AFFINE)
@pytest.mark.parametrize("T", [8, 9, 15, 16, 23, 64])
def test_results_and_gradients(scans: list[int], cell: str, T: int) -> None:
    check(Problem(cell, T=T, B=3), path="auto")
    check(Problem(cell, T=T, B=1, H=3, D=2, h0=False, bias=False), path="auto")
    assert scans == [T, T]


@pytest.mark.parametrize("cell", AFFINE)
def test_single_precision(scans: list[int], cell: str) -> None:
    check(Problem(cell, T=50, B=2, H=19, dtype=torch.float32), path="auto")
    assert scans == [50]


@pytest.mark.parametrize("cell", [Rotor, Delay, Blank])
@pytest.mark.parametrize(("T", "B"), [(8, 2), (9, 1), (22, 3)])
def test_any_formula(scans: list[int], cell: type[elman.Cell], T: int, B: int) -> None:
    net = net_of(cell, num_layers=2, bidirectional=True)
    x, h = torch.randn(T, B, 3).double(), torch.randn(len(cell.states), 4, B, 5).double()
    inputs = {n: (torch.rand(T, B, 1) > 0.3).double() for n in cell.inputs} or None

    def results(path: str) -> list[Tensor]:
        leaves = [t.clone().requires_grad_() for t in (x, *h)]
        hx = tuple(leaves[1:]) if len(h) > 1 else leaves[1]
        with elman.set_path(path):
            found = tensors(net(leaves[0], hx, inputs=inputs, return_states=True))
        loss = sum((r * r.detach().cos()).sum() for r in found)
        leaves += net.parameters()
        return [*found, *torch.autograd.grad(loss, leaves, materialize_grads=True)]

    for found, expected in zip(results("auto"), results("reference"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    assert scans == [T, T]


def test_derivatives_of_any_order(scans: list[int]) -> None:
    net = net_of(Rotor, 2, 2)
    x = torch.randn(8, 1, 2).double().requires_grad_()
    h = [torch.randn(1, 1, 2).double().requires_grad_() for _ in Rotor.states]
    keep = {"keep": torch.tensor([1.0, 0, 1, 1, 0, 1, 0, 1]).double().view(8, 1, 1)}

    def run(x: Tensor, *h: Tensor) -> list[Tensor]:
        return tensors(net(x, h, inputs=keep))

    assert torch.autograd.gradcheck(run, [x, *h])
    assert torch.autograd.gradgradcheck(run, [x, *h])
    assert scans


OPTIONS = [
    {"num_layers": 3, "bidirectional": True, "merge": "sum", "residual": True, "dropout": 0.4},
    {"batch_first": True, "learn_initial": True},
    {"zoneout": 0.3, "state_noise": 0.1, "input_dropout": 0.2, "bidirectional": True},
    {"recurrent_dropout": 0.5, "output_dropout": 0.1, "hidden_size": [4, 2]},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options)))
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_options(scans: list[int], options: dict[str, Any], training: bool) -> None:
    options = {"hidden_size": 5, **options}
    net = net_of(elman.cells.MinGRU, 3, options.pop("hidden_size"), **options).train(training)
    x, found = torch.randn(11, 12, 3).double(), []
    for path in ("auto", "reference"):
        torch.manual_seed(1)
        with elman.set_path(path):
            found.append(call(net, x))
    assert_all_close(*found)
    assert len(scans) == net.num_layers


@pytest.mark.parametrize("sizes", [(11,), (11, 3)], ids=["unbatched", "batched"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_forms_and_dtypes(scans: list[int], sizes: tuple[int, ...], dtype: torch.dtype) -> None:
    net, x = net_of(elman.cells.QRNN).to(dtype), torch.randn(*sizes, 3).to(dtype)
    found = call(net, x)
    with elman.set_path("reference"):
        expected = call(net, x)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.dtype, mine.shape) == (dtype, theirs.shape)
        torch.testing.assert_close(mine, theirs)
    assert scans == [11]


def test_autocast_leaves_the_dtype(scans: list[int]) -> None:
    net, x = net_of(elman.cells.QRNN).float(), torch.randn(9, 2, 3)
    with torch.autocast("cpu"):
        found = net(x)[0]
    assert torch.equal(found, net(x)[0])
    assert scans == [9, 9]


def test_results_may_be_changed_in_place(scans: list[int]) -> None:
    for T in (8, 13):
        x, found = torch.randn(T, 2, 3).double(), []
        for change in (True, False):
            net = net_of(elman.cells.MinGRU)
            output, h_n = net(x)
            loss = output.sum() + h_n.sum()
            if change:
                output.zero_()
                h_n.zero_()
            loss.backward()
            found.append([p.grad for p in net.parameters()])
        assert_all_close(*found)
    assert scans == [8, 8, 13, 13]


def test_a_step_has_the_same_bits_however_many_follow(scans: list[int]) -> None:
    a, b, h = torch.rand(20, 2, 3), torch.randn(20, 2, 3), torch.randn(2, 3)
    (whole,) = scan({(0, 0): a}, [b], [h])
    for T in range(1, 20):
        assert torch.equal(scan({(0, 0): a[:T]}, [b[:T]], [h])[0], whole[:T])


WHY = {
    "IndRNN": "relu(add(x.h, mul(vector.r, state.h))) is not affine in the states",
    "SRU": "sigmoid(add(x.f, mul(vector.vf, state.c))) is not affine in the states",
    "GRU": "product.z(state.h) is not affine in the states",
    "clip": "ge(add(mul(sub(1.0, ...), state.h), mul(sigmoid(x.z), x.h)), -1.0) is not affine in "
    "the states",
    "sizes": "states differ in size",
    "many": "more than 8 states are read",
}


@pytest.mark.parametrize("name", WHY)
def test_other_formulas_take_a_loop(scans: list[int], name: str) -> None:
    if name == "clip":
        net = net_of(elman.cells.MinGRU, state_clip=1.0)
    else:
        own = {"sizes": Sizes, "many": elman.cells.DeltaNet(keys=9)}
        net = net_of(own.get(name) or elman.cells.by_name(name), 3, 9)
    (row,) = elman.explain(net).layers
    assert (row.path, row.time) == ("reference", f"one step after another, because {WHY[name]}")
    x = torch.randn(8, 2, 3).double()
    assert torch.equal(net(x)[0], by_loop(net, x)[0])
    assert not scans


@pytest.mark.filterwarnings("ignore")  # torch.jit.script is deprecated, which forward mode calls
def test_what_else_takes_a_loop(scans: list[int]) -> None:
    net, x = net_of(elman.cells.MinGRU), torch.randn(8, 2, 3).double()
    (row,) = elman.explain(net).layers
    assert row.time == "all steps at once"
    assert "  time     all steps at once" in str(row)
    with elman.set_path("reference"):
        (row,) = elman.explain(net).layers
    assert row.time == "one step after another, because set_path('reference')"
    packed, reset = pack_sequence([x[:, 0], x[:3, 1]]), torch.rand(8, 2) > 0.5
    for named in ({"lengths": [8, 3]}, {"reset": reset}):
        assert torch.equal(net(x, **named)[0], by_loop(net, x, **named)[0])
    assert torch.equal(net(packed)[0].data, by_loop(net, packed)[0].data)
    assert torch.equal(net(x[:7])[0], by_loop(net, x[:7])[0])
    torch.vmap(lambda x: net(x)[0])(x[None])
    torch.func.jvp(lambda x: net(x)[0], (x,), (x,))
    assert not scans
    net(x)
    assert scans == [8]


def test_kernels_take_a_loop() -> None:
    net = net_of(elman.cells.MinGRU)
    (row,) = elman.explain(net).layers
    assert (row.path, row.time) == ("kernel", "")


def test_numbers_are_not_multiplied_by_one() -> None:
    factor = affine(elman.cells.MinGRU().trace())[0]["h"].factors["h"]
    assert factor.op == "sub"
    assert factor.args[0] is constant(1.0)
