"""What a formula may depend on besides its symbolic values: the attributes of a cell."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

#: What a cell holds of its trace.
TRACED = ("_traced", "_random")
#: Numbers, and what holds them.
KINDS = (int, float, tuple, list, dict, np.number, np.ndarray)
FUNCTIONS = (FunctionType, BuiltinFunctionType, MethodType, functools.partial)


def settings(cell: Any) -> dict[str, Any]:
    """All that a formula may depend on, as it is now, by name."""
    return {name: _copied(getattr(cell, name)) for name in attributes(cell)}


def _copied(value: Any) -> Any:
    """A value with copies of all that may change in place."""
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    if type(value) in (tuple, list):
        return type(value)(map(_copied, value))
    return value if isinstance(value, FUNCTIONS) else copy.deepcopy(value)


def attributes(cell: Any) -> list[str]:
    """The names of all that a formula may depend on: what a cell or its class holds, but for masks,
    which change only as a whole."""
    own = [*cell.__dict__]
    classes = [c for c in type(cell).__mro__ if c is not object]
    inherited = [n for c in classes for n, v in vars(c).items() if not _is_of_class(v)]
    hidden = (*TRACED, "_version", "_abc_impl", "keeps", "writes", "masks")
    names = dict.fromkeys([*own, *(n for n in inherited if not n.startswith("__"))])
    return [name for name in names if name not in hidden]


def _is_of_class(value: Any) -> bool:
    """Whether a member of a class is a function or a descriptor. These change only as a whole,
    which the class notes."""
    return isinstance(value, (*FUNCTIONS, staticmethod, classmethod, property))


def is_fixed(value: Any) -> bool:
    """Whether a value is another whenever it does not equal what it was: nothing that may change
    in place, no zero (of two signs), and nothing that does not equal itself."""
    if type(value) is tuple:
        return all(map(is_fixed, value))
    if isinstance(value, (float, np.number)):
        return type(value) is float and value == value and value != 0
    return not isinstance(value, KINDS) or isinstance(value, int)


def described(read: Callable[[Any], Any], cell: Any) -> Any:
    """A description of what is read of a cell."""
    return _description(read(cell))


def _description(value: Any) -> Any:
    """What tells values apart, and does not change with them."""
    if isinstance(value, np.ndarray):
        return "array", value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return "dict", *((k, _description(v)) for k, v in value.items())
    if isinstance(value, (tuple, list)):
        return type(value), *map(_description, value)
    return repr(value) if isinstance(value, (float, np.number)) else value
