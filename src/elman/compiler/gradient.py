"""Reverse mode on the graph of one step: from a step to the step of its backward pass."""

from __future__ import annotations

from dataclasses import dataclass

from ..expr import PRIMITIVES, PRODUCTS, Node, constant, node, walk
from ..reductions import REDUCTIONS, heads_of, reduce
from ..spaces import ONE, Space
from ..step import Step


@dataclass(frozen=True)
class Backward:
    """The gradient of one step, as nodes over the values of the step itself.

    The leaves ``carry.state`` and ``gout.state`` are the gradient that arrives at a new state
    from the following step and from the caller. ``state`` holds what is handed to the
    preceding step, ``input`` what goes to the further inputs.
    """

    state: dict[str, Node]
    input: dict[str, Node]
    raw: dict[Space, Node]  # what goes to the input itself, read as values of a space
    weights: dict[Node, Node]  # of what reads a parameter: a leaf, or the result of a product

    @property
    def x(self) -> dict[str, Node]:
        """By gate: what goes to its projected input."""
        return {leaf.attr: g for leaf, g in self.weights.items() if leaf.op == "x"}


def differentiate(step: Step) -> Backward:
    """The gradient of a step."""
    gradients: dict[Node, Node] = {}

    def give(target: Node, gradient: Node) -> None:
        if target.space is ONE and gradient.space is not ONE:  # which all units have read
            gradient = reduce("sum", gradient)
        known = gradients.get(target)
        gradients[target] = gradient if known is None else known + gradient

    def arrives(kind: str, name: str) -> Node:
        return node(kind, attr=name, space=step.space(name))

    for name, new in zip(step.states, step.new, strict=True):
        carry = arrives("carry", name)
        give(new, carry + arrives("gout", name) if name in step.outputs else carry)
    for name, value in step.outputs.items():
        if name not in step.states:
            give(value, arrives("gout", name))
    for current in reversed(list(walk([*step.new, *step.outputs.values()]))):
        gradient = gradients.get(current)
        if gradient is None:
            continue
        if current.op in PRODUCTS:
            operand, back = current.args[0], PRODUCTS[current.op == "product"]
            give(operand, node(back, gradient, attr=current.attr, space=operand.space))
        elif current.op in REDUCTIONS:
            if current.attr:  # all units of a head have read it
                gradient = reduce("sum", gradient, heads=heads_of(current))
            of_units = REDUCTIONS[current.op].derivative(gradient, current, *current.args)
            give(current.args[0], of_units)
        elif current.op in PRIMITIVES:
            rule = PRIMITIVES[current.op].derivative
            for argument, part in zip(
                current.args, rule(gradient, current, *current.args), strict=True
            ):
                if part is not None and argument.op not in ("const", "unit", "units"):
                    give(argument, part)

    def found(op: str) -> dict[str, Node]:
        return {leaf.attr: g for leaf, g in gradients.items() if leaf.op == op}

    state = dict.fromkeys(step.states, constant(0.0)) | found("state")
    kinds = "x", "bias", "vector", *PRODUCTS
    weights = {n: g for kind in kinds for n, g in gradients.items() if n.op == kind}
    raw = {leaf.space: g for leaf, g in gradients.items() if leaf.op == "raw"}
    return Backward(state, found("input"), raw, weights)
