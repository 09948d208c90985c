"""Subclasses of torch.nn's layers that call ``super().forward``, which then is elman's."""

import copy
import io
import pickle
import re
from abc import ABC, abstractmethod
from typing import Any

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import elman


class Base(ABC, torch.nn.RNNBase):
    """What libraries put between: an abstract class with methods of its own."""

    @abstractmethod
    def prepare(self, x: Any) -> Any: ...

    def forward(self, x: Any, hx: Any = None, scale: float = 1.0) -> Any:
        self.calls = getattr(self, "calls", 0) + 1
        output, states = super().forward(self.prepare(x), hx)
        if isinstance(output, torch.Tensor):
            output = output * scale
        return output, states


class Doubled(Base, torch.nn.LSTM):
    def prepare(self, x: Any) -> Any:
        return 2 * x if isinstance(x, torch.Tensor) else x


class Negated(Base, torch.nn.GRU):
    def prepare(self, x: Any) -> Any:
        return -x


class Named(torch.nn.RNN):
    """Its constructor has arguments of its own."""

    def __init__(self, features: int, units: int, label: str) -> None:
        super().__init__(features, units, nonlinearity="relu")
        self.label = label


class Cell(torch.nn.LSTMCell):
    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:
        h, c = super().forward(input, hx)
        return h + 1, c


MODULES = {
    "stack": (lambda: Doubled(3, 5, num_layers=2, bidirectional=True), (7, 2, 3)),
    "projected": (lambda: Doubled(3, 5, proj_size=2), (7, 2, 3)),
    "gru": (lambda: Negated(3, 5, batch_first=True), (4, 6, 3)),
    "named": (lambda: Named(3, 5, "x"), (4, 2, 3)),
    "cell": (lambda: Cell(3, 5), (4, 3)),
}
SUBCLASSES = [Doubled, Negated, Named, Cell]


@pytest.mark.parametrize("name", MODULES)
def test_their_forward_runs_and_reaches_a_kernel(name: str) -> None:
    make, shape = MODULES[name]
    module, x = make().double(), torch.randn(shape, dtype=torch.float64)
    wanted, kind, shown = module(x)[0], type(module), repr(module)
    parameters = [*module.named_parameters()]
    assert elman.accelerate(module, subclasses=SUBCLASSES) is module
    assert type(module) is not kind
    with elman.set_path("kernel"):
        torch.testing.assert_close(module(x)[0], wanted, rtol=1e-12, atol=1e-12)
    assert isinstance(module, kind)
    assert repr(module) == shown
    assert [(n, id(p)) for n, p in module.named_parameters()] == [(n, id(p)) for n, p in parameters]
    (row,) = elman.explain(module).layers
    assert row.path == "kernel"
    elman.restore(module)
    assert type(module) is kind
    assert torch.equal(module(x)[0], wanted)


def test_arguments_of_their_own_and_packed_sequences_go_through() -> None:
    module = elman.accelerate(Doubled(3, 5), subclasses=[Doubled])
    x = torch.randn(6, 2, 3)
    torch.testing.assert_close(module(x, scale=3.0)[0], 3 * module(x)[0])
    packed = pack_padded_sequence(x, torch.tensor([6, 4]))
    theirs = copy.deepcopy(module)
    torch.testing.assert_close(module(packed)[0].data, elman.restore(theirs)(packed)[0].data)
    assert module.calls == 3


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("way", ["deepcopy", "torch.save", *range(pickle.HIGHEST_PROTOCOL + 1)])
def test_copies_and_pickles_are_of_the_same_class(name: str, way: Any) -> None:
    make, shape = MODULES[name]
    module, x = elman.accelerate(make(), subclasses=SUBCLASSES), torch.randn(shape)
    if way == "deepcopy":
        other = copy.deepcopy(module)
    elif way == "torch.save":
        file = io.BytesIO()
        torch.save(module, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    else:
        other = pickle.loads(pickle.dumps(module, protocol=way))
        slow = pickle._loads(pickle._dumps(module, protocol=way))  # type: ignore[attr-defined]
        assert type(slow) is type(module)
    assert type(other) is type(module)
    assert torch.equal(other(x)[0], module(x)[0])
    assert type(elman.restore(other)) is type(make())


def test_one_class_is_made_and_it_can_be_called() -> None:
    first, second = (elman.accelerate(Named(3, 5, "x"), subclasses=[Named]) for _ in range(2))
    assert type(first) is type(second)
    made = type(first)(2, 4, label="new")
    assert (made.label, made.weight_ih_l0.shape) == ("new", (4, 2))


def test_subclasses_of_what_is_named_are_left_alone() -> None:
    class Further(Named):
        pass

    module = Further(3, 5, "x")
    assert type(elman.accelerate(module, subclasses=[Named])) is Further
    assert "subclasses=[Further]" in elman.explain(module).layers[0].reason


@pytest.mark.parametrize("wrong", [torch.nn.Linear, torch.nn.LSTM, torch.nn.RNNBase, elman.GRU, 3])
def test_what_is_no_subclass_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"expected subclasses of torch\.nn's RNN, LSTM, GRU"):
        elman.accelerate(Named(2, 3, "x"), subclasses=[wrong])


