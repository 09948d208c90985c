"""What other parts of PyTorch do around a layer: graphs of graphs, tracing, conjugates, tables."""

import copy

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pack_sequence

import elman
from tests.nn.kinds import KINDS, Kind, each, tensors

F64 = {"dtype": torch.float64}


def pair(kind: str, *sizes: int, **options: object) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(*sizes, **options, **F64)
    ours = getattr(elman, kind)(*sizes, **options, **F64)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def unrolled(cell, x):
    h = None
    for step in x:
        h = cell(step, h)
    return h


def carried(rnn, x):
    first, h = rnn(x[:3])
    return rnn(x[3:], h)[0] * first.sum()


def state_from_input(rnn, x):
    return rnn(x, x.mean() * torch.ones(1, x.shape[1], 3, **F64))[0]


def tied(rnn, x):
    rnn.weight_hh_l0 = rnn.weight_ih_l0
    return rnn(x)[0]


@pytest.mark.parametrize(
    ("kind", "use"),
    [("RNNCell", unrolled), ("RNN", carried), ("RNN", state_from_input), ("RNN", tied)],
    ids=lambda v: v if isinstance(v, str) else v.__name__,
)
def test_gradients_with_a_graph_of_their_own_count_every_path_once(kind, use):
    x = torch.randn(6, 2, 3, **F64, requires_grad=True)
    results = []
    for module in pair(kind, 3, 3):
        value = use(module, x).square().sum()
        leaves = [x, *module.parameters()]
        first = torch.autograd.grad(value, leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
        results.append([*first, *second])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


def test_a_gradient_that_arrives_negated_has_its_sign():
    x = torch.randn(4, 2, 3, **F64, requires_grad=True)
    gradient = torch.randn(4, 2, 5, dtype=torch.complex128)
    results = []
    for module in pair("RNN", 3, 5):
        output, _ = module(x)
        value = torch.complex(torch.zeros_like(output), output).conj()
        results.append(torch.autograd.grad(value, x, gradient)[0])
    torch.testing.assert_close(results[1], results[0])


def test_batches_of_gradients_arrive():
    x = torch.randn(3, 2, 3, **F64, requires_grad=True)
    results = []
    for module in pair("RNN", 3, 4):
        output, _ = module(x)
        rows = torch.eye(output.numel(), **F64).view(-1, *output.shape)
        results.append(torch.autograd.grad(output, x, rows, is_grads_batched=True)[0])
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.filterwarnings("ignore")  # torch.jit.trace is deprecated, and warns of shapes
def test_a_traced_module_computes_the_same():
    _, ours = pair("RNN", 3, 4)
    x = torch.randn(5, 2, 3, **F64)
    torch.testing.assert_close(torch.jit.trace(ours, x)(x)[0], ours(x)[0])


def test_a_recorded_graph_computes_the_same():
    _, ours = pair("RNN", 3, 4)
    x, y = torch.randn(5, 2, 3, **F64), torch.randn(5, 2, 3, **F64)
    graph = make_fx(lambda x: ours(x)[0])(x)
    torch.testing.assert_close(graph(y), ours(y)[0])


def test_tables_changed_after_the_call_are_no_matter():
    _, ours = pair("RNN", 3, 4)
    packed = pack_sequence([torch.randn(n, 3, **F64) for n in (5, 3, 2)])
    expected = torch.autograd.grad(ours(packed)[0].data.sum(), list(ours.parameters()))
    output, _ = ours(packed)
    packed.batch_sizes.fill_(5_000_000)
    actual = torch.autograd.grad(output.data.sum(), list(ours.parameters()))
    for a, b in zip(actual, expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_under_autocast_results_have_the_weights_dtype_on_every_path(rows):
    rnn, x = elman.RNN(3, 4, bias=False), torch.randn(2, rows, 3)
    for path in ("auto", "reference"):
        with torch.autocast("cpu", torch.bfloat16), elman.set_path(path):
            output, h_n = rnn(x.bfloat16())
        assert output.dtype == h_n.dtype == torch.float32


def test_numbers_in_a_formula_have_the_precision_of_the_layer():
    class Thirds(elman.Cell):
        gates = ("a",)

        def step(self, x, u, s):
            return elman.where(x.a > 0, 1 / 3, elman.minimum(u.a, 2 / 3))

    from elman.batch import Weights
    from elman.dispatch.layer import recur
    from elman.rows import Rows

    step = Thirds().trace()
    weights = [Weights(torch.randn(5, 3, **F64), torch.randn(5, 5, **F64), None, None)]
    results = []
    for path in ("reference", "kernel"):
        with elman.set_path(path):
            x = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0), **F64)
            results.append(recur(step, Rows(4, 2, 8), x, [None], weights)[0])
    torch.testing.assert_close(results[1], results[0], rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "arguments",
    [
        (torch.randn(2, 3), [], 4),
        (torch.randn(2, 5, 3), [torch.zeros(1, 1, 4)], 4),
        (torch.randn(2, 5, 3), [], 3),
        (torch.randn(2, 5, 2), [], 4),
        (torch.randn(2, 5, 3), [torch.zeros(1, 5, 4)] * 2, 4),
    ],
    ids=["flat", "state-of-one-row", "three-weights", "other-features", "two-states"],
)
def test_the_operator_refuses_what_does_not_fit(arguments):
    x, initial, count = arguments
    weights = [torch.randn(4, 3), torch.randn(4, 4), torch.randn(4), torch.randn(4)][:count]
    formula, tensors = elman.cells.Elman().trace().text, [x, *initial, *weights]
    present = ("11" if initial else "10") + "1" * count
    with pytest.raises(RuntimeError, match="expected"):
        torch.ops.elman.recur(formula, "", tensors, present, None, False)


def test_a_program_exported_without_gradients_runs_where_they_are_enabled():
    rnn = elman.RNN(3, 4)
    x = torch.randn(5, 2, 3)
    with torch.no_grad():
        program = torch.export.export(rnn, (x,))
    torch.testing.assert_close(program.module()(x)[0], rnn(x)[0])


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # of its forward mode
@each(KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_forward_mode_gives_the_tangent(kind: Kind, dtype: torch.dtype) -> None:
    _, ours = kind.stack()
    x, direction = kind.input().double(), kind.input().double()

    def derivative(module: torch.nn.Module, x: Tensor, direction: Tensor) -> list[Tensor]:
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, direction)
            return [torch.autograd.forward_ad.unpack_dual(r)[1] for r in tensors(module(dual))]

    actual = derivative(copy.deepcopy(ours).to(dtype), x.to(dtype), direction.to(dtype))
    step, exact = 1e-5, ours.double()
    after, before = (tensors(exact(x + way * step * direction)) for way in (1, -1))
    for tangent, a, b in zip(actual, after, before, strict=True):
        torch.testing.assert_close(tangent.double(), (a - b) / (2 * step), rtol=1e-4, atol=1e-5)
        assert tangent.abs().max() > 0.01
