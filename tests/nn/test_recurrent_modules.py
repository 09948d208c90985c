"""What is done with modules of any cell: copied, changed, explained, compiled, exported."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils.parametrize import register_parametrization

import elman
from elman import Recurrent, RecurrentCell
from tests.cells import CELLS
from tests.nn.kinds import (
    LENGTHS,
    STACK,
    B,
    H,
    I,
    Leaky,
    T,
    assert_all_close,
    assert_same_bits,
    call,
    further,
    loss_of,
    seeded,
    tensors,
)

pytestmark = pytest.mark.usefixtures("kernel_path")


class Changing(elman.Cell):
    """A formula whose parameters depend on a number."""

    gates = ("a",)
    states = ("h",)

    def __init__(self) -> None:
        self.vectors: tuple[str, ...] = ()

    def step(self, x: Any, u: Any, s: Any) -> Any:
        h = elman.tanh(x.a + u.a)
        return h * self.vector("v") if self.vectors else h


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["deepcopy", "copy", "pickle"],
)
def test_copies_give_the_same(copied: Callable[[Any], Any]) -> None:
    net, x = Recurrent(Leaky(0.3), I, [4, 6], learn_initial=True), torch.randn(T, B, I)
    single = RecurrentCell(Leaky(0.3), I, H)
    for module, given in ((net, x), (single, x[0])):
        other = copied(module)
        assert repr(other) == repr(module)
        assert_same_bits(call(other, given), call(module, given))


def test_parametrized_modules_are_copied_too() -> None:
    net, x = Recurrent(Leaky, I, H), torch.randn(T, B, I)
    register_parametrization(net, "weight_hh_l0", elman.nn.Mask(torch.eye(H)))
    assert_same_bits(call(copy.deepcopy(net), x), call(net, x))


def test_parameters_come_from_anywhere() -> None:
    net, x = Recurrent(Leaky, I, H, learn_initial=True), torch.randn(T, B, I)
    values = {n: torch.randn_like(p) for n, p in net.named_parameters()}
    found = torch.func.functional_call(net, values, (x,))
    net.load_state_dict(values)
    assert_same_bits(tensors(found), tensors(net(x)))
    meta = Recurrent(Leaky, I, H, learn_initial=True, device="meta")
    with elman.set_path("auto"):
        assert tensors(meta(x.to("meta")))[0].shape == (T, B, H)
    meta.load_state_dict(values, assign=True)
    assert_same_bits(tensors(meta(x)), tensors(found))
    half = copy.deepcopy(net).bfloat16()
    assert {t.dtype for t in tensors(half(x.bfloat16(), lengths=LENGTHS))} == {torch.bfloat16}


def test_changed_numbers_count() -> None:
    net, x = seeded(Recurrent, Leaky(0.1), I, H), torch.randn(T, B, I)
    net.cell.leak = 0.7
    assert_same_bits(tensors(net(x)), tensors(seeded(Recurrent, Leaky(0.7), I, H)(x)))
    changing = RecurrentCell(Changing, I, H)
    changing.cell.vectors = ("v",)
    with pytest.raises(RuntimeError, match="has other parameters than this module was made with"):
        changing(x[0])


def test_repr_shows_what_differs_from_the_defaults() -> None:
    net = Recurrent(Leaky, I, [4, 6], bidirectional=True, merge="sum")
    shown = "Leaky(leak=0.1), 3, (4, 6), num_layers=2, bidirectional=True, merge='sum'"
    assert repr(net) == f"Recurrent({shown})"
    assert (
        repr(RecurrentCell(CELLS["GRU"], I, H, False)) == "RecurrentCell(GRU(), 3, 5, bias=False)"
    )


def test_explain_lists_them() -> None:
    net = torch.nn.Sequential(Recurrent(Leaky, I, [11, 13]), RecurrentCell(Leaky, I, H))
    with torch.no_grad():
        net[0](torch.randn(T, B, I))
    first, second = elman.explain(net).layers
    assert (first.name, first.path, second.name, second.path) == ("0", "kernel", "1", "kernel")
    assert "infer" in first.kernels


def test_vmap_over_models_runs_the_reference() -> None:
    nets, x = [Recurrent(Leaky, I, H) for _ in range(2)], torch.ones(T, B, I)
    parameters, buffers = torch.func.stack_module_state(nets)
    with elman.set_path("auto"):
        found = torch.func.vmap(lambda p, b: torch.func.functional_call(nets[0], (p, b), (x,))[0])(
            parameters, buffers
        )
    assert_all_close(list(found), [net(x)[0] for net in nets])


# torch.compile


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        (Leaky(), {}),
        (CELLS["Seer"], {**STACK, "merge": "mean", "learn_initial": True}),
        (CELLS["Projected"], {"num_layers": 2, "residual": True, "proj_size": 3}),
        (elman.cells.LSTM(), {"hidden_size": [4, 6]}),
    ],
    ids=["plain", "inputs", "projected", "sizes"],
)
def test_compiled_modules_give_the_same(cell: elman.Cell, options: dict[str, Any]) -> None:
    torch._dynamo.reset()
    net = Recurrent(cell, I, **{"hidden_size": H, **options})
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager", dynamic=True)
    for steps, rows in ((4, 2), (6, 3)):
        x, given = torch.randn(steps, rows, I), further(cell, steps, rows)
        results = []
        for module in (net, compiled):
            found = tensors(module(x, inputs=given))
            gradients = torch.autograd.grad(loss_of(found), list(net.parameters()))
            results.append([*found, *gradients])
        assert_all_close(*results)


@pytest.mark.parametrize("cell", [elman.cells.LightGRU(), elman.cells.LayerNormLSTM()], ids=repr)
def test_exported_modules_take_any_length_and_batch(cell: elman.Cell) -> None:
    net = Recurrent(cell, I, H, num_layers=2, bidirectional=True, merge="sum", residual=True)
    sizes = {0: torch.export.Dim("T", min=2, max=500), 1: torch.export.Dim("B", min=2, max=500)}
    program = torch.export.export(net, (torch.randn(T, B, I),), dynamic_shapes={"input": sizes})
    for shape in ((T, B, I), (17, 6, I)):
        x = torch.randn(shape)
        assert_same_bits(tensors(program.module()(x)), tensors(net(x)))


def test_compiled_modules_notice_a_changed_number() -> None:
    torch._dynamo.reset()
    net, x = Recurrent(Leaky(0.1), I, H), torch.randn(T, B, I)
    single = RecurrentCell(Leaky(0.1), I, H)
    compiled, step = (torch.compile(m, fullgraph=True, backend="eager") for m in (net, single))
    assert_all_close([compiled(x)[0], step(x[0])], [net(x)[0], single(x[0])])
    net.cell.leak = 0.7
    with pytest.raises(Exception, match="outside of compilation"):
        compiled(x)
    assert_all_close([net(x)[0]], [compiled(x)[0]])
