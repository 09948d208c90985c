"""``elman.RNN`` and ``elman.RNNCell`` in every use that torch.nn's have, against torch.nn's."""

import copy
import inspect
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_sequence

import elman
from tests.tolerances import assert_close

I, H, T, B = 3, 5, 6, 4  # noqa: E741
KINDS = ["RNN", "RNNCell"]


@pytest.fixture(autouse=True)
def _kernel_path() -> Iterator[None]:
    torch.manual_seed(0)
    with elman.set_path("kernel"):
        yield


def pair(kind: str = "RNN", *args: Any, **options: Any) -> tuple[Any, Any]:
    """torch.nn's module and elman's with the same numbers in their parameters."""
    theirs = getattr(torch.nn, kind)(I, H, *args, **options)
    ours = getattr(elman, kind)(I, H, *args, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def tensors(result: Any) -> list[Tensor]:
    """Output and final state, or the state of a cell."""
    parts = result if isinstance(result, tuple) else (result,)
    return [p if isinstance(p, Tensor) else p.data for p in parts]


def call(module: torch.nn.Module, *arguments: Tensor | None) -> list[Tensor]:
    """Results, and gradients of arguments and parameters, of a loss that tells results apart."""
    given = [None if a is None else a.detach().requires_grad_() for a in arguments]
    results = tensors(module(*given))
    loss = sum(
        (r * torch.arange(1.0, r.numel() + 1, dtype=r.dtype).cos().view(r.shape)).sum()
        for r in results
    )
    leaves = [t for t in (*given, *module.parameters()) if t is not None]
    return [*results, *torch.autograd.grad(loss, leaves)]


def assert_same(theirs: torch.nn.Module, ours: torch.nn.Module, *arguments: Tensor | None) -> None:
    for expected, actual in zip(call(theirs, *arguments), call(ours, *arguments), strict=True):
        assert actual.dtype == expected.dtype
        assert_close(actual, expected, "same")


ARGUMENTS = {
    "layers": ("RNN", (2,), {}),
    "relu": ("RNN", (2, "relu"), {}),
    "positional": ("RNN", (2, "relu", False, True, 0.25, True), {}),
    "device": ("RNN", (2, "tanh", True, False, 0.0, True, 0, "meta", torch.float64), {}),
    "keywords": ("RNN", (), {"nonlinearity": "relu", "bias": False, "batch_first": True}),
    "stack": ("RNN", (), {"num_layers": 3, "dropout": 0.5, "bidirectional": True}),
    "float64": ("RNN", (), {"device": "cpu", "dtype": torch.float64}),
    "meta": ("RNN", (), {"device": "meta", "dtype": torch.bfloat16}),
    "cell-no-bias": ("RNNCell", (False,), {}),
    "cell-relu": ("RNNCell", (True, "relu"), {}),
    "cell-device": ("RNNCell", (True, "tanh", "meta", torch.float64), {}),
    "cell-keywords": ("RNNCell", (), {"bias": False, "nonlinearity": "relu", "device": "cpu"}),
}
each_construction = pytest.mark.parametrize(
    ("kind", "args", "options"), ARGUMENTS.values(), ids=ARGUMENTS.keys()
)


@each_construction
def test_a_module_is_constructed_and_shown_as_torchs(kind: str, args: tuple, options: dict) -> None:
    torch.manual_seed(1)
    theirs = getattr(torch.nn, kind)(I, H, *args, **options)
    torch.manual_seed(1)
    ours = getattr(elman, kind)(I, H, *args, **options)
    assert repr(ours) == repr(theirs)
    assert ours.extra_repr() == theirs.extra_repr()
    assert set(vars(ours)) == set(vars(theirs))
    expected, actual = theirs.state_dict(), ours.state_dict()
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert (actual[name].dtype, actual[name].device) == (value.dtype, value.device)
        assert value.is_meta or torch.equal(actual[name], value)


@each_construction
def test_states_load_both_ways(kind: str, args: tuple, options: dict) -> None:
    theirs, ours = (getattr(m, kind)(I, H, *args, **options) for m in (torch.nn, elman))
    assert not any(theirs.load_state_dict(ours.state_dict(), assign=True))
    assert not any(ours.load_state_dict(theirs.state_dict(), assign=True))


def test_the_cells_signature_is_torchs() -> None:
    ours = inspect.signature(elman.RNNCell).parameters.values()
    theirs = inspect.signature(torch.nn.RNNCell).parameters.values()
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("given", [True, False], ids=["hx", "no-hx"])
@pytest.mark.parametrize("form", ["time-first", "batch-first", "unbatched"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("layers", [1, 3], ids=["1-layer", "3-layers"])
def test_results_and_gradients_are_torchs(
    layers: int,
    bidirectional: bool,
    form: str,
    given: bool,
    bias: bool,
    nonlinearity: str,
    dtype: torch.dtype,
) -> None:
    options = {"batch_first": form == "batch-first", "bidirectional": bidirectional}
    modules = pair("RNN", layers, nonlinearity, bias, dtype=dtype, **options)
    shape = {"time-first": (T, B, I), "batch-first": (B, T, I), "unbatched": (T, I)}[form]
    state = (layers * (1 + bidirectional), *(() if form == "unbatched" else (B,)), H)
    hx = torch.randn(state, dtype=dtype) if given else None
    assert_same(*modules, torch.randn(shape, dtype=dtype), hx)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("given", [True, False], ids=["hx", "no-hx"])
@pytest.mark.parametrize("batch", [(B,), ()], ids=["batched", "unbatched"])
def test_cells_give_torchs_results_and_gradients(
    batch: tuple[int, ...], given: bool, bias: bool, nonlinearity: str, dtype: torch.dtype
) -> None:
    modules = pair("RNNCell", bias, nonlinearity, dtype=dtype)
    hx = torch.randn(*batch, H, dtype=dtype) if given else None
    assert_same(*modules, torch.randn(*batch, I, dtype=dtype), hx)


@pytest.mark.parametrize("form", ["time-first", "batch-first", "unbatched", "packed"])
def test_dropout_draws_torchs_masks_in_training_and_nothing_in_evaluation(form: str) -> None:
    modules = pair("RNN", 3, dropout=0.5, bidirectional=True, batch_first=form == "batch-first")
    x: Any = torch.randn({"unbatched": (T, I), "batch-first": (B, T, I)}.get(form, (T, B, I)))
    if form == "packed":
        x = pack_sequence([torch.randn(n, I) for n in (3, 6, 1, 6)], enforce_sorted=False)
    for training in (True, False):
        results, states = [], []
        for module in modules:
            torch.manual_seed(7)
            results.append([t.detach() for t in tensors(module.train(training)(x))])
            states.append(torch.get_rng_state())
        for expected, actual in zip(*results, strict=True):
            assert_close(actual, expected, "same")
        assert torch.equal(*states)


def saved(module: torch.nn.Module) -> torch.nn.Module:
    """A fresh module with the state from a file."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    fresh = elman.RNN(I, H, 2) if isinstance(module, elman.RNN) else elman.RNNCell(I, H)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "saved state": saved,
}


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize("way", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_copies_compute_the_same_bits(kind: str, way: Callable[[Any], Any], used: bool) -> None:
    module = getattr(elman, kind)(I, H, *((2,) if kind == "RNN" else ()))
    x = torch.randn(*((T,) if kind == "RNN" else ()), B, I)
    if used:
        call(module, x)
    for expected, actual in zip(call(module, x), call(way(module), x), strict=True):
        assert torch.equal(actual, expected)


LAYOUTS: dict[str, Callable[[tuple[int, ...]], Tensor]] = {
    "transposed": lambda shape: torch.randn(*shape[:-2], shape[-1], shape[-2]).transpose(-1, -2),
    "batch-strided": lambda shape: (
        torch.randn(shape).transpose(0, -2).contiguous().transpose(0, -2)
    ),
    "expanded-rows": lambda shape: torch.randn(*shape[:-2], 1, shape[-1]).expand(shape),
    "expanded-features": lambda shape: torch.randn(*shape[:-1], 1).expand(shape),
    "every-second": lambda shape: torch.randn(*shape[:-1], 2 * shape[-1])[..., ::2],
    "offset": lambda shape: torch.randn(*shape[:-1], shape[-1] + 1)[..., 1:],
    "complex-part": lambda shape: torch.randn(shape, dtype=torch.complex64).real,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_arguments_may_lie_in_memory_in_any_way(
    kind: str, layout: Callable[[tuple[int, ...]], Tensor]
) -> None:
    modules = pair(kind)
    steps, layers = ((T,), (1,)) if kind == "RNN" else ((), ())
    assert_same(*modules, layout((*steps, B, I)), layout((*layers, B, H)))


def use(module: torch.nn.Module) -> None:
    """A call, so that whatever it might remember is there."""
    module(torch.randn(*((2,) if hasattr(module, "num_layers") else ()), 2, I))


def expand(module: torch.nn.Module) -> None:
    for name, parameter in list(module.named_parameters()):
        if "weight" in name:
            parameter.data = parameter.data[:1].expand(parameter.shape)


def transpose(module: torch.nn.Module) -> None:
    for name, parameter in list(module.named_parameters()):
        if "weight" in name:
            parameter.data = parameter.data.t().contiguous().t()


def edit(module: torch.nn.Module) -> None:
    use(module)
    for parameter in module.parameters():
        parameter.data.mul_(-0.5)
        parameter.data = parameter.data + 0.25


def assign(module: torch.nn.Module) -> None:
    use(module)
    state = {n: -v / 2 for n, v in module.state_dict().items()}
    module.load_state_dict(state, assign=True)


def prune_for_good(module: torch.nn.Module) -> None:
    name = first_weights(module)[1]
    prune.l1_unstructured(module, name, amount=0.4)
    prune.remove(module, name)


def first_weights(module: torch.nn.Module) -> list[str]:
    return [n for n, _ in module.named_parameters() if "weight" in n]


CHANGES: dict[str, Callable[[torch.nn.Module], object]] = {
    "expanded weights": expand,
    "transposed weights": transpose,
    "weights edited through .data": edit,
    "assigned state": assign,
    "weight norm": lambda m: [parametrizations.weight_norm(m, n) for n in first_weights(m)],
    "orthogonal": lambda m: parametrizations.orthogonal(m, first_weights(m)[1]),
    "pruned": lambda m: [prune.l1_unstructured(m, n, amount=0.4) for n in first_weights(m)],
    "pruned for good": prune_for_good,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_weights_count_as_they_are_at_the_call(
    kind: str, change: Callable[[torch.nn.Module], object]
) -> None:
    modules = pair(kind, *((2,) if kind == "RNN" else ()))
    for module in modules:
        torch.manual_seed(3)
        change(module)
    assert_same(*modules, torch.randn(*((T,) if kind == "RNN" else ()), B, I))


@pytest.mark.parametrize("kind", KINDS)
def test_functional_call_uses_the_given_weights(kind: str) -> None:
    theirs, ours = pair(kind)
    x = torch.randn(*((T,) if kind == "RNN" else ()), B, I)
    found = []
    for module in (theirs, ours):
        state = {n: (v.detach() * 2).requires_grad_() for n, v in module.named_parameters()}
        results = tensors(torch.func.functional_call(module, state, (x,)))
        loss = sum(r.square().sum() for r in results)
        found.append([*results, *torch.autograd.grad(loss, list(state.values()))])
    for expected, actual in zip(*found, strict=True):
        assert_close(actual, expected, "same")


@pytest.mark.parametrize("given", [False, True], ids=["zero-state", "given-state"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_have_empty_results_and_zero_gradients(kind: str, given: bool) -> None:
    shape, state = ((T, 0, I), (1, 0, H)) if kind == "RNN" else ((0, I), (0, H))
    assert_same(*pair(kind), torch.randn(shape), torch.randn(state) if given else None)
