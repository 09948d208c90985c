"""Wrong registrations, and conversions that fail: nothing has changed then."""

import copy
import re
from typing import Any

import pytest
import torch

import elman
from tests.nn.theirs import Ours, Theirs

pytestmark = pytest.mark.usefixtures("own_table")


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
