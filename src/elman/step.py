"""A traced step, and the text of it that captured programs carry.

A program that was compiled, exported or saved names its formula by nothing but this text, so it
runs in any process that has imported elman. A line each has the text for what the step declares,
then for each operation, which reads earlier ones by their numbers, and at last for the new states.
Constants are hexadecimal, so reading gives the same bits.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import re
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import FormulaError
from .expr import PRIMITIVES, Node, check_kind, constant, is_mask, node, walk

_FAULTS = (ValueError, TypeError, SyntaxError, IndexError, ArithmeticError, RecursionError)
_KNOWN = 256  # texts whose steps are kept
_LINE = re.compile(r"(\w+) (None|'[^'\\]*') ([HP]?) (\[[\d, ]*\])")


@dataclass(frozen=True, eq=False)
class Step:
    """A traced step: the names, and for each state the node of its new value.

    ``x_gates`` and ``u_gates`` are the gates that have rows in ``weight_ih`` and ``weight_hh``.
    ``matrices`` gives the spaces (see :class:`elman.expr.Node`) of a further matrix's rows and
    columns; the projection is one of them.
    """

    x_gates: tuple[str, ...]
    u_gates: tuple[str, ...]
    states: tuple[str, ...]
    inputs: tuple[str, ...]
    matrices: dict[str, tuple[str, str]]
    vectors: tuple[str, ...]
    projection: str
    new: tuple[Node, ...]
    text: str  # see :func:`read`
    name: str  # a digest of the text, by which a saved model tells formulas apart
    #: The names of all tensors in the order of ``batch.Weights``, whether the step has them or not.
    parameters: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        more = [f"weight_{name}" for name in (*self.matrices, *self.vectors)]
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", *more)
        object.__setattr__(self, "parameters", names)

    @staticmethod
    def of(*fields: Any) -> Step:
        """The step of these fields, all but the text: one object as long as one is held."""
        text = _write(*fields)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        made: Any = (*fields, text, name)
        return _steps.setdefault(text, Step(*made))  # and so share their kernels

    @property
    def output_space(self) -> str:
        """The space of the first state, which is the output."""
        return "P" if self.projection else "H"

    def space(self, state: str) -> str:
        return self.output_space if state == self.states[0] else "H"

    def shapes(self, width: int, units: int, projected: int) -> dict[str, tuple[int, ...]]:
        """The shapes of all parameters that a layer has, by name."""
        size = {"H": units, "P": projected}
        shapes: dict[str, tuple[int, ...]] = {}
        if self.x_gates:
            shapes["weight_ih"] = (len(self.x_gates) * units, width)
        if self.u_gates:
            shapes["weight_hh"] = (len(self.u_gates) * units, size[self.output_space])
        if self.x_gates:
            shapes["bias_ih"] = (len(self.x_gates) * units,)
        if self.u_gates:
            shapes["bias_hh"] = (len(self.u_gates) * units,)
        for name, (rows, columns) in self.matrices.items():
            shapes[f"weight_{name}"] = (size[rows], size[columns])
        return shapes | {f"weight_{name}": (units,) for name in self.vectors}


_steps: weakref.WeakValueDictionary[str, Step] = weakref.WeakValueDictionary()


def _write(*fields: Any) -> str:
    *declared, new = fields
    nodes = list(walk(new))
    numbers = {n: i for i, n in enumerate(nodes)}
    lines = [f"{n.op} {n.attr!r} {n.space} {[numbers[a] for a in n.args]}" for n in nodes]
    return "\n".join([*map(repr, declared), *lines, repr([numbers[n] for n in new])])


@functools.lru_cache(_KNOWN)
def read(text: str) -> Step:
    """The step of a text: of the same formula the same object.

    Raises:
        FormulaError: a text that no step has; the message says what is wrong with it.
    """
    known = _steps.get(text)
    if known is not None:
        return known
    try:
        step = _read(text)
    except (FormulaError, *_FAULTS) as error:
        raise _no_formula(text, str(error)) from error
    if step.text != text:
        raise _no_formula(text, "it is not written as elman does")
    return step


def _no_formula(text: str, why: str) -> FormulaError:
    shown = text if len(text) < 60 else f"{text[:60]}..."
    return FormulaError(
        "expected the text of a formula, as elman writes it into captured programs, got "
        f"{shown!r} ({why}): capture the program again with this version of elman"
    )


def _read(text: str) -> Step:
    *lines, last = text.split("\n")
    declared = [ast.literal_eval(line) for line in lines[:7]]
    x_gates, u_gates, states, inputs, matrices, vectors, projection = declared
    groups = (x_gates, u_gates, states, inputs, vectors)
    if not all(type(names) is tuple for names in groups) or type(matrices) is not dict:
        raise FormulaError("what it declares are no names")
    names = [n for group in (*groups, matrices, [projection] * bool(projection)) for n in group]
    spaces = [space for pair in matrices.values() for space in pair]
    if not states or not all(isinstance(n, str) and n.isidentifier() for n in names):
        raise FormulaError("what it declares are no names")
    sized = set(spaces) <= {"H", "P"} and len(spaces) == 2 * len(matrices)
    if projection not in ("", *matrices) or not sized:
        raise FormulaError("a matrix has no size")
    output = "P" if projection else "H"
    products = dict.fromkeys(u_gates, ("H", output)) | matrices
    leaves = {
        **{("x", name): "H" for name in x_gates},
        **{("bias", name): "H" for name in u_gates},
        **{("state", name): "H" for name in states},
        ("state", states[0]): output,
        **{("input", name): "H" for name in inputs},
        **{("vector", name): "H" for name in vectors},
    }
    nodes: list[Node] = []
    for line in lines[7:]:
        found = _LINE.fullmatch(line)
        if found is None:
            raise FormulaError(f"{line!r} is no operation")
        op, attr = found[1], ast.literal_eval(found[2])
        args = [nodes[i] for i in ast.literal_eval(found[4])]
        if (op, attr) in leaves and not args:
            made = node(op, attr=attr, space=leaves[op, attr])
        elif op == "product" and attr in products and len(args) == 1:
            check_kind(op, 0, args[0])
            made = node(op, *args, attr=attr, space=products[attr][0])
            if args[0].space != products[attr][1]:
                raise FormulaError(f"{line!r} multiplies values of another size")
        else:
            made = _operation(line, op, attr, args)
        nodes.append(made)
    new = tuple(nodes[i] for i in ast.literal_eval(last))
    for state, value in zip(states, new, strict=True):
        if is_mask(value) or value.space not in ("", leaves["state", state]):
            raise FormulaError(f"the new {state!r} is a comparison, or of another size")
    return Step.of(x_gates, u_gates, states, inputs, matrices, vectors, projection, new)


def _operation(line: str, op: str, attr: Any, args: Sequence[Node]) -> Node:
    """An operation for which no names need to be known."""
    if op == "const" and not args:
        return constant(float.fromhex(attr))
    if op == "units" and not args and attr in ("H", "P"):
        return node(op, attr=attr, space="")
    if op == "sum" and len(args) == 1 and args[0].space and attr is None:
        return node(op, *args, space="")
    rule = PRIMITIVES[op].derivative if op in PRIMITIVES else None
    if rule is None or attr is not None or len(args) != len(inspect.signature(rule).parameters) - 2:
        raise FormulaError(f"{line!r} is no operation here")
    for place, argument in enumerate(args):
        check_kind(op, place, argument, wanted=op == "where" and place == 0)
    return node(op, *args)
