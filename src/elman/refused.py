"""What a formula's values refuse: operations that tensors have, each with its remedy."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

from .errors import FormulaError

_NUMBER = (
    "a symbolic value is no number yet while a formula is traced: use elman's functions, such as "
    "elman.tanh(a), instead of float(), int(), round() and those of math"
)
_ROW = (
    "a formula is written for every unit of a row at once, so a symbolic value has no elements: "
    "a gate is read by its name, as in x.name, and elman.mean(a) combines units"
)
_BOTH = (
    "operators do not combine comparisons: nest elman.where, as in "
    "elman.where(a, elman.where(b, yes, no), no) for `a and b`"
)
_WHOLE = "write elman.floor(a / b) for a // b, and a - b * elman.floor(a / b) for a % b"
_PRODUCT = "declare a matrix in `matrices` and write self.product(name, value) for the product"
_POWER = "write elman.exp(b * elman.log(a)) for a**b"
_GROUP = "x, u and s hold values by name: read one of them, as in x.gate, u.gate or s.state"

#: Special methods, and what the error says in which they end.
OF_VALUES = {
    **dict.fromkeys(("float", "int", "complex", "index", "round", "trunc"), _NUMBER),
    **dict.fromkeys(("getitem", "setitem", "iter", "len"), _ROW),
    **dict.fromkeys(("and", "rand", "or", "ror", "xor", "rxor", "invert"), _BOTH),
    **dict.fromkeys(("mod", "rmod", "floordiv", "rfloordiv", "divmod", "rdivmod"), _WHOLE),
    **dict.fromkeys(("matmul", "rmatmul"), _PRODUCT),
    "rpow": _POWER,
}
_ARITHMETIC = ("add", "sub", "mul", "truediv", "matmul", "pow")
OF_GROUPS = dict.fromkeys(
    (*_ARITHMETIC, *(f"r{name}" for name in _ARITHMETIC), "neg", "getitem", "iter", "len"), _GROUP
)

_Class = TypeVar("_Class", bound=type)


def refuses(remedies: dict[str, str]) -> Callable[[_Class], _Class]:
    """A decorator of classes that gives them the special methods of a table."""

    def refusing(remedy: str) -> Callable[..., NoReturn]:
        def method(*_: Any) -> NoReturn:
            raise FormulaError(remedy)

        return method

    def decorate(cls: _Class) -> _Class:
        for name, remedy in remedies.items():
            setattr(cls, f"__{name}__", refusing(remedy))
        return cls

    return decorate


class MissingError(FormulaError, AttributeError):
    """An attribute that a formula's values do not have."""


def missing(name: str) -> AttributeError:
    """The error of an attribute that a symbolic value does not have."""
    if name.startswith("__"):  # a protocol for which somebody looks
        return AttributeError(name)
    return MissingError(f"a symbolic value has no attribute {name!r}: {_instead(name)}")


def foreign(library: str, name: str) -> FormulaError:
    """The error of another library's function that a formula calls."""
    name = name.strip("_")
    if name in ("matmul", "rmatmul", "linear", "mm", "mv"):
        return FormulaError(_PRODUCT)
    return FormulaError(
        f"{library}'s {name} takes arrays of numbers, and a formula has symbolic values: "
        f"{_instead(name)}; learned tensors are declared in `vectors` and `matrices`"
    )


def _instead(name: str) -> str:
    """What a formula may call in place of a function or method of this name."""
    if hasattr(sys.modules[__package__], name):
        return f"use elman.{name}"
    return f"elman has no function {name!r}, so compose it of those that it has"


def check_signature(owner: str, step: Any, given: Iterable[str]) -> None:
    """FormulaError unless ``step(x, u, s)`` can be called."""
    wanted = f"step(self, {', '.join(given)})"
    if not callable(step):
        raise FormulaError(f"{owner}.step must be a method {wanted}, got {step!r}")
    try:
        inspect.signature(step).bind(*given)
    except TypeError:
        raise FormulaError(
            f"step must take {wanted}, got step{inspect.signature(step)}: further inputs are read "
            "by self.input(name)"
        ) from None
