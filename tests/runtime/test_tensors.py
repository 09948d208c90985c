"""New tensors, and whether tensors are like others."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from elman.runtime.memory import set_poison
from elman.runtime.tensors import TensorGuard, TensorSpecs, spec_of

Tensors = list[Any]


def three() -> Tensors:
    return [torch.ones(3, 2), None, torch.nn.Parameter(torch.ones(2))]


def instead(index: int, make: Callable[[Tensor], Any]) -> Callable[[Tensors], Tensors]:
    return lambda ts: [make(t) if i == index else t for i, t in enumerate(ts)]


#: What makes other tensors of them.
CHANGES: dict[str, Callable[[Tensors], Tensors]] = {
    "rows": instead(0, lambda t: torch.ones(4, 2)),
    "dimensions": instead(0, lambda t: t[None]),
    "strides": instead(0, lambda t: torch.ones(2, 3).t()),
    "dtype": instead(0, Tensor.double),
    "type": instead(0, torch.nn.Parameter),
    "gradient": instead(0, lambda t: t.clone().requires_grad_()),
    "device": instead(0, lambda t: t.to("meta")),
    "negative": instead(0, Tensor._neg_view),
    "all zeros": instead(0, lambda t: torch._efficientzerotensor(t.shape)),
    "sparse": instead(0, Tensor.to_sparse),
    "nested": instead(0, lambda t: torch.nested.as_nested_tensor([t, t])),
    "nothing": instead(0, lambda t: None),
    "something": instead(1, lambda t: torch.ones(2)),
    "no tensor": instead(2, lambda t: [1.0, 1.0]),
    "changed data": instead(2, lambda t: setattr(t, "data", torch.ones(4)[::2]) or t),
    "inference": instead(0, lambda t: torch.inference_mode()(torch.ones)(3, 2)),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_kernels_and_checks_depend_on_counts(change: Callable[[Tensors], Tensors]) -> None:
    guard = TensorGuard(three())
    assert guard.matches(three())
    assert not guard.matches(change(three()))


def test_memory_and_values_do_not_count() -> None:
    tensors = three()
    guard = TensorGuard(tensors)
    with torch.no_grad():
        tensors[2].mul_(2).data = torch.zeros(2)
        assert guard.matches(tensors)
    assert guard.matches([torch.zeros(9)[3:].view(3, 2), *tensors[1:]])


def test_a_tensor_in_two_places_is_like_another_in_both() -> None:
    one, other = torch.ones(2), torch.zeros(2)
    twice = TensorGuard([one, torch.ones(3), one])
    assert twice.matches([other, torch.ones(3), other])
    assert not twice.matches([one, torch.ones(3), other])
    assert not TensorGuard([one, torch.ones(3), other]).matches([one, torch.ones(3), one])


def test_a_tensor_alone_is_not_taken_for_its_rows() -> None:
    one, wide = torch.ones(2, 2), torch.ones(2, 4)[:, :2]
    assert TensorGuard([None, one, one]).matches([None, one, one])
    assert not TensorGuard([None, one, one]).matches([None, wide, wide])


@pytest.mark.filterwarnings("ignore")  # torch.jit.trace is deprecated
def test_others_who_follow_operations_are_noticed() -> None:
    class Mode(TorchDispatchMode):
        pass

    def look(x: Tensor) -> Tensor:
        seen.append(guard.matches(tensors))
        return x

    tensors, seen = three(), list[bool]()
    guard = TensorGuard(tensors)
    with Mode():
        look(tensors[0])
    torch.func.grad(lambda x: look(x).sum())(torch.ones(1))
    torch.func.vmap(look)(torch.ones(1, 1))
    torch.jit.trace(look, torch.ones(1), check_trace=False)
    with torch.autocast("cpu", torch.bfloat16):
        look(tensors[0])
    assert seen == [False] * 5
    assert guard.matches(tensors)


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 0), (1,), (4, 1, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_new_tensors_are_torchs_contiguous_ones(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    expected = torch.empty(shape, dtype=dtype)
    nothing, found = TensorSpecs([None, spec_of(shape, dtype)]).new()
    assert nothing is None
    assert (found.shape, found.stride(), found.dtype) == (shape, expected.stride(), dtype)
    assert type(found) is Tensor
    assert not found.requires_grad


@pytest.mark.parametrize("on", [False, True])
def test_new_tensors_are_poisoned_as_scratch_memory_is(on: bool) -> None:
    set_poison(on)
    try:
        made = [TensorSpecs([spec_of((1000,), torch.float32)]).new()[0].zero_() for _ in range(2)]
        del made[:]  # what is new then was zero
        (new,) = TensorSpecs([spec_of((1000,), torch.float32)]).new()
        assert bool(new.isnan().all()) == on
        assert new._version == 0
    finally:
        set_poison(True)


def test_new_tensors_of_inference_mode_are_its_own() -> None:
    with torch.inference_mode():
        (new,) = TensorSpecs([spec_of((2,), torch.float32)]).new()
    assert new.is_inference()
