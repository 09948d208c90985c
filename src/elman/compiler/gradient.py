"""Reverse mode on the graph of one step: from a step to the step of its backward pass."""

from __future__ import annotations

from dataclasses import dataclass

from ..expr import PRIMITIVES, Node, constant, node, walk
from ..spaces import ONE
from ..step import Step


@dataclass(frozen=True)
class Backward:
    """The gradient of one step, as nodes over the values of the step itself.

    The leaves ``carry.state`` and ``gout.state`` are the gradient that arrives at a new state
    from the following step and from the caller. ``state`` holds what is handed to the
    preceding step; the other tables what goes to the leaves and products of the step.
    """

    state: dict[str, Node]
    x: dict[str, Node]
    bias: dict[str, Node]
    vector: dict[str, Node]
    input: dict[str, Node]
    product: dict[Node, Node]  # by the product: the gradient of its result
    every: dict[Node, Node]  # of all values that have one


def differentiate(step: Step) -> Backward:
    """The gradient of a step. Only the first state is given out, so only it has a ``gout``."""
    gradients: dict[Node, Node] = {}

    def give(target: Node, gradient: Node) -> None:
        if target.space is ONE and gradient.space is not ONE:  # which all units have read
            gradient = node("sum", gradient, space=ONE)
        known = gradients.get(target)
        gradients[target] = gradient if known is None else known + gradient

    for index, (name, new) in enumerate(zip(step.states, step.new, strict=True)):
        space = step.space(name)
        carry = node("carry", attr=name, space=space)
        give(new, carry + node("gout", attr=name, space=space) if index == 0 else carry)
    for current in reversed(list(walk(step.new))):
        gradient = gradients.get(current)
        if gradient is None:
            continue
        if current.op == "product":
            operand = current.args[0]
            give(operand, node("product_t", gradient, attr=current.attr, space=operand.space))
        elif current.op == "sum":
            give(current.args[0], gradient)
        elif current.op in PRIMITIVES:
            rule = PRIMITIVES[current.op].derivative
            for argument, part in zip(
                current.args, rule(gradient, current, *current.args), strict=True
            ):
                if part is not None and argument.op not in ("const", "units"):
                    give(argument, part)

    def found(op: str) -> dict[str, Node]:
        return {leaf.attr: g for leaf, g in gradients.items() if leaf.op == op}

    zero = constant(0.0)
    state = dict.fromkeys(step.states, zero) | found("state")
    products = {n: g for n, g in gradients.items() if n.op == "product"}
    x, bias, vector, given = (found(op) for op in ("x", "bias", "vector", "input"))
    return Backward(state, x, bias, vector, given, products, gradients)