@pytest.mark.parametrize("wrong", [None, 3, "LSTM", torch.nn.Sequential(torch.nn.LSTM(2, 3))])
def test_what_is_no_list_of_classes_is_refused(wrong: Any) -> None:
    named = "LSTM(2, 3)" if isinstance(wrong, torch.nn.Module) else repr(wrong)
    for call in (lambda: elman.accelerate(Named(2, 3, "x"), subclasses=wrong), _within(wrong)):
        with pytest.raises(TypeError, match=rf"expected subclasses of .* got {re.escape(named)}:"):
            call()


def _within(wrong: Any) -> Any:
    return lambda: elman.accelerated(wrong).__enter__()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_tools_of_pytorch_see_their_class() -> None:
    model = torch.nn.Sequential(Named(3, 4, "x"), torch.nn.Identity())
    elman.accelerate(model, subclasses=[Named])
    x = torch.randn(5, 2, 3)
    wanted = model(x)[0]
    quantized = torch.ao.quantization.quantize_dynamic(model)
    assert isinstance(quantized[0], Named)
    torch.testing.assert_close(quantized(x)[0], wanted)
    assert torch.equal(torch.jit.trace(model, x)(x)[0], elman.restore(model)(x)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_compiles_their_class() -> None:
    class Plain(torch.nn.GRUCell):
        pass

    model, x = torch.nn.Sequential(Plain(3, 4)), torch.randn(2, 3)
    wanted = model(x)
    elman.accelerate(model, subclasses=[Plain])
    with pytest.warns(UserWarning, match=r"torch\.jit\.script compiles Plain without elman's"):
        compiled = torch.jit.script(model)
    torch.testing.assert_close(compiled(x), wanted)
    assert type(model[0]) is Plain


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # Dynamo looks, where a graph breaks
@pytest.mark.parametrize("transform", ["grad", "vmap", "compile", "export"])
def test_transforms_and_captures_work_as_on_elmans_layers(transform: str) -> None:
    model, x = Doubled(3, 4), torch.randn(5, 2, 3)
    wanted, held = model(x)[0], dict(model.named_parameters())
    expected = torch.autograd.grad(wanted.sum(), held["weight_hh_l0"])[0]
    elman.accelerate(model, subclasses=[Doubled])
    if transform == "grad":
        call = torch.func.functional_call
        found = torch.func.grad(lambda p: call(model, p, (x,))[0].sum())(held)["weight_hh_l0"]
        torch.testing.assert_close(found, expected)
        return
    if transform == "vmap":
        found = torch.func.vmap(lambda v: model(v)[0], in_dims=1, out_dims=1)(x)
    elif transform == "compile":
        found = torch.compile(model, backend="eager")(x)[0]
    else:
        found = torch.export.export(model, (x,)).module()(x)[0]
    torch.testing.assert_close(found, wanted)
