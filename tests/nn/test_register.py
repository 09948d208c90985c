"""Layers of other kinds, which ``elman.register`` says what becomes of."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrizations, parametrize

import elman
from tests.nn.theirs import Inside, Model, Ours, Sharing, Theirs

pytestmark = pytest.mark.usefixtures("own_table")


@pytest.mark.parametrize("convert", [Ours, Sharing, lambda _: Inside], ids=["own", "some", "class"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_are_taken_trained_and_given_back(convert: Any, dtype: torch.dtype) -> None:
    elman.register(Theirs, convert)
    model = Model().to(dtype).eval()
    twin = copy.deepcopy(model)
    x = torch.randn(2, 5, 3, dtype=dtype)
    assert elman.accelerate(model) is model
    assert elman.accelerate(model) is model
    assert model.again is model.rest[0]
    assert type(model.first) is not Theirs
    tolerance = 1e-5 if dtype is torch.float32 else 1e-12
    with elman.set_path("kernel"):
        torch.testing.assert_close(model(x), twin(x), rtol=tolerance, atol=tolerance)
    for trained in (model.train(), twin.train()):
        step = torch.optim.SGD(trained.parameters(), 0.1)
        trained(x).pow(2).sum().backward()
        step.step()
    assert elman.restore(model) is model
    assert type(model.first) is Theirs
    assert model.again is model.rest[0]
    assert model.first.training
    assert list(model.state_dict()) == list(twin.state_dict())
    for (name, mine), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance, msg=name)


def test_a_changed_class_keeps_parameters_hooks_and_checkpoints() -> None:
    elman.register(Theirs, lambda _: Inside)
    module, seen = Theirs(3, 4), []
    hook = module.register_forward_hook(lambda *_: seen.append(1))
    before = [(n, id(p)) for n, p in module.named_parameters()]
    elman.accelerate(module)(torch.randn(1, 2, 3))
    assert seen == [1]
    assert isinstance(module, Theirs)
    assert [(n, id(p)) for n, p in module.named_parameters()] == before
    Theirs(3, 4).load_state_dict(module.state_dict())
    hook.remove()
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert type(other) is Inside
        assert type(elman.restore(other)) is Theirs


def test_a_changed_class_is_given_back_where_it_has_been_parametrized() -> None:
    elman.register(Theirs, lambda _: Inside)
    before, after = Theirs(3, 4), Theirs(3, 4)
    parametrizations.weight_norm(before, "w")
    assert type(elman.accelerate(before)) is type(before)
    (row,) = elman.explain(before).layers
    assert row.reason.startswith("elman.accelerate leaves it: it is parametrized: call elman.acc")
    x = torch.randn(2, 5, 3)
    wanted = after(x)
    parametrizations.weight_norm(elman.accelerate(after), "w")
    assert isinstance(after, Inside)
    for module in (copy.deepcopy(after), after):
        elman.restore(module)
        assert type(module).__mro__[1] is Theirs
        torch.testing.assert_close(module(x), wanted)
    parametrize.remove_parametrizations(after, "w")
    assert type(after) is Theirs


def test_a_replaced_module_is_given_back_from_a_pickle_in_another_dtype() -> None:
    elman.register(Theirs, Ours)
    model = elman.accelerate(torch.nn.Sequential(Theirs(3, 4)))
    model[0].layer.weight_ih_l0.data.fill_(0.5)
    other = elman.restore(pickle.loads(pickle.dumps(model)).double())
    assert type(other[0]) is Theirs
    assert other[0].w.dtype == torch.float64
    assert other[0].w.eq(0.5).all()
    assert model[0].layer.weight_ih_l0.dtype == torch.float32


def test_what_is_made_within_a_context_is_taken() -> None:
    elman.register(Theirs, lambda _: Inside)
    with elman.accelerated():
        assert type(Theirs(3, 4)) is Inside
    elman.register(Theirs, Ours)
    with elman.accelerated():
        model = Model()
    assert type(model.first) is type(model.again) is Ours
    assert type(Theirs(3, 4)) is Theirs
    assert model(torch.randn(2, 5, 3)).shape == (2, 5, 2)


def test_a_root_that_is_replaced_is_returned() -> None:
    elman.register(Theirs, Ours)
    module = Theirs(3, 4)
    ours = elman.accelerate(module)
    assert type(ours) is Ours
    assert elman.restore(ours) is module


@pytest.mark.parametrize("name", ["class", "full name"])
@pytest.mark.parametrize("last", [None, "it has no kernel", "removed"])
def test_what_a_conversion_leaves_is_left(name: str, last: Any) -> None:
    key: Any = Theirs if name == "class" else f"{Theirs.__module__}.Theirs"
    elman.register(key, Ours)
    (row,) = elman.explain(Theirs(3, 4)).layers
    assert (row.path, row.reason) == ("other", "elman.accelerate, which takes it, was not called")
    elman.register(key, None if last == "removed" else lambda _: last)
    module = Theirs(3, 4)
    assert elman.accelerate(module) is module
    assert type(module) is Theirs
    if last != "removed":
        (row,) = elman.explain(module).layers
        expected = last or "the conversion that is registered for Theirs leaves it"
        assert row.reason == f"elman.accelerate leaves it: {expected}"


@pytest.mark.parametrize("convert", [Ours, Sharing])
@pytest.mark.parametrize("way", ["one call", "two calls", "within"])
def test_what_stands_in_two_places_stays_one(convert: Any, way: str) -> None:
    elman.register(Theirs, convert)
    if way == "within":
        with elman.accelerated():
            shared = Theirs(3, 3)
            parts = [torch.nn.Sequential(shared), torch.nn.Sequential(shared)]
    else:
        shared = Theirs(3, 3)
        parts = [torch.nn.Sequential(shared), torch.nn.Sequential(shared)]
        for part in [torch.nn.ModuleList(parts)] if way == "one call" else parts:
            elman.accelerate(part)
    assert type(parts[0][0]) is convert
    assert parts[0][0] is parts[1][0]
    for part in parts:
        assert elman.restore(part)[0] is shared
