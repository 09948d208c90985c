"""Calls of modules that have been checked before.

All that is checked of a call, and how it runs, depends on its signature: what the module says of
itself, and the types, shapes and strides of all tensors. So a call whose signature is known goes
past the checks, to the kernels that an earlier one was bound to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ..compiler.kernel import CALLS
from ..execution import Bound, of_tensors, remember
from ..paths import ready_isa


class Known(NamedTuple):
    """What is known of calls of one signature."""

    call: Any  # their normal form
    bounds: list[Bound | None]  # by layer, see ``stack.run``


def signature(module: tuple[Any, ...], input: Any, hx: Any, held: Sequence[Any]) -> Any:
    """That of a call on padded rows; None if there is none, and the call is to be checked.

    ``module`` is what the checks read of the module, its formula first, ``held`` its parameters.
    """
    if torch.compiler.is_compiling():
        return None
    isa = ready_isa()
    if isa is None:
        return None
    states = () if hx is None else hx if type(hx) in (tuple, list) else (hx,)
    try:
        tensors = of_tensors([input, *states, *held])
        for given in (input, *states):
            if given.requires_grad and given.is_inference():
                return None
    except (AttributeError, RuntimeError):  # no tensors, or such as have no strides
        return None
    return (*module, isa, type(hx), *tensors)


def find(signature: Any) -> Known | None:
    """What is known of calls of a signature."""
    found: Known | None = None if signature is None else CALLS.get(signature)
    return found


def keep(signature: Any, call: Any, bounds: list[Bound | None]) -> None:
    """Remembers a call that has passed the checks, if all its layers run on kernels."""
    if signature is not None and all(bounds):
        remember(signature, Known(call, bounds))
