"""Modules of elman count as those of torch.nn, for whoever asks for their class."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrizations, parametrize

import elman
from tests.nn.kinds import KINDS, LAYERS, Kind, assert_same_bits, each, tensors


def counterpart(kind: Kind) -> type:
    found: type = getattr(torch.nn, kind.name)
    return found


def ours(kind: Kind) -> type:
    found: type = getattr(elman, kind.name)
    return found


class Net(torch.nn.Module):
    """A model whose recurrent module gets a state of the model's own."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor):
        return self.inner(x + 1)


def after_pickling(module: Any) -> Any:
    return pickle.loads(pickle.dumps(module))


def after_pickling_in_python(module: Any) -> Any:
    return pickle._loads(pickle._dumps(module))


def after_saving(module: Any) -> Any:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def after_acceleration(module: Any) -> Any:
    return elman.accelerate(elman.restore(module))


def after_a_parametrization(module: Any) -> Any:
    name = next(n for n, _ in module.named_parameters() if "weight" in n)
    parametrizations.weight_norm(module, name)
    assert isinstance(module, torch.nn.Module)
    parametrize.remove_parametrizations(module, name)
    return module


COPIES: list[Callable[[Any], Any]] = [
    *(copy.copy, copy.deepcopy, after_pickling, after_pickling_in_python, after_saving),
    *(after_acceleration, after_a_parametrization),
]


@each(KINDS)
@pytest.mark.parametrize("change", COPIES, ids=lambda f: f.__name__)
def test_a_module_is_an_instance_of_both_classes(kind: Kind, change: Callable[[Any], Any]) -> None:
    module = kind.make(elman)
    x, expected = kind.input(), repr(module)
    before = tensors(module(x))
    module = change(module)
    assert isinstance(module, counterpart(kind))
    assert isinstance(module, ours(kind))
    assert type(module) is ours(kind)
    assert repr(module) == expected
    torch.testing.assert_close(tensors(module(x)), before)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle_takes_a_module(protocol: int) -> None:
    module = elman.LSTM(3, 4)
    assert type(pickle.loads(pickle.dumps(module, protocol))) is elman.LSTM
    assert isinstance(module, torch.nn.LSTM)


@each(KINDS)
def test_a_class_derived_from_the_one_shown_runs_elman(kind: Kind) -> None:
    """What sharding, hooks and parametrizations do with a module."""
    module, x = kind.make(elman), kind.input()
    before = tensors(module(x))
    module.__class__ = type("Wrapped", (module.__class__,), {"extra": 1})
    assert type(module).__name__ == "Wrapped"
    assert isinstance(module, counterpart(kind))
    with elman.set_path("kernel"):
        assert_same_bits(tensors(module(x)), before)
    module.__class__ = type(module).__bases__[0]
    assert type(module) is ours(kind)


@each(KINDS)
def test_a_parametrized_module_runs_the_kernel_and_torchs_operator(kind: Kind) -> None:
    theirs, module = kind.pair()
    for each_module in (theirs, module):
        name = next(n for n, _ in each_module.named_parameters() if "weight_hh" in n)
        parametrizations.weight_norm(each_module, name)
    x = kind.input()
    assert isinstance(module, counterpart(kind))
    with elman.set_path("kernel"):
        torch.testing.assert_close(tensors(module(x)), tensors(theirs(x)))
    with elman.set_path("torch"):
        assert_same_bits(tensors(module(x)), tensors(theirs(x)))
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(tensors(compiled(x)), tensors(theirs(x)))


