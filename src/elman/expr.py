"""Symbolic values, and the one table in which every pointwise primitive is defined.

A formula is traced by running it on :class:`Node` values. A node is an operation and its
arguments; equal nodes are one object, so common subexpressions are shared from the start.

Each primitive is one row of :data:`PRIMITIVES` with its three rules: how PyTorch evaluates it
(the reference), its derivative (the gradient, itself made of nodes), and how it is emitted on
vectors (the kernels). The reference, the gradient and the kernels know a primitive by its row only.
The vector code of transcendental functions is in ``compiler/activations.py``, under their names.
"""

from __future__ import annotations

import inspect
import math
import operator
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, Union

import numpy as np
import torch

from .clipping import clip_gradient
from .errors import FormulaError
from .refused import OF_VALUES, foreign, missing, refuses
from .spaces import ONE, SPACES, Space

Operand = Union["Node", float, int]


@refuses(OF_VALUES)
class Node:
    """One operation of a formula, with its arguments; made by :func:`node`, never directly.

    ``op`` is the name of a primitive, one of ``PRODUCTS`` (``attr`` names the matrix), a reduction
    (of the units of a row) or a leaf (``attr`` names what is read). ``space`` says how many numbers
    a row has; that of ``ONE`` counts for every unit.
    """

    __slots__ = ("__weakref__", "args", "attr", "op", "space")

    def __init__(self, op: str, args: tuple[Node, ...], attr: Any, space: Space) -> None:
        self.op, self.args, self.attr, self.space = op, args, attr, space

    @classmethod
    def __torch_function__(cls, function: Any, *_: Any) -> Any:
        """PyTorch's functions end here when a formula calls one."""
        raise foreign("torch", getattr(function, "__name__", str(function)))

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, **_: Any) -> Any:
        """NumPy's numbers take part in operations as plain ones; its functions end here."""
        operation = _OPERATIONS.get(ufunc.__name__)
        plain = [a.item() if isinstance(a, _NUMPY) and not a.ndim else a for a in given]
        if operation is None or not all(isinstance(a, (Node, int, float)) for a in plain):
            raise foreign("NumPy", ufunc.__name__)
        return operation(*plain)

    def __add__(self, other: Operand) -> Node:
        return apply("add", self, other)

    def __sub__(self, other: Operand) -> Node:
        return apply("sub", self, other)

    def __mul__(self, other: Operand) -> Node:
        return apply("mul", self, other)

    def __truediv__(self, other: Operand) -> Node:
        return apply("div", self, other)

    def __radd__(self, other: Operand) -> Node:
        return apply("add", other, self)

    def __rsub__(self, other: Operand) -> Node:
        return apply("sub", other, self)

    def __rmul__(self, other: Operand) -> Node:
        return apply("mul", other, self)

    def __rtruediv__(self, other: Operand) -> Node:
        return apply("div", other, self)

    def __neg__(self) -> Node:
        return apply("neg", self)

    def __abs__(self) -> Node:
        return apply("abs", self)

    def __pow__(self, exponent: int) -> Node:
        """The product of so many factors, by repeated squaring."""
        if type(exponent) is not int or exponent < 1:
            raise FormulaError(
                f"the exponent of ** in a formula must be an int of at least 1, got {exponent!r}: "
                "write 1 / a**n for a**-n, and elman.exp(b * elman.log(a)) for other powers"
            )
        if exponent == 1:
            return self
        root: Node = self ** (exponent // 2)
        return root * root * self if exponent % 2 else root * root

    def __lt__(self, other: Operand) -> Node:
        return apply("lt", self, other)

    def __le__(self, other: Operand) -> Node:
        return apply("le", self, other)

    def __gt__(self, other: Operand) -> Node:
        return apply("gt", self, other)

    def __ge__(self, other: Operand) -> Node:
        return apply("ge", self, other)

    def __bool__(self) -> bool:
        raise FormulaError(
            "the truth of a symbolic value is not known while a formula is traced: "
            "use elman.where(condition, a, b) instead of `if`, `and`, `or`"
        )

    def __getattr__(self, name: str) -> Any:
        raise missing(name)

    def __repr__(self) -> str:
        return format_node(self)


_NUMPY = np.number, np.ndarray
#: NumPy's names of Python's operations.
_OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}

