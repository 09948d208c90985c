"""Memory of large tensors is used again, but only if nobody has it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.runtime import large
from elman.runtime.large import let_go, reuse
from elman.runtime.memory import LARGE, set_poison
from tests.systems import needs_fork

N = LARGE // 4  # float32s of a large tensor


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    let_go()
    yield
    let_go()


def new(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return reuse(torch.empty(*(shape or (N,)), dtype=dtype))


def addresses(count: int) -> set[int]:
    """Where so many tensors lie that are alive together."""
    return {tensor.data_ptr() for tensor in [new() for _ in range(count)]}


def test_memory_that_nobody_has_is_used_again() -> None:
    first = addresses(2)
    assert addresses(2) == first


def test_tensors_are_new_ones() -> None:
    new().zero_()
    tensor = new()
    assert tensor._version == 0
    assert not tensor._is_view()
    assert tensor.untyped_storage().nbytes() == 4 * N


@pytest.mark.parametrize(
    "hold",
    [
        lambda t: t,
        lambda t: t[1:],
        lambda t: t.detach(),
        lambda t: t.untyped_storage(),
        lambda t: t.numpy(),
        lambda t: memoryview(t.numpy()),
        torch.from_dlpack,
        torch.nn.Parameter,
        lambda t: t.requires_grad_().exp().grad_fn,
        lambda t: torch.autograd.graph.get_gradient_edge(t.requires_grad_()),
    ],
)
@pytest.mark.parametrize("before", [False, True], ids=["once", "again"])
def test_memory_that_somebody_has_is_left_alone(
    hold: Callable[[Tensor], Any], before: bool
) -> None:
    if before:
        new().untyped_storage()
    tensor = new()
    address = tensor.data_ptr()
    held = hold(tensor)
    del tensor
    assert new().data_ptr() != address
    del held


def test_memory_that_has_moved_is_nobodys() -> None:
    """Another process may read what is shared, and a resized storage has another size."""
    tensor = new()
    tensor.share_memory_()
    shared = tensor.data_ptr()
    del tensor
    assert new().data_ptr() != shared
    assert len(large._blocks) == 1  # the other is forgotten
    let_go()
    tensor = new()
    tensor.untyped_storage().resize_(8)
    del tensor
    assert new().fill_(1.0).sum() == N


def test_only_tensors_of_one_form_share_memory() -> None:
    float32, int32 = torch.float32, torch.int32
    forms = [((N,), float32), ((N,), int32), ((2, N // 2), int32), ((N // 2, 2), int32)]
    for shape, dtype in forms:
        tensor = new(*shape, dtype=dtype)
        assert (tensor.shape, tensor.dtype) == (shape, dtype)
        del tensor
        assert len(large._blocks) == 1  # the one before has been freed


def test_tensors_of_inference_mode_are_its_own() -> None:
    with torch.inference_mode():
        assert new().is_inference()
    assert not new().is_inference()


def test_no_more_is_kept_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "KEPT", 3 * LARGE)
    held = [new() for _ in range(5)]
    assert len(large._blocks) == 3
    del held
    assert len(addresses(3)) == 3
    new(N + 1)  # of another form
    assert len(large._blocks) == 1


def test_small_tensors_are_not_kept() -> None:
    new(N - 1)
    assert not large._blocks


def test_poison_comes_again() -> None:
    new().zero_()
    set_poison(True)  # as it was: all tests have it
    assert new().isnan().all()


def test_threads_share_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = list[float]()

    def switch(nobody: Callable[[], Any]) -> Any:
        """Another thread may run where it would do harm."""
        time.sleep(0.001)
        return nobody()

    def work(number: float) -> None:
        for _ in range(30):
            tensor = new().fill_(number)
            wrong.extend(tensor[tensor != number][:1].tolist())

    threads = [threading.Thread(target=work, args=(float(i),)) for i in range(3)]
    monkeypatch.setattr(large, "_nobody", partial(switch, large._nobody))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_runs_in_between_shares_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a handler of signals, in the thread that is about to take a block."""
    new()
    nobody, between = large._nobody, list[Tensor]()

    def interrupted() -> Any:
        monkeypatch.setattr(large, "_nobody", nobody)
        between.append(new())
        return nobody()

    monkeypatch.setattr(large, "_nobody", interrupted)
    tensor = new()
    assert len({tensor.data_ptr(), *(t.data_ptr() for t in between), new().data_ptr()}) == 3
    assert len(large._blocks) == 3


@needs_fork
def test_a_fork_waits_for_a_thread_that_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the child would wait for a thread that it hasn't got."""
    inside, go = threading.Event(), threading.Event()

    def wait(tensor: Tensor) -> Tensor:
        inside.set()
        go.wait(0.2)
        return tensor

    monkeypatch.setattr(large, "fresh", wait)
    thread = threading.Thread(target=new)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        os._exit(not large._lock.acquire(timeout=2))
    go.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_results_of_calls_stay_what_they_are() -> None:
    """Of inference and training, held and dropped, the next call has the same bits."""
    torch.manual_seed(0)
    layer, x = elman.GRU(3, 33, 2), torch.randn(131, 253, 3)
    with torch.no_grad():
        outputs = [layer(x + i)[0] for i in (0, 1, 0)]
        layer(x)
        again = layer(x)[0]
    assert torch.equal(outputs[0], outputs[2])
    assert torch.equal(outputs[0], again)
    assert not torch.equal(outputs[0], outputs[1])

    def gradients() -> list[Tensor]:
        output = layer(x)[0]
        return [output.detach(), *torch.autograd.grad(output.sum(), [*layer.parameters()])]

    first = gradients()
    kept = {block.address for block in large._blocks}
    second, third = gradients(), gradients()
    assert {block.address for block in large._blocks} & kept
    for some in zip(first, second, third, strict=True):
        assert torch.equal(some[0], some[1])
        assert torch.equal(some[0], some[2])
