"""``elman.RNN`` and ``elman.RNNCell`` in every use that torch.nn's have, against torch.nn's."""

import copy
import inspect
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import elman
from tests.nn.kinds import (
    KINDS,
    B,
    H,
    I,
    Kind,
    Make,
    T,
    assert_all_close,
    assert_same,
    assert_same_bits,
    call,
    each,
    tensors,
)

RNN = Kind("RNN")


@pytest.fixture(autouse=True)
def _kernel_path() -> Iterator[None]:
    torch.manual_seed(0)
    with elman.set_path("kernel"):
        yield


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


@each(KINDS)
def test_help_has_what_a_class_shares_with_its_family_and_what_is_its_own(kind: Kind) -> None:
    ours = getattr(elman, kind.name)
    text, _, example = ours.__doc__.partition("\n\n>>> ")
    names = {*inspect.signature(ours).parameters} - {"device", "dtype"}
    names -= {"proj_size"} if kind.name != "LSTM" else set()  # there to be refused
    assert [name for name in names if name not in text] == []
    assert f"``torch.nn.{kind.name}``" in text
    assert text.count("\nArgs:\n") == text.count("\nRaises:\n") == 1
    assert f"elman.{kind.name}(" in example


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
    modules = RNN.pair(layers, nonlinearity, bias, dtype=dtype, **options)
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
    modules = Kind("RNNCell").pair(bias, nonlinearity, dtype=dtype)
    hx = torch.randn(*batch, H, dtype=dtype) if given else None
    assert_same(*modules, torch.randn(*batch, I, dtype=dtype), hx)


@pytest.mark.parametrize("form", ["time-first", "batch-first", "unbatched", "packed"])
def test_dropout_draws_torchs_masks_in_training_and_nothing_in_evaluation(form: str) -> None:
    modules = RNN.pair(3, dropout=0.5, bidirectional=True, batch_first=form == "batch-first")
    x: Any = torch.randn({"unbatched": (T, I), "batch-first": (B, T, I)}.get(form, (T, B, I)))
    if form == "packed":
        x = pack_sequence([torch.randn(n, I) for n in (3, 6, 1, 6)], enforce_sorted=False)
    for training in (True, False):
        results, states = [], []
        for module in modules:
            torch.manual_seed(7)
            results.append([t.detach() for t in tensors(module.train(training)(x))])
            states.append(torch.get_rng_state())
        assert_all_close(results[1], results[0])
        assert torch.equal(*states)


def saved(module: torch.nn.Module) -> torch.nn.Module:
    """A fresh module with the state from a file."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    names = {"num_layers", "proj_size"} & set(vars(module))
    fresh = type(module)(I, H, **{name: getattr(module, name) for name in names})
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
@each(KINDS)
def test_copies_compute_the_same_bits(kind: Kind, way: Callable[[Any], Any], used: bool) -> None:
    module, x = kind.make(elman, *(() if kind.single else (2,))), kind.input()
    if used:
        call(module, x)
    assert_same_bits(call(way(module), x), call(module, x))


LAYOUTS: dict[str, Make] = {
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
@each(KINDS)
def test_arguments_may_lie_in_memory_in_any_way(kind: Kind, layout: Make) -> None:
    assert_same(*kind.pair(), kind.input(make=layout), kind.state(make=layout))


@each(KINDS)
def test_functional_call_uses_the_given_weights(kind: Kind) -> None:
    theirs, ours = kind.pair()
    x = kind.input()
    found = []
    for module in (theirs, ours):
        state = {n: (v.detach() * 2).requires_grad_() for n, v in module.named_parameters()}
        results = tensors(torch.func.functional_call(module, state, (x,)))
        loss = sum(r.square().sum() for r in results)
        found.append([*results, *torch.autograd.grad(loss, list(state.values()))])
    assert_all_close(found[1], found[0])


@pytest.mark.parametrize("given", [False, True], ids=["zero-state", "given-state"])
@each(KINDS)
def test_no_rows_have_empty_results_and_zero_gradients(kind: Kind, given: bool) -> None:
    assert_same(*kind.pair(), kind.input(rows=0), kind.state(rows=0) if given else None)
