"""The operations of PyTorch that a formula has: what each makes of the values of its operands."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import functions
from ..errors import FormulaError
from ..expr import PRIMITIVES, apply
from .values import CARRIED, GIVEN, PARAMETER, POINT, Value, Values

ROWS = 1009
"""Rows of the traced tensors: no other dimension of a body is likely to have so many."""


def has_rows(tensor: Tensor) -> bool:
    """Whether it is one of the traced tensors that have rows."""
    from torch._subclasses.fake_tensor import FakeTensor

    fits = tensor.dim() in (1, 2) and tensor.shape[0] == ROWS
    return fits and isinstance(tensor, FakeTensor)


def _units(tensor: Tensor) -> int:
    return tensor.shape[1] if tensor.dim() == 2 else 1


def no_number() -> FormulaError:
    """The error of a body that asks for a tensor's data."""
    return FormulaError(
        "the body asks a tensor for a number, as `if` and item() do: use torch.where"
    )


class Operands:
    """What a rule has at hand: the operation's name, what it has made, and whose value is what."""

    def __init__(
        self, values: Values, value_of: Callable[[Any], Value], result: Any, name: str
    ) -> None:
        self.values, self.value_of, self.result, self.name = values, value_of, result, name

    def of(self, given: Any) -> Value:
        """The value of an operand whose rows have as many numbers as the tensor's."""
        value = self.value_of(given)
        if value.level and value.size != _units(given):
            raise FormulaError(
                f"torch.{self.name} of one number a row that was expanded to {_units(given)}: "
                "leave the expansion out, or multiply it by torch.ones first"
            )
        return value

    def point(self, function: Callable[..., Any], *given: Any) -> Value:
        values = [self.value_of(g) for g in given]
        for value, tensor in zip(values, given, strict=True):
            matrix = isinstance(tensor, Tensor) and tensor.shape[:-1].numel() != 1
            if matrix and value.level == PARAMETER and not has_rows(tensor):
                raise FormulaError(
                    f"torch.{self.name} takes a matrix of shape {tuple(tensor.shape)} unit by "
                    "unit: a formula has vectors there"
                )
        return self.values.point(function, *values)

    def check_last(self, tensor: Tensor, dim: Any) -> None:
        """Only the last dimension can be worked over."""
        dims = [dim] if isinstance(dim, int) else list(dim or range(tensor.dim()))
        if tensor.dim() != 2 or [d % 2 for d in dims] != [1]:
            raise FormulaError(
                f"torch.{self.name} over dimension {dim}: a formula works over the last one of "
                "(B, n), a row at a time"
            )


