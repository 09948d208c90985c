"""``elman.scan`` gives what a loop over the steps gives: results and every gradient."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

import elman
from tests.loops.bodies import CASES, B, Body, T, both, looped
from tests.tolerances import TOLERANCES, distance

pytestmark = pytest.mark.sampled(2)


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def results(run, body, init, xs):
    """All results, and the gradients of all that has one."""
    leaves = [*body.parameters(), *(t for t in tree_leaves((init, xs)) if t is not None)]
    found = [t for t in tree_leaves(run(body, init, xs)) if t is not None]
    torch.manual_seed(3)
    total = sum((t * torch.randn_like(t)).sum() for t in found)
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    return [
        *found,
        *(torch.zeros_like(a) if g is None else g for a, g in zip(leaves, gradients, strict=True)),
    ]


def agree(body, init, xs, of=TOLERANCES["gradient"][torch.float64]):
    ours, theirs = (results(run, body, init, xs) for run in (elman.scan, looped))
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        assert distance(a, b, floor=1.0) <= of


@pytest.mark.parametrize("path", ["kernel", "reference"])
@pytest.mark.parametrize("name", CASES)
def test_a_scan_is_its_loop(name, path):
    torch.manual_seed(1)
    body = CASES[name].body()
    with elman.set_path(path):
        agree(body, *CASES[name].tensors())


@pytest.mark.parametrize("sizes", [(1, 1), (1, 4), (9, 1), (2, 33)])
@pytest.mark.parametrize("name", ["rssm", "flat number"])
def test_other_numbers_of_steps_and_rows_use_the_same_trace(name, sizes):
    torch.manual_seed(1)
    calls = []
    body = CASES[name].body()
    body.register_forward_hook(lambda *_: calls.append(1))
    elman.scan(body, *CASES[name].tensors())
    ours = elman.scan(body, *CASES[name].tensors(*sizes))
    assert len(calls) == 1
    theirs = looped(body, *CASES[name].tensors(*sizes))
    for a, b in zip(tree_leaves(ours), tree_leaves(theirs), strict=True):
        torch.testing.assert_close(a, b)


def test_float32_runs_on_kernels_and_has_the_bits_of_a_layer():
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(1)
    layer, cell = elman.LSTM(4, 7), nn.LSTMCell(4, 7)
    cell.load_state_dict({name.removesuffix("_l0"): t for name, t in layer.state_dict().items()})
    x, zeros = torch.randn(T, B, 4), torch.zeros(B, 7)
    (h, c), ys = elman.scan(Body(lambda m, c, x: _with_output(m[0](x, c)), cell), (zeros, zeros), x)
    output, (h_n, c_n) = layer(x)
    assert torch.equal(ys, output)
    assert torch.equal(h, h_n[0])
    assert torch.equal(c, c_n[0])


def _with_output(states):
    return states, states[0]


@pytest.mark.parametrize("form", ["where", "factor"])
def test_rows_begin_anew_where_an_episode_is_done(form):
    cell = nn.GRUCell(4, 7)

    def step(parts, h, x):
        seen, done = x
        if form == "where":
            h = torch.where(done.unsqueeze(-1), torch.zeros_like(h), h)
        else:
            h = h * (~done).to(h.dtype).unsqueeze(-1)
        return both(parts[0](seen, h))

    torch.manual_seed(1)
    body, init = Body(step, cell), torch.randn(B, 7)
    xs = torch.randn(T, B, 4), torch.rand(T, B) > 0.6
    ours, theirs = elman.scan(body, init, xs), looped(body, init, xs)
    torch.testing.assert_close(ours, theirs)


def test_tokens_are_embedded():
    torch.manual_seed(1)
    body = Body(lambda m, h, x: both(m[0](m[1](x), h)), nn.GRUCell(4, 7), nn.Embedding(10, 4))
    init, xs = torch.randn(B, 7), torch.randint(10, (T, B))
    torch.testing.assert_close(elman.scan(body, init, xs), looped(body, init, xs))


def test_a_loop_without_xs_has_a_length():
    body = Body(lambda m, h, _: both(torch.tanh(m[0](h))), nn.Linear(3, 3))
    init = torch.randn(B, 3)
    found = elman.scan(body, init, length=4)
    torch.testing.assert_close(found, looped(body, init, None, 4))


def test_random_values_are_drawn_for_every_step_and_row():
    body = Body(lambda m, c, x: (F.dropout(c + x, 0.25, m.training), torch.randn_like(c)))
    init, xs = torch.ones(B, 50), torch.zeros(40, B, 50)
    torch.manual_seed(5)
    first, noise = elman.scan(body, init, xs)
    assert noise.unique().numel() == noise.numel()
    assert noise.mean().abs() < 0.05
    assert (noise.std() - 1).abs() < 0.05
    torch.manual_seed(5)
    again, _ = elman.scan(body, init, xs)
    assert torch.equal(first, again)
    kept, _ = elman.scan(body, init, xs[:1])
    assert set(kept.unique().tolist()) == {0.0, 1 / 0.75}
    assert 0.6 < (kept > 0).double().mean() < 0.9
    body.eval()
    assert torch.equal(elman.scan(body, init, xs)[0], init)


def test_parameters_are_those_of_the_call():
    body = Body(lambda m, c, x: both(torch.tanh(m[0](c)) + x), nn.Linear(3, 3))
    init, xs = torch.randn(B, 3), torch.randn(T, B, 3)
    elman.scan(body, init, xs)
    with torch.no_grad():
        body.parts[0].weight.mul_(2)
    torch.testing.assert_close(elman.scan(body, init, xs), looped(body, init, xs))
    body.parts[0].weight = nn.Parameter(torch.randn(3, 3))
    torch.testing.assert_close(elman.scan(body, init, xs), looped(body, init, xs))


def test_functions_find_the_modules_that_they_name():
    head = nn.Linear(3, 3)

    def body(h, x):
        return both(torch.tanh(head(h)) + x)

    init, xs = torch.randn(B, 3), torch.randn(T, B, 3)
    elman.scan(body, init, xs)
    head.weight = nn.Parameter(torch.randn(3, 3))
    torch.testing.assert_close(elman.scan(body, init, xs), looped(body, init, xs))


def test_methods_are_bodies():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def up(self, h, x):
            return both(torch.tanh(self.a(h)) + x)

        def down(self, h, x):
            return both(torch.tanh(self.b(h)) - x)

    model, init, xs = Model(), torch.randn(B, 3), torch.randn(T, B, 3)
    for body in (model.up, model.down, model.up):
        torch.testing.assert_close(elman.scan(body, init, xs), looped(body, init, xs))


def test_a_body_is_not_kept_alive():
    body = CASES["lstm"].body()
    elman.scan(body, *CASES["lstm"].tensors())
    ref = weakref.ref(body)
    del body
    gc.collect()
    assert ref() is None


def test_gradients_of_gradients():
    torch.manual_seed(1)
    body = Body(lambda m, c, x: both(torch.tanh(m[0](c)) + x), nn.Linear(2, 2))

    def ends(init, xs):
        return elman.scan(body, init, xs)[0]

    given = torch.randn(3, 2, requires_grad=True), torch.randn(2, 3, 2, requires_grad=True)
    assert torch.autograd.gradgradcheck(ends, given)


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_compiled_around_it():
    body = CASES["gru and head"].body()
    init, xs = CASES["gru and head"].tensors()
    around = torch.compile(lambda h, x: elman.scan(body, h, x)[1].exp(), backend="eager")
    torch.testing.assert_close(around(init, xs), looped(body, init, xs)[1].exp())