_interned: weakref.WeakValueDictionary[Any, Node] = weakref.WeakValueDictionary()
_intern_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit it from a thread it hasn't got
    os.register_at_fork(
        before=_intern_lock.acquire,
        after_in_parent=_intern_lock.release,
        after_in_child=_intern_lock.release,
    )


#: What applies a matrix to the first argument: as it is, or transposed.
PRODUCTS = ("product", "product_t")


def node(op: str, *args: Node, attr: Any = None, space: Space | None = None) -> Node:
    """The node of this operation, arguments and attribute: always the same object.

    Without a ``space`` it has that of its arguments.

    >>> from elman.spaces import HIDDEN
    >>> node("state", attr="h", space=HIDDEN) is node("state", attr="h", space=HIDDEN)
    True
    """
    if space is None:
        space = _common_space(op, args)
    key = (op, args, attr, space)  # nodes hash by identity, which interning makes structural
    with _intern_lock:
        found = _interned.get(key)
        if found is None:
            found = _interned[key] = Node(op, args, attr, space)
        return found


def with_args(old: Node, *args: Node) -> Node:
    """The operation of a node on other arguments."""
    return node(old.op, *args, attr=old.attr, space=old.space)


def _common_space(op: str, args: tuple[Node, ...]) -> Space:
    spaces = {a.space for a in args} - {ONE}
    if len(spaces) > 1:
        every = dict.fromkeys([*SPACES.values(), *(a.space for a in args)])
        found = " and ".join(space.units for space in every if space in spaces)
        raise FormulaError(
            f"{op}() takes values with as many units each, got {found} in "
            f"{', '.join(map(format_node, args))}: project one of them first"
        )
    return spaces.pop() if spaces else ONE


def constant(value: float) -> Node:
    """A number in a formula. Its bits are its identity: -0.0 is not 0.0."""
    return node("const", attr=float(value).hex())


def format_node(value: Node, depth: int = 3) -> str:
    """The formula as text, for messages: what is deeper is left out, since shared values, written
    out each time, have no bound.

    >>> from elman.spaces import HIDDEN
    >>> h = node("state", attr="h", space=HIDDEN)
    >>> 1 - h * h
    sub(1.0, mul(state.h, state.h))
    >>> h**64
    mul(mul(mul(mul(..., ...), mul(..., ...)), ...
    """
    if value.op == "const":
        return repr(float.fromhex(value.attr))
    name = value.op if value.attr is None else f"{value.op}.{value.attr}"
    if not value.args:
        return name
    args = [format_node(a, depth - 1) if depth or not a.args else "..." for a in value.args]
    return f"{name}({', '.join(args)})"


@dataclass(frozen=True)
class Primitive:
    """One row of the table: a pointwise operation and its three rules.

    ``derivative(g, y, *args)`` gives the gradient for each argument from the gradient ``g`` of
    the result ``y`` (None: no gradient). ``emit(v, *args)`` writes the operation on vectors.
    """

    torch: Callable[..., torch.Tensor]
    derivative: Callable[..., tuple[Node | None, ...]]
    emit: Callable[..., str]
    costly: bool = False  # saved for the backward pass rather than computed again
    mask: bool = False  # yields truth values

    @property
    def count(self) -> int:
        """How many arguments it takes."""
        return len(inspect.signature(self.derivative).parameters) - 2


def _zero_where(condition: Node, g: Node) -> Node:
    return where(condition, 0.0, g)


def _extreme(g: Node, a: Node, b: Node, loses: Node) -> Node:
    """The gradient of an argument of maximum/minimum; where both are equal, each gets half. (And
    all of it where one is NaN, as in torch.)"""
    return where(apply("eq", a, b), g * 0.5, _zero_where(loses, g))


