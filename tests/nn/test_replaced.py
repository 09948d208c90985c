"""A module in another's place: hooks, frozen weights, dtypes, and what is converted anew."""

import copy
from typing import Any

import pytest
import torch

import elman
from tests.nn.theirs import Around, Ours, Sharing, Theirs

pytestmark = pytest.mark.usefixtures("own_table")


def test_a_module_around_the_original_stays_around_it() -> None:
    elman.register(Theirs, Around)
    seen: list[int] = []
    original = Theirs(3, 4)
    original.register_forward_hook(lambda *_: seen.append(1))
    model = torch.nn.ModuleDict({"a": original})
    elman.accelerate(elman.accelerate(model))
    around = model["a"]
    model["b"] = original
    elman.accelerate(model)
    with elman.accelerated():
        model["c"] = around
    assert model["a"] is model["b"] is model["c"] is around
    assert around.theirs is original
    model["a"](torch.randn(2, 5, 3))
    assert seen == [1]
    assert elman.restore(model)["a"] is model["b"] is model["c"] is original


@pytest.mark.parametrize("convert", [Ours, Sharing, Around])
def test_what_has_been_given_back_is_converted_anew(convert: Any) -> None:
    elman.register(Theirs, convert)
    module = Theirs(3, 4)
    first = elman.accelerate(module)
    assert first.training
    assert elman.restore(first) is module
    second = elman.accelerate(module.eval())
    assert not second.training
    assert second is not first
    assert elman.restore(second) is module


def test_what_changed_since_it_was_replaced_is_converted_anew() -> None:
    elman.register(Theirs, Ours)
    shared, x = Theirs(3, 3), torch.randn(2, 4, 3)
    first = elman.accelerate(torch.nn.Sequential(shared))
    with torch.no_grad():
        shared.w.mul_(2)
    second = elman.accelerate(torch.nn.Sequential(shared))
    torch.testing.assert_close(second(x), shared(x))
    assert first[0] is not second[0]
    elman.register(Theirs, Sharing)
    assert type(elman.accelerate(torch.nn.Sequential(shared))[0]) is Sharing


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("convert", [Ours, Sharing])
def test_a_module_in_anothers_place_has_its_hooks(convert: Any) -> None:
    elman.register(Theirs, convert)
    seen: list[str] = []
    module = Theirs(3, 4)
    handles = [
        module.register_forward_pre_hook(lambda *_: seen.append("before")),
        module.register_forward_hook(lambda *_, **__: seen.append("after"), with_kwargs=True),
        module.register_full_backward_hook(lambda *_: seen.append("backward")),
        module.register_full_backward_pre_hook(lambda *_: seen.append("back")),
    ]
    model, x = torch.nn.Sequential(module), torch.randn(2, 5, 3)

    def calls() -> list[str]:
        seen.clear()
        model(x).sum().backward()
        return [*seen]

    expected = calls()
    assert len(expected) == 4
    elman.accelerate(model)
    assert calls() == expected
    copied = copy.deepcopy(model)
    late = model[0].register_forward_hook(lambda *_: seen.append("late"))
    elman.restore(model)
    assert "late" in calls()
    elman.accelerate(model)
    for handle in (*handles, late):
        handle.remove()
    assert calls() == []
    seen.clear()
    copied(x).sum().backward()
    assert seen == expected


@pytest.mark.parametrize("convert", [Ours, Sharing])
@pytest.mark.parametrize("frozen", [("w",), ("u", "b"), ("w", "u", "b"), ()], ids=str)
def test_frozen_weights_stay_frozen(convert: Any, frozen: tuple[str, ...]) -> None:
    elman.register(Theirs, convert)
    module = Theirs(3, 4)
    for name in frozen:
        getattr(module, name).requires_grad_(False)
    ours = elman.accelerate(module)
    found = {n: p.requires_grad for n, p in ours.layer.named_parameters()}
    names = {"weight_ih_l0": "w", "weight_hh_l0": "u", "bias_ih_l0": "b"}
    assert {names[n]: trains for n, trains in found.items() if n in names} == {
        n: n not in frozen for n in ("w", "u", "b")
    }
    assert found["bias_hh_l0"] == (len(frozen) < 3)
    assert [n for n, p in elman.restore(ours).named_parameters() if not p.requires_grad] == [
        *frozen
    ]


def test_what_is_frozen_afterwards_is_given_back_frozen() -> None:
    elman.register(Theirs, Ours)
    module = Theirs(3, 4)
    module.b.requires_grad_(False)
    layer = elman.accelerate(torch.nn.Sequential(module))
    layer[0].layer.weight_hh_l0.requires_grad_(False)
    layer[0].layer.bias_ih_l0.requires_grad_(True)
    found = {n: p.requires_grad for n, p in elman.restore(layer)[0].named_parameters()}
    assert found == {"w": True, "u": False, "b": True}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_stay(dtype: torch.dtype) -> None:
    elman.register(Theirs, Ours)
    model = torch.nn.Sequential(Theirs(3, 4).to(dtype))
    before = [p.clone() for p in model.parameters()]
    elman.accelerate(model)
    assert {p.dtype for p in model.parameters()} == {dtype}
    for was, now in zip(before, elman.restore(model).parameters(), strict=True):
        assert torch.equal(was, now)
        assert now.dtype is dtype
