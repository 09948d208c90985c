"""The backward pass reads the states from the output, whatever has become of it meanwhile."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import elman
from tests.nn.kinds import LAYERS, Kind, assert_same_bits, each, loss_of, tensors


def doubled(output: Tensor) -> None:
    with torch.no_grad():
        output.mul_(2)


CHANGES: dict[str, Callable[[Tensor], Any]] = {
    "relu": lambda output: output.relu_(),
    "dropout": lambda output: torch.nn.functional.dropout(output, inplace=True),
    "residual": lambda output: output.add_(torch.ones_like(output)),
    "a step": lambda output: output[2].zero_(),
    "a unit": lambda output: output[..., 0].fill_(9),
    "unseen by autograd": doubled,
    "detached": lambda output: output.detach().zero_(),
    "other memory": lambda output: output.detach().set_(torch.ones_like(output)),
}
each_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())


def gradients(
    module: torch.nn.Module, *given: Any, change: Callable[[Tensor], Any] = lambda _: None
) -> list[Tensor]:
    """Those of a loss of the results, taken when the output has changed; the loss is of copies."""
    results = tensors(module(*given))
    loss = loss_of([r.clone() for r in results])
    change(results[0])
    leaves = [t for t in (*tensors(given), *module.parameters()) if t.requires_grad]
    return list(torch.autograd.grad(loss, leaves))


@each_change
@each(LAYERS)
def test_changed_in_place_the_gradients_have_the_same_bits(kind: Kind, change: Any) -> None:
    module = kind.stack()[1]
    given = kind.input().requires_grad_(), kind.state(4)
    assert_same_bits(gradients(module, *given, change=change), gradients(module, *given))


@each_change
def test_so_they_have_where_the_loss_is_of_the_changed_output(change: Any) -> None:
    theirs, ours = Kind("GRU").pair()
    x, found = Kind("GRU").input(), []
    for module in (theirs, ours):
        torch.manual_seed(0)
        output = module(x)[0]
        change(output)
        loss = output.pow(2).sum()
        found.append(torch.autograd.grad(loss, list(module.parameters()), allow_unused=True))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_outputs_may_change_too(dtype: torch.dtype) -> None:
    module, x = elman.RNN(3, 40, dtype=dtype), torch.randn(50, 20, 3, dtype=dtype)
    expected = gradients(module, x)
    assert_same_bits(gradients(module, x, change=torch.sigmoid_), expected)
    assert_same_bits(gradients(module, x, change=free), expected)


def free(output: Tensor) -> None:
    output.untyped_storage().resize_(0)


def test_freed_memory_of_the_output_is_no_matter() -> None:
    module, x = elman.LSTM(3, 5, bidirectional=True), torch.randn(4, 2, 3)
    assert_same_bits(gradients(module, x, change=free), gradients(module, x))


def test_a_graph_that_is_kept_may_see_the_output_change_in_between() -> None:
    module, x = elman.GRU(3, 5), torch.randn(4, 2, 3)
    output, leaves, found = module(x)[0], list(module.parameters()), []
    loss = output.clone().sum()
    for _ in range(3):
        found.append(torch.autograd.grad(loss, leaves, retain_graph=True))
        output.detach().add_(1)
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])


def turned(saved: Tensor) -> Tensor:
    return saved.transpose(0, -1)


@pytest.mark.parametrize(
    "context",
    [
        lambda: saved_tensors_hooks(torch.detach, torch.detach),
        lambda: saved_tensors_hooks(torch.clone, torch.clone),
        lambda: saved_tensors_hooks(lambda t: turned(t).contiguous(), turned),
        save_on_cpu,
    ],
    ids=["alias", "copy", "turned", "cpu"],
)
def test_it_may_change_when_it_was_saved_in_ways_of_the_callers(context: Any) -> None:
    module, x = elman.RNN(3, 5, num_layers=2), torch.randn(4, 2, 3)
    expected = gradients(module, x)
    with context():
        found = [gradients(module, x), gradients(module, x, change=torch.relu_)]
    for one in found:
        assert_same_bits(one, expected)


def one_dimension(saved: Tensor) -> bool:
    return saved.dim() == 1


@pytest.mark.parametrize("change", [Tensor.half, lambda t: t[:1].clone()], ids=["dtype", "size"])
@pytest.mark.parametrize(
    ("T", "options", "which"),
    [
        (10, {"bias": False}, one_dimension),
        (400, {}, lambda t: t.shape == (400, 3, 32)),
        (2000, {"recompute": True}, lambda t: t.dim() == 3 and t.shape[-1] == 32),
        (10, {}, lambda t: t.shape == (96, 32)),
        (10, {}, lambda t: t.dim() > 1),
    ],
    ids=["what is kept", "a large output", "states between spans", "a weight", "much"],
)
def test_what_a_hook_has_changed_is_refused(
    T: int, options: dict[str, Any], which: Callable[[Tensor], bool], change: Any
) -> None:
    module = elman.Recurrent(elman.cells.GRU, 4, 32, num_layers=2, **options)
    x = torch.randn(T, 3, 4, requires_grad=True)
    with saved_tensors_hooks(lambda t: t, lambda t: change(t.detach()) if which(t) else t):
        output, _ = module(x)
        with pytest.raises(RuntimeError, match="expected"):
            output.sum().backward()


@pytest.mark.parametrize("reentrant", [False, True])
def test_it_may_change_after_a_checkpoint(reentrant: bool) -> None:
    module, x = elman.LSTM(3, 5), torch.randn(4, 2, 3, requires_grad=True)

    def run(x: Tensor) -> Tensor:
        return checkpoint(lambda x: module(x)[0], x, use_reentrant=reentrant)

    found = []
    for change in (lambda _: None, torch.relu_):
        output = run(x)
        loss = output.clone().pow(2).sum()
        change(output)
        module.zero_grad()
        loss.backward()
        found.append([p.grad.clone() for p in module.parameters()])
    assert_same_bits(*found)


def test_rows_of_different_lengths_may_change() -> None:
    module, x = elman.GRU(3, 5, bidirectional=True), torch.randn(6, 4, 3)
    packed = pack_padded_sequence(x, torch.tensor([6, 2, 2, 1]), enforce_sorted=False)
    hx = torch.randn(2, 4, 5).requires_grad_()
    expected = gradients(module, packed, hx)
    assert_same_bits(gradients(module, packed, hx, change=torch.relu_), expected)


def test_outputs_of_recomputed_layers_may_change() -> None:
    module = elman.Recurrent(elman.cells.LSTM, 3, 5, recompute=True)
    x = torch.randn(900, 1, 3)
    assert_same_bits(gradients(module, x, change=torch.relu_), gradients(module, x))


def test_another_thread_sees_the_change() -> None:
    module, x = elman.GRU(3, 5), torch.randn(4, 2, 3)
    output = module(x)[0]
    loss = output.clone().sum()
    output.relu_()
    worker = threading.Thread(target=loss.backward)
    worker.start()
    worker.join()
    expected = torch.autograd.grad(module(x)[0].sum(), list(module.parameters()))
    assert_same_bits([p.grad for p in module.parameters()], list(expected))


def test_derivatives_of_gradients_follow_the_formula_after_a_change() -> None:
    module, x = elman.RNN(3, 5).double(), torch.randn(4, 2, 3).double().requires_grad_()
    found = []
    for change in (lambda _: None, torch.relu_):
        output = module(x)[0]
        loss = output.clone().pow(3).sum()
        change(output)
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        found.append([first, *torch.autograd.grad(first.pow(2).sum(), x)])
    assert_same_bits(*found)


@pytest.mark.parametrize("layer", [elman.RNN, elman.GRU, elman.LSTM])
def test_the_output_is_kept_and_no_copy_of_it(layer: Any) -> None:
    module, x, seen = layer(3, 40), torch.randn(50, 20, 3), []
    with saved_tensors_hooks(lambda t: seen.append(t) or t, lambda t: t):
        output = module(x)[0]
    aliases = [t for t in seen if t.data_ptr() == output.data_ptr()]
    assert len(aliases) == 1
    columns = {elman.RNN: 0, elman.GRU: 4, elman.LSTM: 5}[layer]
    given = {t.data_ptr() for t in (x, output, *module.parameters())}
    kept = sum(t.numel() for t in seen if t.data_ptr() not in given)
    assert columns * output.numel() <= kept <= columns * output.numel() * 1.6


def test_memory_of_the_output_is_freed_with_what_autograd_saved() -> None:
    module, x = elman.RNN(3, 40), torch.randn(50, 20, 3)
    output = module(x)[0]
    memory, loss = StorageWeakRef(output.untyped_storage()), output.sum()
    del output
    assert not memory.expired()
    loss.backward()  # the graph is there as long as the loss
    assert memory.expired()


@pytest.mark.parametrize("size", [5, 40])
def test_no_cycle_keeps_memory_alive(size: int) -> None:
    module, x = elman.GRU(3, size), torch.randn(50, 20, 3)
    gc.collect()
    gc.disable()
    try:
        output = module(x)[0]
        memory = StorageWeakRef(output.untyped_storage())
        del output
        assert memory.expired()
    finally:
        gc.enable()
