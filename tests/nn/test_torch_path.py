"""The third path: where the kernel cannot run, layers that torch.nn has run torch.nn's operator."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence
from torch.utils._python_dispatch import TorchDispatchMode

import elman
from elman import reference
from tests.nn.kinds import CELLS, KINDS, LAYERS, Kind, assert_same_bits, call, each, tensors

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stacked": {"num_layers": 2, "bidirectional": True},
    "no-bias-batch-first": {"bias": False, "batch_first": True},
    "dropout": {"num_layers": 3, "dropout": 0.4},
}


@pytest.fixture(autouse=True)
def _no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "layer", lambda *_: pytest.fail("the reference runs"))


def same_bits(theirs: Any, ours: Any, *arguments: Any) -> None:
    found = []
    for module in (theirs, ours):
        torch.manual_seed(3)
        found.append(call(module, *arguments))
    assert_same_bits(found[1], found[0])


@each(LAYERS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_forced_path_gives_the_bits_of_torch_nn(kind: Kind, options: dict[str, Any]) -> None:
    theirs, ours = kind.pair(**options)
    layers = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    with elman.set_path("torch"):
        x = kind.input().transpose(0, 1) if options.get("batch_first") else kind.input()
        same_bits(theirs, ours, x)
        same_bits(theirs, ours, x, kind.state(layers))


@each(LAYERS)
def test_packed_sequences_on_the_forced_path(kind: Kind) -> None:
    theirs, ours = kind.stack()
    packed = pack_sequence([torch.randn(n, 3) for n in (2, 5, 1)], enforce_sorted=False)
    with elman.set_path("torch"):
        for hx in (None, kind.state(4, 3)):
            for a, b in zip(tensors(ours(packed, hx)), tensors(theirs(packed, hx)), strict=True):
                assert torch.equal(a, b)


@each(CELLS)
def test_cells_on_the_forced_path(kind: Kind) -> None:
    theirs, ours = kind.pair()
    with elman.set_path("torch"):
        same_bits(theirs, ours, kind.input())
        same_bits(theirs, ours, kind.input(), kind.state())


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (elman.Recurrent(elman.cells.GRU, 3, 4), torch.rand(2, 1, 3)),
        (elman.RecurrentCell(elman.cells.GRU, 3, 4), torch.rand(1, 3)),
        (elman.GRU(3, 4, reset_after=False), torch.rand(2, 1, 3)),
        (elman.GRUCell(3, 4, reset_after=False), torch.rand(1, 3)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_layer_that_torch_nn_does_not_have_refuses_the_forced_path(
    module: torch.nn.Module, x: Tensor
) -> None:
    why = r"set_path\('torch'\), but torch.nn has no operator for this layer's formula"
    with elman.set_path("torch"), pytest.raises(elman.PathError, match=why):
        module(x)
    with elman.set_path("torch"):
        (row,) = elman.explain(module).layers
    assert row.path == "none"
    assert row.reason.startswith("set_path('torch'), but torch.nn has no operator")


@each(KINDS)
def test_a_module_without_memory_runs_torchs_operator(kind: Kind) -> None:
    theirs, ours = kind.stack()
    x = kind.input().to("meta")
    for a, b in zip(tensors(ours.to("meta")(x)), tensors(theirs.to("meta")(x)), strict=True):
        assert (a.shape, a.device, a.dtype) == (b.shape, b.device, b.dtype)


def test_another_device_gives_the_bits_of_torch_nn() -> None:
    program = Path(__file__).with_name("other_device.py")  # to import it is to have the device
    root = str(program.parents[2])
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr
    why = "a tensor is on other:0, kernels run on the CPU"
    assert done.stdout.splitlines() == [
        *(f"{name}; torch; {why}" for name in ("RNN", "LSTM", "GRU")),
        "Input and parameter tensors are not at the same device, found input tensor at other:0 and "
        "parameter tensor at cpu; RNN: expected input on the weights' device cpu, got other:0: "
        "move it with input.to('cpu')",
        f"reference; {why}",
    ]


class Count(TorchDispatchMode):
    """Sees every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.operations += 1
        return function(*args, **kwargs or {})


class Counted(torch.Tensor):
    """A subclass with operations of its own."""


def recorded(module: torch.nn.Module, x: Tensor) -> Any:
    with Count() as count:
        results = module(x)
    assert count.operations
    return results


def of_a_subclass(module: torch.nn.Module, x: Tensor) -> Any:
    return module(x.as_subclass(Counted))


@each(KINDS)
@pytest.mark.parametrize("use", [recorded, of_a_subclass], ids=lambda use: use.__name__)
def test_whoever_follows_the_operations_sees_those_of_torch_nn(
    kind: Kind, use: Callable[[Any, Tensor], Any]
) -> None:
    theirs, ours = kind.stack()
    x = kind.input()
    assert_same_bits(tensors(use(ours, x)), tensors(use(theirs, x)))


@pytest.mark.filterwarnings("ignore")  # torch.jit.trace is deprecated, and warns of shapes
@each(KINDS)
def test_a_traced_module_takes_any_length_and_batch(kind: Kind) -> None:
    theirs, ours = kind.stack()
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(ours, (kind.input(),)), file)
    file.seek(0)
    traced = torch.jit.load(file)
    for shape in ((9, 2, 3), (1, 1, 3)):
        x = torch.randn(shape[1:] if kind.single else shape)
        assert_same_bits(tensors(traced(x)), tensors(theirs(x)))
    x.requires_grad_()
    gradients = [
        torch.autograd.grad(sum(r.sum() for r in tensors(m(x))), [x, *m.parameters()])
        for m in (theirs, traced)
    ]
    assert_same_bits(*gradients)


@each(LAYERS)
def test_a_compiled_program_on_another_device_holds_one_operator(kind: Kind) -> None:
    torch._dynamo.reset()
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    ours = kind.stack()[1].to("meta")
    compiled = torch.compile(ours, backend=backend, fullgraph=True)
    for steps in (6, 90):
        output = compiled(torch.empty(steps, 4, 3, device="meta"))[0]
        assert output.shape[:2] == (steps, 4)
    for graph in graphs:
        called = [str(n.target) for n in graph.graph.nodes if n.op == "call_function"]
        assert len([name for name in called if kind.name.lower() in name]) == 1, called


@each(KINDS)
def test_acceleration_leaves_the_flat_weights_where_they_are(kind: Kind) -> None:
    module = kind.make(torch.nn)
    held = [*module.parameters()]
    flat = getattr(module, "_flat_weights", held)
    places = [p.data_ptr() for p in flat]
    elman.accelerate(module)
    assert getattr(module, "_flat_weights", held) is flat
    assert [p.data_ptr() for p in module.parameters()] == places
    module.double()
    for a, b in zip(
        getattr(module, "_flat_weights", module.parameters()), module.parameters(), strict=True
    ):
        assert a is b
