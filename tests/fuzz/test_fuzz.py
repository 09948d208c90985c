"""elman's layers against torch.nn's in float64, in any scenario.

A short run is part of the suite; ``make fuzz CASES=5000`` runs that many random scenarios.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import event, given, settings

import elman
from elman.batch import LayerArgs
from elman.dispatch.layer import recur
from elman.nn import cached, stack
from tests.fuzz.play import check
from tests.fuzz.scenario import Scenario, scenarios

CASES = os.environ.get("FUZZ_CASES")


# Torch warns, once in a process, of a gradient's strides, even of an empty one's.
@pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout contract")
@settings(max_examples=int(CASES or 250), derandomize=not CASES)
@given(scenario=scenarios())
def test_any_scenario_is_torchs(scenario: Scenario) -> None:
    outcome = check(scenario)
    event(f"{outcome.stage}: {type(outcome.error).__name__}")  # for --hypothesis-show-statistics


def test_a_scenario_is_shown_as_the_code_that_makes_it() -> None:
    assert repr(Scenario()) == "Scenario()"
    scenario = Scenario(lengths=(3, 1), frozen=("input",), fault=("h", "wider"), dtype="float32")
    assert eval(repr(scenario)) == scenario


def with_states(change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda step, rows, x, initial, *rest: recur(step, rows, x, change(initial), *rest)


def with_results(change: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda *arguments: change(*recur(*arguments))


def changed(states: Any) -> Any:
    for h in states:
        h.data[0, 0, 0] += 1e-9
    return states


def on_the_reference(*arguments: Any) -> Any:
    with elman.set_path("reference"):
        return recur(*arguments)


def with_a_random_number(*arguments: Any) -> Any:
    torch.rand(1)
    return recur(*arguments)


#: What might be wrong with elman, put in the place of the function that runs one layer.
WRONG: dict[str, Callable[..., Any]] = {
    "a number": with_results(lambda o, f: (o + 1e-12, f)),
    "no gradient of the state": with_states(lambda given: [h.detach() for h in given]),
    "a wrong gradient of the state": with_states(lambda given: [2 * h - h.detach() for h in given]),
    "no gradient": with_results(lambda o, f: (o.detach(), f)),
    "the output is the state's memory": with_results(lambda o, f: (o, [o[-1:]])),
    "strides": with_results(lambda o, f: (o.transpose(0, 1).contiguous().transpose(0, 1), f)),
    "a changed argument": with_states(changed),
    "an exception": with_results(lambda o, f: o.view(-1, 999)),
    "the path": on_the_reference,
    "random numbers": with_a_random_number,
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_seen(wrong: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario(states="plain", changed=("output",))
    check(scenario)

    def layer(step: Any, rows: Any, tensors: Any, *_: Any) -> Any:
        given = LayerArgs.of(step, tensors)
        output, final = wrong(step, rows, given.x, given.initial, given.weights, given.inputs)
        return [output, *final], None

    def run(executable: Any, rows: Any, tensors: Any, *_: Any) -> Any:
        return layer(executable.step, rows, tensors)[0]

    monkeypatch.setattr(stack, "run_layer", layer)
    monkeypatch.setattr(cached, "run", run)
    with pytest.raises(AssertionError):
        check(scenario)
