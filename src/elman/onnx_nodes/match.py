"""Which of ONNX's operators computes a formula, if one does.

Each operator, with each choice of the attributes that change its formula, is a pattern: a cell of
:mod:`.cells` whose activations are left open and whose numbers are unknown. A pattern is compared
with the formula's graph, node by node; how sums and products are ordered is of no account.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..expr import Node, node
from ..functions import clamp, hardsigmoid
from ..step import Step
from .cells import FUNCTIONS, GRU, LSTM, RNN, Activation, Operator


class Found(NamedTuple):
    """An operator that computes a formula: as a cell, and by that one's names those of the formula.

    ``inputs`` and ``products`` are the gates as rows of ``weight_ih`` and of ``weight_hh``.
    """

    cell: Operator
    inputs: dict[str, str]
    products: dict[str, str]
    vectors: dict[str, str]


#: What is known of a pattern's nodes, names and activations in a formula.
_Known = Mapping[Any, Any]

_OPTIONS: list[tuple[Any, dict[str, bool]]] = [
    (RNN, {}),
    *((GRU, {"linear_before_reset": after}) for after in (True, False)),
    *(
        (LSTM, {"peepholes": seeing, "input_forget": coupled})
        for seeing, coupled in itertools.product((False, True), repeat=2)
    ),
]

#: Functions that are an activation of ONNX with certain numbers, but written otherwise.
_ALIKE: list[tuple[Activation, Callable[[Any], Any]]] = [
    (("HardSigmoid", 1 / 6, 0.5), hardsigmoid),
    (("Affine", 1.0, 0.0), lambda value: value),
]


def find(step: Step) -> Found | None:
    """The operator that computes a formula; None if there is none."""
    if step.heads > 1:
        return None
    for (kind, options), limited in itertools.product(_OPTIONS, (False, True)):
        pattern = _pattern(kind, limited, **options)
        if _counts(pattern) != _counts(step):
            continue
        states = zip(pattern.states, step.states, strict=True)
        begin = {("state", mine): theirs for mine, theirs in states}
        for known in _each(pattern.new, step.new, begin):
            clip = _number(known, "high") if limited else None
            if clip is not None and not 0 < clip == -_number(known, "low"):
                continue
            activations = tuple(known["activation", i] for i in range(len(kind.usual)))
            cell = kind(activations, clip, **options)
            return Found(cell, *(_names(known, op) for op in ("x", "product", "vector")))
    return None


def _counts(step: Step) -> tuple[int, int]:
    """How many states there are, and how much of what only some of the operators have."""
    return len(step.states), len([*step.vectors, *step.inputs, *step.matrices])


@functools.cache
def _pattern(kind: Any, limited: bool, **options: bool) -> Step:
    """The formula of an operator, whose activations and numbers are open."""

    class Open(kind):
        def act(self, place: int, value: Any) -> Any:
            if limited:
                value = clamp(value, _unknown("low"), _unknown("high"))
            return self.function(place, value)

        def function(self, place: int, value: Any) -> Any:
            return node("activation", value, attr=place)

    return Open(**options).trace()


def _unknown(*name: Any) -> Node:
    return node("unknown", attr=name)


def _number(known: _Known, *name: Any) -> float:
    return float.fromhex(known[_unknown(*name)].attr)


def _names(known: _Known, op: str) -> dict[str, str]:
    return {k[1]: v for k, v in known.items() if isinstance(k, tuple) and k[0] == op}


def _match(pattern: Node, target: Node, known: _Known) -> Iterator[_Known]:
    """All that can be known if a node of a formula is what the pattern says."""
    if pattern in known:
        if known[pattern] is target:
            yield known
        return
    for more in _inside(pattern, target, known):
        yield {**more, pattern: target}


def _each(patterns: Sequence[Node], targets: Sequence[Node], known: _Known) -> Iterator[_Known]:
    """The same of several nodes."""
    if not patterns:
        yield known
        return
    for more in _match(patterns[0], targets[0], known):
        yield from _each(patterns[1:], targets[1:], more)


def _inside(pattern: Node, target: Node, known: _Known) -> Iterator[_Known]:
    if pattern.op == "activation":
        yield from _activation(pattern, target, known)
    elif pattern.op == "unknown":
        if target.op == "const":
            yield known
    elif pattern.op != target.op or pattern.space != target.space:
        return
    elif pattern.op in ("add", "mul"):
        mine, theirs = _operands(pattern), _operands(target)
        if len(mine) == len(theirs):
            for order in itertools.permutations(theirs):
                yield from _each(mine, order, known)
    elif pattern.op == "const":
        if pattern is target:
            yield known
    elif pattern.attr is None:
        yield from _each(pattern.args, target.args, known)
    else:  # what is read has a name, which differs
        kind = "product" if pattern.op == "bias" else pattern.op
        name = known.get((kind, pattern.attr), target.attr)
        if name == target.attr:
            yield from _each(pattern.args, target.args, {**known, (kind, pattern.attr): name})


def _activation(pattern: Node, target: Node, known: _Known) -> Iterator[_Known]:
    """An activation that is open, as each of ONNX's: with numbers that are unknown, or certain."""
    place, (value,) = pattern.attr, pattern.args
    alpha, beta = _unknown("alpha", place), _unknown("beta", place)
    for name, row in FUNCTIONS.items():
        for more in _match(row.formula(value, alpha, beta), target, known):
            a = None if row.alpha is None else _number(more, "alpha", place)
            b = None if row.beta is None else _number(more, "beta", place)
            yield from _agreed(place, (name, a, b), more)
    for certain, formula in _ALIKE:
        for more in _match(formula(value), target, known):
            yield from _agreed(place, certain, more)


def _agreed(place: int, found: Activation, known: _Known) -> Iterator[_Known]:
    """What is known if all that is in one place is one activation."""
    if known.get(("activation", place), found) == found:
        yield {**known, ("activation", place): found}


def _operands(value: Node) -> list[Node]:
    """The terms of a sum of sums, or the two factors of a product."""
    if value.op == "mul":
        return [*value.args]
    return [t for a in value.args for t in (_operands(a) if a.op == "add" else [a])]