ADD, SUB, MUL, DIV, SQRT, EXP = map(POINT.__getitem__, ("add", "sub", "mul", "div", "sqrt", "exp"))
Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def note(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return note


def _primitive(name: str) -> Rule:
    function = POINT[name]
    count = PRIMITIVES[name].count
    return lambda o, *given, **_: o.point(function, *given[:count])


RULES |= {
    name: _primitive(name) for name in PRIMITIVES if name not in ("clip_gradient", "add", "sub")
}


@_rule("add", "sub", "rsub")
def _sum(o: Operands, a: Any, b: Any, alpha: float = 1) -> Value:
    if o.name == "rsub":
        a, b = b, a
    left, right = o.value_of(a), o.value_of(b)
    if alpha != 1:
        right = o.values.point(MUL, right, o.values.number(alpha))
    return o.values.point(ADD if o.name.startswith("add") else SUB, left, right)


@_rule("div")
def _quotient(o: Operands, a: Any, b: Any, rounding_mode: str | None = None) -> Value:
    if rounding_mode:
        raise FormulaError(f"torch.div(rounding_mode={rounding_mode!r}) has no counterpart")
    return o.point(POINT["div"], a, b)


@_rule("pow")
def _power(o: Operands, a: Any, exponent: Any) -> Value:
    if exponent == 0.5:
        return o.point(POINT["sqrt"], a)
    number = isinstance(exponent, (int, float))
    if not number or exponent != int(exponent) or not 1 <= exponent <= 64:
        raise FormulaError("torch.pow has no counterpart but for whole exponents: use exp and log")
    return o.point(functools.partial(_to_power, int(exponent)), a)


def _to_power(exponent: int, value: Any) -> Any:
    return value**exponent


@_rule("reciprocal")
def _reciprocal(o: Operands, a: Any) -> Value:
    return o.point(POINT["div"], 1.0, a)


@_rule("rsqrt")
def _rsqrt(o: Operands, a: Any) -> Value:
    return o.point(_over_root, a)


def _over_root(value: Any) -> Any:
    return apply("div", 1.0, apply("sqrt", value))


@_rule("clamp", "clamp_min", "clamp_max")
def _clamp(o: Operands, a: Any, *bounds: Any, **named: Any) -> Value:
    if o.name.startswith("clamp_m"):
        bounds = (None,) * ("max" in o.name) + bounds
    given = dict(zip(("min", "max"), bounds, strict=False)) | named
    given = {name: bound for name, bound in given.items() if bound is not None}
    return o.point(functools.partial(_clamped, tuple(given)), a, *given.values())


def _clamped(names: Sequence[str], value: Any, *bounds: Any) -> Any:
    return functions.clamp(value, **dict(zip(names, bounds, strict=True)))


@_rule("addmm")
def _addmm(o: Operands, bias: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Value:
    if (beta, alpha) != (1, 1):
        raise FormulaError("torch.addmm with factors has no counterpart: multiply beside it")
    return o.values.point(POINT["add"], _mm(o, a, b), o.of(bias))


@_rule("native_layer_norm")
def _layer_norm(
    o: Operands, a: Tensor, shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> list[Value | None]:
    o.check_last(a, range(a.dim() - len(shape), a.dim()))
    point, number = o.values.point, o.values.number
    count = number(a.shape[-1])
    value = o.of(a)
    centred = point(SUB, value, point(DIV, o.values.reduce("sum", value), count))
    squares = o.values.reduce("sum", point(MUL, centred, centred))
    variance = point(ADD, point(DIV, squares, count), number(eps))
    result = point(DIV, centred, point(SQRT, variance))
    for function, parameter in ((MUL, weight), (ADD, bias)):
        if parameter is not None:
            result = point(function, result, o.of(parameter))
    return [result, None, None]


@_rule("_softmax")
def _softmax(o: Operands, a: Tensor, dim: int, *_: Any) -> Value:
    o.check_last(a, dim)
    value = o.of(a)
    above = o.values.point(EXP, o.values.point(SUB, value, o.values.reduce("amax", value)))
    return o.values.point(DIV, above, o.values.reduce("sum", above))


@_rule("elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "silu", "softplus")
def _activation(o: Operands, a: Tensor, *given: Any, **named: Any) -> Value:
    function = getattr(functions, o.name.removesuffix("_"))
    if function is functions.elu:
        if any(scale != 1 for scale in given[1:]):
            raise FormulaError("torch.elu with scales has no counterpart: multiply beside it")
        given = given[:1]
    return o.point(functools.partial(_call, function, given, tuple(named.items())), a)


def _call(function: Any, given: Any, named: Any, value: Any) -> Any:
    return function(value, *given, **dict(named))


@_rule("mm")
def _mm(o: Operands, a: Any, b: Any) -> Value:
    matrix = o.of(b)
    if matrix.level != PARAMETER or not o.of(a).level:
        raise FormulaError("a product of two values of the loop has no counterpart in a formula")
    return o.values.linear(o.of(a), o.values.turned(matrix, b.shape[0]), b.shape[1])


@_rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes")
def _split(o: Operands, a: Tensor, _: Any, dim: int = 0) -> list[Value]:
    o.check_last(a, dim)
    found, first = [], 0
    for tensor in o.result:
        found.append(o.values.units(o.of(a), first, first + tensor.shape[-1]))
        first += tensor.shape[-1]
    return found


@_rule("slice")
def _slice(o: Operands, a: Tensor, dim: int = 0, first: int | None = None, *given: Any) -> Value:
    if o.result.shape == a.shape:
        return o.of(a)
    o.check_last(a, dim)
    if given[1:] not in ((), (1,)):
        raise FormulaError("every second unit has no counterpart in a formula")
    begin = (first or 0) % a.shape[-1] if (first or 0) < 0 else (first or 0)
    return o.values.units(o.of(a), begin, begin + o.result.shape[-1])


@_rule("select")
def _select(o: Operands, a: Tensor, dim: int, index: int) -> Value:
    o.check_last(a, dim)
    return o.values.units(o.of(a), index % a.shape[-1], index % a.shape[-1] + 1)


@_rule("cat")
def _cat(o: Operands, parts: Sequence[Tensor], dim: int = 0) -> Value:
    if len(parts) == 1:
        return o.of(parts[0])
    o.check_last(o.result, dim)
    return o.values.cat([o.of(part) for part in parts])


@_rule("sum", "amax", "mean")
def _reduce(o: Operands, a: Tensor, dim: Any = None, *_: Any, **__: Any) -> Value:
    o.check_last(a, dim)
    if o.name == "amax":
        return o.values.reduce("amax", o.of(a))
    total = o.values.reduce("sum", o.of(a))
    if o.name == "sum":
        return total
    return o.values.point(POINT["div"], total, o.values.number(a.shape[-1]))


@_rule(
    "_to_copy",
    "clone",
    "alias",
    "view",
    "_unsafe_view",
    "expand",
    "unsqueeze",
    "squeeze",
    "lift_fresh",
    "contiguous",
    "reshape",
    "copy_",
)
def _same(o: Operands, a: Tensor, *given: Any, **_: Any) -> Value:
    if o.name == "copy_":
        return o.of(given[0])
    value, result = o.value_of(a), o.result
    if not has_rows(result) or (_units(result) != _units(a) and value.size != 1):
        raise FormulaError(
            f"torch.{o.name} turns {tuple(a.shape)} into {tuple(result.shape)}: values of the loop "
            f"stay (B, n); here B is {ROWS}"
        )
    if result.dtype == a.dtype:
        return value
    if value.level != CARRIED:
        to = functools.partial(Tensor.to, dtype=result.dtype)
        return o.values.make("call", value, attr=to, size=value.size)
    if a.dtype != torch.bool or not result.is_floating_point():
        raise FormulaError("a carried value changes its dtype: use torch.where")
    return o.values.point(POINT["where"], value, o.values.number(1.0), o.values.number(0.0))


@_rule("detach")
def _detach(o: Operands, a: Tensor) -> Value:
    if o.of(a).level == CARRIED:
        raise FormulaError("detach() of a carried value has no counterpart: detach after the loop")
    if o.of(a).kind == "number":
        return o.of(a)
    return o.values.make("call", o.of(a), attr=torch.detach, size=o.of(a).size)


@_rule("logical_not", "bitwise_not")
def _elementwise(o: Operands, a: Tensor) -> Value:
    if o.of(a).level == CARRIED:
        raise FormulaError(f"torch.{o.name} of carried values: use torch.where")
    return o.values.make("call", o.of(a), attr=getattr(torch, o.name), size=o.of(a).size)


@_rule("embedding")
def _embedding(o: Operands, weight: Tensor, index: Tensor, *_: Any) -> Value:
    if o.of(index).level == CARRIED:
        raise FormulaError("carried whole numbers have no counterpart in a formula")
    size = o.result.shape[-1]
    return o.values.make("embedding", o.of(weight), o.of(index), size=size)


def _filled(value: float) -> Rule:
    return lambda o, *_, **__: o.values.number(value, _units(o.result))


def _full(o: Operands, *given: Any, **_: Any) -> Value:
    return o.values.number(given[-1], _units(o.result))


#: What makes rows of a number, and what draws them.
FILLED: dict[str, Rule] = {
    **dict.fromkeys(
        ("zeros", "zeros_like", "new_zeros", "empty", "empty_like", "new_empty"), _filled(0.0)
    ),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), _filled(1.0)),
    **dict.fromkeys(("full", "full_like", "new_full"), _full),
}
RULES |= {name: rule for name, rule in FILLED.items() if "like" in name or "new" in name}


def _drawn(function: Callable[[Tensor], Tensor]) -> Rule:
    """Values that are drawn for all steps at once."""

    def draw(o: Operands, *_: Any, **__: Any) -> Value:
        attr = function, object()  # others than those of any other operation
        return o.values.make("random", attr=attr, size=_units(o.result), level=GIVEN)

    return draw


@_rule("bernoulli_")
def _bernoulli(o: Operands, _: Tensor, p: float = 0.5, **__: Any) -> Value:
    return _drawn(lambda like: like.bernoulli_(p))(o)


DRAWN: dict[str, Rule] = {
    **dict.fromkeys(("rand", "rand_like"), _drawn(torch.rand_like)),
    **dict.fromkeys(("randn", "randn_like"), _drawn(torch.randn_like)),
}
RULES |= {name: rule for name, rule in DRAWN.items() if "like" in name}