def _transcendental(function: Callable[..., torch.Tensor], derivative: Callable[..., Any]) -> Any:
    """A row whose vector code is a function of PyTorch's name, written in the compiler."""
    name = function.__name__
    return Primitive(function, derivative, lambda v, a: v.function(name, a), costly=True)


PRIMITIVES: Mapping[str, Primitive] = {
    "add": Primitive(torch.add, lambda g, y, a, b: (g, g), lambda v, a, b: v.add(a, b)),
    "sub": Primitive(torch.sub, lambda g, y, a, b: (g, -g), lambda v, a, b: v.sub(a, b)),
    "mul": Primitive(torch.mul, lambda g, y, a, b: (g * b, g * a), lambda v, a, b: v.mul(a, b)),
    "div": Primitive(
        torch.div, lambda g, y, a, b: (g / b, -(g * y) / b), lambda v, a, b: v.div(a, b)
    ),
    "neg": Primitive(torch.neg, lambda g, y, a: (-g,), lambda v, a: v.neg(a)),
    "abs": Primitive(
        torch.abs,
        lambda g, y, a: (where(a > 0, g, where(a < 0, -g, 0.0)),),
        lambda v, a: v.abs(a),
    ),
    "floor": Primitive(torch.floor, lambda g, y, a: (None,), lambda v, a: v.floor(a)),
    "round_to_bfloat16": Primitive(
        lambda a: a.bfloat16().to(a.dtype),
        lambda g, y, a: (apply("round_to_bfloat16", g),),
        lambda v, a: v.nearest_bfloat16(a),
    ),
    "sqrt": Primitive(
        torch.sqrt, lambda g, y, a: (g / (y * 2.0),), lambda v, a: v.sqrt(a), costly=True
    ),
    "exp": _transcendental(torch.exp, lambda g, y, a: (g * y,)),
    "expm1": _transcendental(torch.expm1, lambda g, y, a: (g * (y + 1.0),)),
    "log": _transcendental(torch.log, lambda g, y, a: (g / a,)),
    "log1p": _transcendental(torch.log1p, lambda g, y, a: (g / (a + 1.0),)),
    "sin": _transcendental(torch.sin, lambda g, y, a: (g * apply("cos", a),)),
    "cos": _transcendental(torch.cos, lambda g, y, a: (g * -apply("sin", a),)),
    "erf": _transcendental(
        torch.erf, lambda g, y, a: (g * (apply("exp", -(a * a)) * (2 / math.sqrt(math.pi))),)
    ),
    "tanh": _transcendental(torch.tanh, lambda g, y, a: (g * (1.0 - y * y),)),
    "sigmoid": _transcendental(torch.sigmoid, lambda g, y, a: (g * ((1.0 - y) * y),)),
    # y <= 0 and not y > 0: the gradient passes where y is NaN, as in torch.
    "relu": Primitive(
        torch.relu, lambda g, y, a: (_zero_where(y <= 0, g),), lambda v, a: v.relu(a), costly=True
    ),
    "maximum": Primitive(
        torch.maximum,
        lambda g, y, a, b: (_extreme(g, a, b, a < b), _extreme(g, a, b, b < a)),
        lambda v, a, b: v.call("maximum", a, b),
    ),
    "minimum": Primitive(
        torch.minimum,
        lambda g, y, a, b: (_extreme(g, a, b, a > b), _extreme(g, a, b, b > a)),
        lambda v, a, b: v.call("minimum", a, b),
    ),
    "where": Primitive(
        torch.where,
        lambda g, y, c, a, b: (None, where(c, g, 0.0), where(c, 0.0, g)),
        lambda v, c, a, b: v.select(c, a, b),
    ),
    "clip_gradient": Primitive(
        clip_gradient,
        lambda g, y, a, b: (apply("minimum", apply("maximum", g, -b), b), None),
        lambda v, a, b: a,
    ),
    **{
        name: Primitive(
            getattr(torch, name),
            lambda g, y, a, b: (None, None),
            lambda v, a, b, name=name: v.compare(name, a, b),
            mask=True,
        )
        for name in ("lt", "le", "gt", "ge", "eq", "ne")
    },
}


