"""What torch.compile, export, second derivatives, narrow dtypes and packed rows make of each kind;
and the GRU that torch does not have."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, sigmoid, tanh
from torch.nn.utils.rnn import pack_sequence

import elman
from tests.compiler.targets import exact
from tests.nn.kinds import (
    KINDS,
    LAYERS,
    B,
    H,
    I,
    Kind,
    T,
    assert_all_close,
    assert_same_bits,
    call,
    each,
    tensors,
)
from tests.tolerances import assert_close

F64 = {"dtype": torch.float64}


def run(module: torch.nn.Module, *arguments: Any) -> list[Tensor]:
    with elman.set_path("kernel"):
        return call(module, *arguments)


@each(KINDS)
def test_a_compiled_module_has_the_bits_of_the_eager_one(kind: Kind) -> None:
    torch._dynamo.reset()
    _, ours = kind.stack()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager", dynamic=True)
    layers = 1 if kind.single else 4
    for rows in (2, 3, 5):
        arguments = kind.input(rows), kind.state(layers, rows)
        assert_same_bits(call(compiled, *arguments), call(ours, *arguments))


@each(LAYERS)
def test_an_exported_module_takes_any_length_and_batch(kind: Kind) -> None:
    _, ours = kind.stack()
    sizes = {0: torch.export.Dim("T", min=2, max=500), 1: torch.export.Dim("B", min=2, max=500)}
    program = torch.export.export(ours, (torch.randn(T, B, I),), dynamic_shapes=(sizes,))
    for shape in ((T, B, I), (17, 6, I), (90, 2, I)):
        x = torch.randn(shape)
        assert_same_bits(tensors(program.module()(x)), tensors(ours(x)))


@each(KINDS)
def test_second_derivatives_are_right(kind: Kind) -> None:
    _, ours = kind.pair(**F64)
    x = torch.randn((2, I) if kind.single else (3, 2, I), **F64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: tensors(ours(x))[0], (x,))


@each(KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrow_dtypes_are_float32_rounded_once(kind: Kind, dtype: torch.dtype) -> None:
    _, ours = kind.pair()
    ours = ours.to(dtype)
    x, states = kind.input().to(dtype), tensors(kind.state())
    widened = copy.deepcopy(ours).float()
    narrow = tuple(s.to(dtype) for s in states)
    wide = tuple(s.float() for s in narrow)
    with elman.set_path("kernel"), exact():
        found = tensors(ours(x, narrow if len(narrow) > 1 else narrow[0]))
        expected = tensors(widened(x.float(), wide if len(wide) > 1 else wide[0]))
    assert_same_bits(found, [e.to(dtype) for e in expected])


@each(LAYERS)
def test_packed_rows_are_torchs(kind: Kind) -> None:
    theirs, ours = kind.pair(2, bidirectional=True, **F64)
    rows = pack_sequence([torch.randn(n, I, **F64) for n in (2, 7, 7, 1, 5)], enforce_sorted=False)
    results = []
    for module in (theirs, ours):
        data = rows.data.clone().requires_grad_()
        with elman.set_path("kernel" if module is ours else "auto"):
            found = tensors(module(rows._replace(data=data)))
        loss = sum((f * f.detach().cos()).sum() for f in found)
        results.append([*found, *torch.autograd.grad(loss, [data, *module.parameters()])])
    assert_all_close(results[1], results[0])


@each(LAYERS)
def test_dropout_draws_what_torch_draws(kind: Kind) -> None:
    theirs, ours = kind.pair(3, dropout=0.5, **F64)
    x = kind.input().double()
    results = []
    for module in (theirs, ours):
        torch.manual_seed(1)
        results.append(tensors(module(x)))
    assert_all_close(results[1], results[0])


def reset_before(gru: torch.nn.Module, x: Tensor, h: Tensor) -> Tensor:
    """The step of Cho et al. (2014), as written there."""
    suffix = "_l0" if hasattr(gru, "weight_ih_l0") else ""
    w_ih, w_hh, b_ih, b_hh = (
        getattr(gru, name + suffix).tensor_split(3)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    r = sigmoid(x @ w_ih[0].T + b_ih[0] + h @ w_hh[0].T + b_hh[0])
    z = sigmoid(x @ w_ih[1].T + b_ih[1] + h @ w_hh[1].T + b_hh[1])
    n = tanh(x @ w_ih[2].T + b_ih[2] + (r * h) @ w_hh[2].T + b_hh[2])
    return (1 - z) * n + z * h


def test_the_reset_may_act_before_the_product() -> None:
    layer = elman.GRU(I, H, reset_after=False, **F64)
    cell = elman.GRUCell(I, H, reset_after=False, **F64)
    cell.load_state_dict({n.removesuffix("_l0"): p for n, p in layer.state_dict().items()})
    x, h0 = torch.randn(T, B, I, **F64), torch.randn(1, B, H, **F64)
    found = run(layer, x, h0)
    given = [t.clone().requires_grad_() for t in (x, h0)]
    h, steps = given[1][0], []
    for t in range(T):
        h = reset_before(layer, given[0][t], h)
        steps.append(h)
    expected = [torch.stack(steps), h[None]]
    waves = [torch.arange(1.0, e.numel() + 1, **F64).cos().view(e.shape) for e in expected]
    loss = sum((e * w).sum() for e, w in zip(expected, waves, strict=True))
    expected += torch.autograd.grad(loss, [*given, *layer.parameters()])
    for a, e in zip(found, expected, strict=True):
        assert_close(a, e, "gradient")
    h = h0[0]
    for t in range(T):
        h = cell(x[t], h)
    assert torch.equal(h, layer(x, h0)[1][0])


def test_a_reset_before_the_product_survives_copies_and_has_no_torch_layer_to_restore() -> None:
    layer = elman.GRU(I, H, reset_after=False)
    x = torch.randn(T, B, I)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), elman.restore(layer)):
        assert type(other) is elman.GRU
        assert not other.reset_after
        assert torch.equal(other(x)[0], layer(x)[0])
    with pytest.raises(TypeError, match="reset_after must be True or False, got 1"):
        elman.GRU(I, H, reset_after=1)


def test_accelerate_takes_the_whole_family_and_restore_gives_it_back() -> None:
    model = torch.nn.ModuleList(kind.make(torch.nn) for kind in KINDS)
    before = [tensors(m(kind.input(make=torch.ones))) for m, kind in zip(model, KINDS, strict=True)]
    elman.accelerate(model)
    assert {type(m).__module__.split(".")[0] for m in model} == {"elman"}
    for m, kind, expected in zip(model, KINDS, before, strict=True):
        assert_all_close(tensors(m(kind.input(make=torch.ones))), expected)
    elman.restore(model)
    assert [type(m) for m in model] == [getattr(torch.nn, kind.name) for kind in KINDS]
