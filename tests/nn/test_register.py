"""Layers of other kinds, which ``elman.register`` says what becomes of."""

import copy
import pickle
import re
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrizations, parametrize

import elman
from elman.nn import conversions


@pytest.fixture(autouse=True)
def _own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("_BY_CLASS", "_BY_NAME"):
        monkeypatch.setattr(conversions, table, dict(getattr(conversions, table)))


class Theirs(torch.nn.Module):
    """A library's recurrent layer: weights transposed, one bias, the batch first."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.w = torch.nn.Parameter(torch.randn(features, 2 * units) / 3)
        self.u = torch.nn.Parameter(torch.randn(2 * units, units) / 3)
        self.b = torch.nn.Parameter(torch.randn(2 * units))

    def forward(self, x: torch.Tensor, h: Any = None) -> torch.Tensor:
        h = x.new_zeros(len(x), self.units) if h is None else h
        outputs = []
        for x_t in (x @ self.w + self.b).unbind(1):
            h = self.one(x_t, h)
            outputs.append(h)
        return torch.stack(outputs, 1)

    def one(self, x_t: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        z, n = (x_t + h @ self.u.t()).chunk(2, -1)
        z = torch.sigmoid(z)
        return (1 - z) * torch.tanh(n) + z * h


class Formula(elman.Cell):
    gates = ("z", "n")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = elman.sigmoid(x.z + u.z)
        return (1 - z) * elman.tanh(x.n + u.n) + z * s.h


class Ours(torch.nn.Module):
    """Another module in its place, with weights of its own."""

    def __init__(self, theirs: Theirs) -> None:
        super().__init__()
        width, units = theirs.w.shape[0], theirs.units
        self.layer = elman.Recurrent(Formula, width, units, batch_first=True, dtype=theirs.w.dtype)
        with torch.no_grad():
            self.layer.weight_ih_l0.copy_(theirs.w.t())
            self.layer.weight_hh_l0.copy_(theirs.u)
            self.layer.bias_ih_l0.copy_(theirs.b)
            self.layer.bias_hh_l0.zero_()

    def forward(self, x: torch.Tensor, h: Any = None) -> torch.Tensor:
        output: torch.Tensor = self.layer(x, None if h is None else h[None])[0]
        return output


class Sharing(Ours):
    """The same with the parameters of the original themselves, where the form is the same."""

    def __init__(self, theirs: Theirs) -> None:
        super().__init__(theirs)
        self.layer.weight_hh_l0, self.layer.bias_ih_l0 = theirs.u, theirs.b


class Inside(Theirs):
    """Theirs, with another loop."""

    def forward(self, x: torch.Tensor, h: Any = None) -> torch.Tensor:
        layer = Ours(self)
        held = {"layer.weight_ih_l0": self.w.t(), "layer.weight_hh_l0": self.u}
        held |= {"layer.bias_ih_l0": self.b}
        return torch.func.functional_call(layer, held, (x, h))


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Theirs(3, 4)
        self.rest = torch.nn.ModuleList([Theirs(4, 4), torch.nn.LSTM(4, 2, batch_first=True)])
        self.again = self.rest[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.again(self.rest[0](self.first(x)))
        output: torch.Tensor = self.rest[1](x)[0]
        return output


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


class Around(torch.nn.Module):
    """It keeps the original, and calls it."""

    def __init__(self, theirs: Theirs) -> None:
        super().__init__()
        self.theirs = theirs

    def forward(self, *args: Any) -> Any:
        return self.theirs(*args)


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


class Stacked(torch.nn.Module):
    """All weights in one."""

    def __init__(self, theirs: Theirs) -> None:
        super().__init__()
        held = [p.detach().flatten() for p in theirs.parameters()]
        self.all = torch.nn.Parameter(torch.cat([torch.ones(2), *held]))


class Narrow(Ours):
    def __init__(self, theirs: Theirs) -> None:
        super().__init__(copy.deepcopy(theirs).float())


def _raises(theirs: Theirs) -> Any:
    raise KeyError("no such layer")


def _changes_nothing(model: torch.nn.Module, error: type[Exception], text: str) -> None:
    before = {n: (type(m), id(m)) for n, m in model.named_modules()}
    rows = {row.name: row for row in elman.explain(model).layers}
    assert re.search(text, rows["1.last"].reason)
    assert rows["1.last"].reason.startswith(f"elman.accelerate raises {error.__name__}: ")
    with pytest.raises(error, match=rf"^accelerate: 1\.last: .*{text}"):
        elman.accelerate(model)
    assert {n: (type(m), id(m)) for n, m in model.named_modules()} == before


def _late(module: Theirs) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.LSTM(3, 3), torch.nn.ModuleDict({"last": module}))


@pytest.mark.parametrize(
    ("convert", "error", "text"),
    [
        (_raises, RuntimeError, "registered for Theirs raised KeyError: 'no such layer'"),
        (lambda _: 3, TypeError, "has to return a subclass of it"),
        (Narrow, ValueError, "expected torch.float64 on cpu, got torch.float32 on cpu"),
    ],
)
def test_nothing_changes_if_a_conversion_fails(
    convert: Any, error: type[Exception], text: str
) -> None:
    elman.register(Theirs, convert)
    _changes_nothing(_late(Theirs(3, 3).double()), error, text)


def test_frozen_and_other_weights_cannot_become_one() -> None:
    elman.register(Theirs, Stacked)
    module = Theirs(3, 3)
    module.b.requires_grad_(False)
    _changes_nothing(_late(module), ValueError, "joins weights that require a gradient .* in all:")
    for p in module.parameters():
        p.requires_grad_(False)
    ours = elman.accelerate(module)
    assert not ours.all.requires_grad
    ours.all.data += 1
    wanted = ours.all[2:].clone()
    restored = torch.cat([p.flatten() for p in elman.restore(ours).parameters()])
    assert torch.equal(restored, wanted)


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


class Summed(Ours):
    """It adds two weights up, which cannot be taken apart again."""

    def __init__(self, theirs: Theirs) -> None:
        super().__init__(theirs)
        with torch.no_grad():
            self.layer.bias_ih_l0.add_(theirs.b)


def test_a_weight_that_could_not_be_given_back_is_an_error() -> None:
    elman.register(Theirs, Summed)
    model = torch.nn.Sequential(Theirs(3, 4))
    with pytest.raises(ValueError, match=r"registered for Theirs has to keep.*not found: b\."):
        elman.accelerate(model)
    assert type(model[0]) is Theirs


@pytest.mark.parametrize("wrong", [3, torch.nn.Linear, Theirs, "itself"])
def test_a_wrong_answer_is_an_error(wrong: Any) -> None:
    if wrong == "itself":
        elman.register(Theirs, lambda module: module)
    else:
        elman.register(Theirs, lambda _: wrong)
    with pytest.raises(TypeError, match="has to return a subclass of it"):
        elman.accelerate(Theirs(3, 4))


@pytest.mark.parametrize(
    ("cls", "convert", "error", "text"),
    [
        (3, Ours, TypeError, "expected a subclass of torch.nn.Module, or the full name"),
        (int, Ours, TypeError, "expected a subclass of torch.nn.Module"),
        (Theirs, 3, TypeError, "expected convert to be a function"),
        (torch.nn.LSTM, Ours, ValueError, "expected another library's class"),
        (elman.LSTM, Ours, ValueError, "expected another library's class"),
        (elman.Recurrent, Ours, ValueError, "expected another library's class"),
    ],
)
def test_wrong_registrations(cls: Any, convert: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        elman.register(cls, convert)


def test_restoring_without_the_conversion_says_what_is_missing() -> None:
    elman.register(Theirs, Ours)
    model = elman.accelerate(torch.nn.Sequential(Theirs(3, 4)))
    elman.register(Theirs, None)
    with pytest.raises(RuntimeError, match=r"call elman\.register as before"):
        elman.restore(model)