def is_mask(value: Any) -> bool:
    """Whether it is a comparison."""
    return isinstance(value, Node) and value.op in PRIMITIVES and PRIMITIVES[value.op].mask


def check_kind(name: str, place: int, argument: Any, wanted: bool = False) -> None:
    """Whether an argument of a function is a comparison, where that is ``wanted``, or else none."""
    if is_mask(argument) != wanted:
        raise FormulaError(
            f"{name}() takes {'a comparison' if wanted else 'values, not a comparison,'} as "
            f"argument {place + 1}: turn one into the other with `a > 0`, elman.eq(a, b) (not "
            "`a == b`), or elman.where(condition, 1.0, 0.0)"
        )


def apply(name: str, *args: Any) -> Any:
    """A primitive on symbolic values; on tensors alone, the tensor that it is in PyTorch."""
    if not any(isinstance(a, Node) for a in args):
        like = next(
            (a for a in args if isinstance(a, torch.Tensor) and a.is_floating_point()), None
        )
        return PRIMITIVES[name].torch(*(as_tensor(a, like) for a in args))
    for place, argument in enumerate(args):
        check_kind(name, place, argument, wanted=name == "where" and place == 0)
    return node(name, *(a if isinstance(a, Node) else _as_constant(name, a) for a in args))


def as_tensor(value: Any, like: torch.Tensor | None) -> torch.Tensor:
    """A number as a tensor of the dtype and device of the tensors beside it."""
    if isinstance(value, torch.Tensor) or like is None:
        return torch.as_tensor(value)
    return torch.full((), _rounded(value, like.dtype), dtype=like.dtype, device=like.device)


def _rounded(value: float, dtype: torch.dtype) -> float:
    """The number, or infinity where the nearest one that a dtype holds is: what arithmetic makes of
    it, and the kernels. ``torch.full`` refuses it."""
    most = torch.finfo(dtype).max
    if abs(value) <= most or math.isinf(value) or math.isnan(value):
        return value
    half = most / (2 - torch.finfo(dtype).eps) * torch.finfo(dtype).eps / 2  # a step beyond it
    return math.copysign(math.inf if abs(value) - most >= half else most, value)


def _as_constant(name: str, value: Any) -> Node:
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return constant(float(value))
    raise FormulaError(
        f"{name}() in a formula takes symbolic values and plain numbers, got "
        f"{type(value).__name__}: declare learned tensors on the cell instead"
    )


def where(condition: Any, a: Any, b: Any) -> Any:
    """``a`` where the condition holds, else ``b``, unit by unit.

    Args:
        condition: a comparison, such as ``a > 0``; in a formula all else raises FormulaError.
        a, b: values of a formula, numbers or tensors, of one shape.

    Returns:
        A value of a formula; of tensors, a tensor of their shape.

    >>> import elman, torch
    >>> elman.where(torch.tensor([True, False]), 1.0, 2.0)
    tensor([1., 2.])
    """
    return apply("where", condition, a, b)


_N = TypeVar("_N")  # a node of any graph


def _arguments(of: Any) -> Any:
    return of.args


def walk(roots: Iterable[_N], before: Callable[[_N], Sequence[_N]] = _arguments) -> Iterator[_N]:
    """Every node that the roots depend on, each once, after what has to come ``before`` it: its
    arguments. Not by recursion: a formula may have thousands of operations behind one another."""
    seen: set[_N] = set()
    stack: list[tuple[_N, bool]] = [(r, False) for r in reversed(list(roots))]
    while stack:
        current, ready = stack.pop()
        if ready:
            yield current
        elif current not in seen:
            seen.add(current)
            stack.append((current, True))
            stack.extend((a, False) for a in reversed(before(current)))
