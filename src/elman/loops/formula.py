"""From the values of a loop's body to the formula of a step, and what surrounds it.

What does not depend on the carried tensors is computed before the loop, for all steps at once;
what no carried tensor depends on, after it. The rest is the formula.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import FormulaError
from ..expr import Node, apply, is_mask, node, walk
from ..reductions import reduce
from ..spaces import HIDDEN, ONE, Space, sized
from ..step import Step
from .values import CARRIED, GIVEN, PARAMETER, Value, place_of


@dataclass(frozen=True)
class Loop:
    """A step, and the values of its tensors."""

    step: Step
    units: int  # hidden units: of the widest value
    states: tuple[int, ...]  # which of the carried tensors each state is
    source: Value | None  # the input x
    inputs: tuple[Value, ...]
    weights: tuple[tuple[Value, ...] | None, ...]  # of each parameter what it is stacked of
    matrices: frozenset[str]  # the parameters that are no vectors
    outputs: Mapping[Value, str]  # values that are needed of every step, by outputs of the step
    before: Mapping[int, str]  # carried tensors that are needed as they were before each step


def loop_of(carried: Sequence[Value], new: Sequence[Value], ys: Sequence[Value]) -> Loop:
    """The loop that turns ``carried`` values into ``new`` ones and gives what ``ys`` need."""
    return _Builder(carried, new, ys).build()


class _Builder:
    """Gives the values of a loop their nodes, and the tensors that a call needs their names."""

    def __init__(self, carried: Sequence[Value], new: Sequence[Value], ys: Sequence[Value]) -> None:
        self.carried, self.new = carried, new
        self.inside = [v for v in walk(new, _operands) if v.level == CARRIED]
        self.wanted = self._wanted(ys)
        sizes = {v.size for v in (*carried, *self.inside)}
        self.most = max(sizes)
        # The first state has as many units as the layer, if one has: weight_hh is applied to it.
        self.states = tuple(sorted(range(len(carried)), key=lambda i: carried[i].size != self.most))
        self.names = {carried[i]: f"state{i}" for i in self.states}
        self.inputs: dict[Value, str] = {}
        self.matrices: dict[Value, str] = {}
        self.vectors: dict[Value, str] = {}
        self.x_gates: dict[Value, tuple[Value, Value | None]] = {}
        self.x_names: dict[Value, str] = {}
        self.u_gates: dict[Value, str] = {}
        self.biases: dict[Value, Value] = {}
        self.biased: dict[Value, tuple[Value, ...]] = {}
        self.nodes: dict[Value, Node] = {}
        self.matrix_spaces: dict[str, tuple[Space, Space]] = {}

    def _wanted(self, ys: Sequence[Value]) -> list[Value]:
        """What the values after the loop need of it: values of the formula, and states."""
        known = {*self.inside, *self.carried}
        return [v for v in walk(ys, lambda v: () if v in known else _operands(v)) if v in known]

    def space(self, size: int) -> Space:
        return HIDDEN if size == self.most else sized(size)

    def build(self) -> Loop:
        source = self._gates_of_input()
        self._gates_of_state()
        new = {f"state{i}": self.node(self.new[i]) for i in self.states}
        outputs, values, before = dict([*new.items()][:1]), dict[Value, str](), dict[int, str]()
        names = {self.new[i]: f"state{i}" for i in self.states}
        for value in self.wanted:
            if value in self.carried and value not in names:
                i = self.carried.index(value)
                name = before[i] = f"state{i}"
            else:
                name = values[value] = names.get(value, f"value{len(values)}")
            outputs[name] = new[name] if name in new else self.node(value)
        weights = self._weights()
        if not self._is_measured():
            weights["weight_units"] = ()
        vectors = [*self.vectors.values(), *["units"] * ("weight_units" in weights)]
        step = Step.of(
            tuple(self.x_names.values()),
            tuple(self.u_gates.values()),
            tuple(new),
            tuple(self.inputs.values()),
            self.matrix_spaces,
            tuple(vectors),
            "",
            tuple(new.values()),
            outputs=_ordered(outputs, [*new]),
            fixed=self._fixed(),
        )
        matrices = "weight_ih", "weight_hh", *(f"weight_{name}" for name in self.matrices.values())
        return Loop(
            step=step,
            units=self.most,
            states=self.states,
            source=source,
            inputs=tuple(self.inputs),
            weights=tuple(weights[name] for name in step.parameters),
            matrices=frozenset(matrices),
            outputs=values,
            before=before,
        )

    def _weights(self) -> dict[str, tuple[Value, ...] | None]:
        """By parameters of the step what they are stacked of."""
        return {
            "weight_ih": tuple(v.args[1] for v, _ in self.x_gates.values()) or None,
            "weight_hh": tuple(v.args[1] for v in self.u_gates) or None,
            "bias_ih": tuple(b for _, b in self.x_gates.values() if b is not None) or None,
            "bias_hh": tuple(self.biases[v] for v in self.u_gates) if self.biased else None,
            **{f"weight_{name}": (matrix,) for matrix, name in self.matrices.items()},
            **{f"weight_{name}": (vector,) for vector, name in self.vectors.items()},
        }

    def _fixed(self) -> dict[str, int]:
        """The sizes of what is narrower than the widest value."""
        named = [*self.names.items(), *self.inputs.items()]
        fixed = {name: value.size for value, name in named if value.size != self.most}
        vectors = {name: max(1, value.size) for value, name in self.vectors.items()}
        return fixed | {
            n: size for n, size in vectors.items() if size in (1, *{size} - {self.most})
        }

    def _is_measured(self) -> bool:
        """Whether a parameter says how many hidden units there are."""
        spaces = [space for pair in self.matrix_spaces.values() for space in pair]
        vectors = any(v.size == self.most > 1 for v in self.vectors)
        return bool(self.x_gates or self.u_gates or vectors or HIDDEN in spaces)

    # -- which products are gates: rows of one matrix each, which kernels multiply together

    def _gates_of_input(self) -> Value | None:
        """Values given at every step that are products of one and the same value: the input x,
        which is returned."""
        groups: dict[Any, dict[Value, tuple[Value, Value | None]]] = {}
        for value in self.inside:
            for a in value.args:
                found = _affine(a)
                if a.level == GIVEN and a.size == self.most and found is not None:
                    product, bias = found
                    groups.setdefault((product.args[0], bias is None), {})[a] = found
        if not groups:
            return None
        (source, _), gates = max(groups.items(), key=lambda item: len(item[1]))
        self.x_gates = dict(sorted(gates.items(), key=lambda item: place_of(item[1][0].args[1])))
        self.x_names = {value: f"x{i}" for i, value in enumerate(self.x_gates)}
        return source

    def _gates_of_state(self) -> None:
        """Products of as many units as the first state has."""
        if self.carried[self.states[0]].size != self.most:
            return
        products = [
            value
            for value in self.inside
            if value.kind == "linear" and value.size == value.args[0].size == self.most
        ]
        products.sort(key=lambda value: place_of(value.args[1]))
        self.u_gates = {value: f"u{i}" for i, value in enumerate(products)}
        count = 0
        for value in self.inside:
            product, bias = _affine(value) or (value, None)
            if bias is not None and product in self.u_gates:
                self.biases[product], self.biased[value] = bias, (product,)
                count += 1
        if not len(self.biases) == count == len(products):  # some have none, or one has two
            self.biased = {}

    # -- nodes

    def node(self, value: Value) -> Node:
        """The node of a value of the formula."""
        for current in walk([value], lambda v: () if v in self.nodes else self._read_by(v)):
            if current not in self.nodes:
                self.nodes[current] = self._make(current)
        return self.nodes[value]

    def _read_by(self, value: Value) -> Sequence[Value]:
        return () if value.level != CARRIED else self.biased.get(value, _operands(value))

    def _make(self, value: Value) -> Node:
        if value.level == CARRIED:
            return self._inside(value)
        if value.kind == "number":
            return node("const", attr=value.attr)
        if value.level == PARAMETER:
            name = self.vectors.setdefault(value, f"vector{len(self.vectors)}")
            space = self.space(value.size) if value.size > 1 else ONE
            return node("vector", attr=name, space=space)
        if value in self.x_names:
            return node("x", attr=self.x_names[value], space=HIDDEN)
        name = self.inputs.setdefault(value, f"input{len(self.inputs)}")
        return node("input", attr=name, space=self.space(value.size))

    def _inside(self, value: Value) -> Node:
        args = [self.nodes[a] for a in self._read_by(value)]
        if value in self.biased:
            gate = self.u_gates[self.biased[value][0]]
            return args[0] + node("bias", attr=gate, space=HIDDEN)
        match value.kind:
            case "state":
                return node("state", attr=self.names[value], space=self.space(value.size))
            case "linear":
                return self._product(value, args[0])
            case "reduce":
                return reduce(value.attr, args[0])
            case "point":
                return _pointwise(value, args)
        raise FormulaError(f"{value.kind} of carried values has no counterpart in a formula")

    def _product(self, value: Value, operand: Node) -> Node:
        if value in self.u_gates:
            return node("product", operand, attr=self.u_gates[value], space=HIDDEN)
        matrix = value.args[1]
        name = self.matrices.setdefault(matrix, f"matrix{len(self.matrices)}")
        self.matrix_spaces[name] = self.space(value.size), operand.space
        return node("product", operand, attr=name, space=self.space(value.size))


def _operands(value: Value) -> Sequence[Value]:
    """What it is made of, without the matrix of a product."""
    return value.args[:1] if value.kind == "linear" else value.args


def _ordered(outputs: Mapping[str, Node], states: Sequence[str]) -> dict[str, Node]:
    """The first state first, then values, then other states, which the backward pass may read."""
    first = states[0]
    others = [name for name in outputs if name != first and name not in states]
    behind = [name for name in outputs if name != first and name in states]
    return {name: outputs[name] for name in (first, *others, *behind)}


def _affine(value: Value) -> tuple[Value, Value | None] | None:
    """A product and a vector that are added up to a value, if it is that."""
    if value.kind == "linear":
        return value, None
    if value.kind == "point" and getattr(value.attr, "args", None) == ("add",):
        for product, bias in (value.args, value.args[::-1]):
            if product.kind == "linear" and bias.level == PARAMETER and bias.size == value.size:
                return product, bias
    return None


def _pointwise(value: Value, args: Sequence[Node]) -> Node:
    """A function unit by unit: one number a row counts for every unit."""
    spaces = {a.space for a in args if a.space is not ONE}
    if len(spaces) > 1:
        args = [_broadcast(a) for a in args]
    found: Any = value.attr
    if isinstance(found, functools.partial) and found.args == ("where",) and not is_mask(args[0]):
        args = [apply("ne", args[0], 0.0), *args[1:]]
    made: Node = found(*args)
    return made


def _broadcast(value: Node) -> Node:
    return reduce("sum", value) if value.space is sized(1) else value