class Asks(torch.nn.Module):
    """A model that does something else for each class, as many do."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output, state = self.inner(x)
        if isinstance(self.inner, torch.nn.LSTM):
            state = state[1]
        if isinstance(self.inner, torch.nn.GRU):
            state = -state
        return output.sum() * state


@each(LAYERS)
def test_a_compiled_model_may_ask_for_the_class(kind: Kind) -> None:
    torch._dynamo.reset()
    net, x = Asks(kind.make(elman)), kind.input()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), net(x))
    for strict in (False, True):
        torch.testing.assert_close(
            torch.export.export(net, (x,), strict=strict).module()(x), net(x)
        )


@each(LAYERS)
def test_the_methods_of_the_counterpart_are_there(kind: Kind) -> None:
    theirs, module = kind.pair()
    assert {n for n in dir(theirs) if not n.startswith("__")} <= set(dir(module))
    state = kind.state()
    order = torch.tensor([2, 0, 1, 3])
    permuted = [tensors(m.permute_hidden(state, order)) for m in (theirs, module)]
    assert_same_bits(*permuted)


@each(KINDS)
def test_a_graph_of_torch_fx_calls_the_module(kind: Kind) -> None:
    net = Net(kind.stack()[1])
    graph = torch.fx.symbolic_trace(net)
    assert [n.target for n in graph.graph.nodes if n.op == "call_module"] == ["inner"]
    for x in (kind.input(), kind.input(2)):
        assert_same_bits(tensors(graph(x)), tensors(net(x)))


def test_a_graph_of_torch_fx_calls_a_module_of_any_cell() -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = elman.Recurrent(elman.cells.GRU, 3, 4)
            self.cell = elman.RecurrentCell(elman.cells.LSTM, 4, 2)

        def forward(self, x: Any, hx: Any, lengths: Any) -> Any:
            return self.cell(self.net(x, hx, lengths=lengths)[0][-1])

    two = Two()
    graph = torch.fx.symbolic_trace(two)
    arguments = torch.randn(5, 3, 3), torch.randn(1, 3, 4), torch.tensor([5, 0, 2])
    assert_same_bits(tensors(graph(*arguments)), tensors(two(*arguments)))


@pytest.mark.parametrize("module", [elman.GRU(3, 4), elman.Recurrent(elman.cells.GRU, 3, 4)])
def test_a_recurrent_layer_by_itself_is_no_graph_of_torch_fx(module: torch.nn.Module) -> None:
    with pytest.raises(torch.fx.proxy.TraceError, match="only a module that contains it"):
        torch.fx.symbolic_trace(module)


@pytest.mark.filterwarnings("ignore:.torch.jit")
@each(KINDS)
def test_torchscript_compiles_the_counterpart_and_says_so(kind: Kind) -> None:
    net, x = Net(kind.stack()[1]), kind.input()
    with pytest.warns(UserWarning, match=rf"torch.nn.{kind.name} instead of elman's {kind.name}"):
        script = torch.jit.script(net)
    assert type(net.inner) is counterpart(kind)
    assert_same_bits(tensors(script(x)), tensors(net(x)))


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("make", [elman.GRU, elman.GRUCell])
def test_torchscript_has_no_gru_that_resets_before(make: Any) -> None:
    with pytest.raises(RuntimeError, match=r"reset_after=False\), which torch.nn does not have"):
        torch.jit.script(make(3, 4, reset_after=False))


QUANTIZED = [kind for kind in KINDS if kind.name in ("LSTM", "GRU") and not kind.proj_size]


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", QUANTIZED, ids=str)
@pytest.mark.parametrize("of", [ours, counterpart], ids=["elman's", "torch.nn's"])
def test_quantization_takes_the_class_of_either(kind: Kind, of: Callable[[Kind], type]) -> None:
    net = Net(kind.make(elman))
    quantized = torch.ao.quantization.quantize_dynamic(net, {of(kind)})
    assert "quantized" in type(quantized.inner).__module__
    assert type(net.inner) is ours(kind)
    assert tensors(quantized(kind.input()))[0].shape == tensors(net(kind.input()))[0].shape


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated")
@pytest.mark.parametrize("kind", QUANTIZED, ids=str)
def test_quantization_of_others_leaves_a_layer_alone(kind: Kind) -> None:
    net = Net(kind.make(elman))
    quantized = torch.ao.quantization.quantize_dynamic(net, {torch.nn.Linear})
    assert type(quantized.inner) is ours(kind)
    assert not hasattr(quantized.inner, "qconfig")
    assert_same_bits(tensors(quantized(kind.input() * 0)), tensors(net(kind.input() * 0)))


@each(KINDS)
def test_the_class_shown_makes_modules(kind: Kind) -> None:
    """As code does that needs another module of the same kind."""
    module = kind.make(elman)
    shown = module.__class__
    made = shown(3, 5, **kind.options)
    assert type(made) is type(module)
    assert repr(made) == repr(module)

    class Derived(module.__class__):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__(3, 5, **kind.options)

    derived = Derived()
    derived.load_state_dict(module.state_dict())
    assert_same_bits(tensors(derived(x := kind.input())), tensors(module(x)))


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("make", [elman.Recurrent, elman.RecurrentCell])
def test_torchscript_has_no_cells_of_ones_own(make: Any) -> None:
    with pytest.raises(RuntimeError, match=f"cannot compile {make.__name__}: use torch.jit.trace"):
        torch.jit.script(Net(make(elman.cells.MGU, 3, 4)))
