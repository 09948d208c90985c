"""Steps whose new states are affine in the states before, unit by unit.

Such a state is a sum of states, each times a factor, and a term. None of these reads a state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..expr import Node, constant, format_node, walk, where
from ..step import Step

#: To multiply two matrices of the factors of n states takes n ** 3 products.
MOST_STATES = 8
_ONE, _ZERO = constant(1.0), constant(0.0)


class Affine(NamedTuple):
    """A value as its factors, by state, and its term."""

    factors: Mapping[str, Node]
    term: Node

    def each(self, change: Callable[[Node], Node]) -> Affine:
        """The same of changed parts; zeros stay."""
        found = {s: f if f is _ZERO else change(f) for s, f in self.factors.items()}
        return Affine(found, self.term if self.term is _ZERO else change(self.term))


@functools.lru_cache(maxsize=256)
def affine(step: Step) -> tuple[dict[str, Affine], str]:
    """The new values of those states that the step reads; why there are none, in words, if one of
    them is not affine."""
    reads = {n for n in walk([*step.new, *step.full.outputs.values()]) if n.op == "state"}
    names = {n.attr for n in reads}
    new = {s: n for s, n in zip(step.states, step.new, strict=True) if s in names}
    parts: dict[Node, Affine] = {}
    for current in walk(new.values()):
        given = [parts[a] for a in current.args]
        if current.op == "state":
            parts[current] = Affine({current.attr: _ONE}, _ZERO)
        elif not any(a.factors for a in given):
            parts[current] = Affine({}, current)
        else:
            found = _RULES.get(current.op, _none)(*given)
            if found is None:
                return {}, f"{format_node(current)} is not affine in the states"
            parts[current] = found
    if len({step.space(name) for name in new}) > 1:
        return {}, "states differ in size"
    if len(new) > MOST_STATES:
        return {}, f"more than {MOST_STATES} states are read"
    return {name: parts[value] for name, value in new.items()}, ""


def _none(*_: Affine) -> Affine | None:
    """What becomes of an operation that is not affine."""
    return None


def _sum(a: Affine, b: Affine) -> Affine:
    def add(one: Node, other: Node) -> Node:
        return other if one is _ZERO else one if other is _ZERO else one + other

    return Affine(_joined(add, a, b), add(a.term, b.term))


def _joined(join: Callable[[Node, Node], Node], a: Affine, b: Affine) -> Mapping[str, Node]:
    states = dict.fromkeys([*a.factors, *b.factors])
    return {s: join(a.factors.get(s, _ZERO), b.factors.get(s, _ZERO)) for s in states}


def _negative(a: Affine) -> Affine:
    return a.each(lambda part: -part)


def _product(a: Affine, b: Affine) -> Affine | None:
    if a.factors and b.factors:
        return None
    one, by = (a, b.term) if a.factors else (b, a.term)
    return one.each(lambda part: by if part is _ONE else part * by)


def _quotient(a: Affine, b: Affine) -> Affine | None:
    return None if b.factors else a.each(lambda part: part / b.term)


def _choice(condition: Affine, a: Affine, b: Affine) -> Affine:
    def choose(one: Node, other: Node) -> Node:
        return where(condition.term, one, other)

    return Affine(_joined(choose, a, b), choose(a.term, b.term))


#: By operation, what becomes of arguments of which one has factors. (A comparison of such has no
#: rule, so a condition has none.)
_RULES: Mapping[str, Callable[..., Affine | None]] = {
    "add": _sum,
    "sub": lambda a, b: _sum(a, _negative(b)),
    "neg": _negative,
    "mul": _product,
    "div": _quotient,
    "where": _choice,
}
