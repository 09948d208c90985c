"""Calls of modules that have been checked before.

All that is checked of a call, and how it runs, depends on its signature: what the module says of
itself, and the types, shapes and strides of all tensors. So a call whose signature is known goes
past the checks, to the kernels that an earlier one was bound to.

Most calls are like one before in all of that; to see this takes a fifth of the time that the
signature takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ..compiler.kernel import CALLS
from ..execution import of_tensors, remember
from ..paths import ready_isa
from ..runtime.tensors import Alike
from .stack import Bounds


class Known(NamedTuple):
    """What is known of calls of one signature."""

    call: Any  # their normal form
    bounds: Bounds


class Key(NamedTuple):
    """By what a call is remembered."""

    short: tuple[Any, ...]  # calls with the same one may be alike, which their tensors say
    signature: tuple[Any, ...]
    tensors: Sequence[Any]


class _Last(NamedTuple):
    """The last call with a short key."""

    alike: Alike
    known: Known


def find(
    module: tuple[Any, ...], input: Any, hx: Any, held: Sequence[Any]
) -> tuple[Known | None, Key | None]:
    """What is known of a call on padded rows; if nothing is, how it may be remembered.

    ``module`` is what the checks read of the module, its formula first, ``held`` its parameters.
    """
    isa = None if torch.compiler.is_compiling() else ready_isa()
    if isa is None:
        return None, None
    states = () if hx is None else hx if type(hx) in (tuple, list) else (hx,)
    tensors = [input, *states, *held]
    try:
        short = (module, isa, type(hx), len(tensors), input.shape)
        last: _Last | None = CALLS.get(short)
        if last is not None and last.alike.to(tensors):
            return last.known, None
        for given in (input, *states):
            if given.requires_grad and given.is_inference():
                return None, None
        signature = (module, isa, type(hx), *of_tensors(tensors))
    except (AttributeError, RuntimeError):  # no tensors, or such as have no strides
        return None, None
    key = Key(short, signature, tensors)
    known: Known | None = CALLS.get(signature)
    if known is None:
        return None, key
    remember(short, _Last(Alike(tensors), known))
    return known, None


def keep(key: Key | None, call: Any, bounds: Bounds) -> None:
    """Remembers a call that has passed the checks, if all its layers run on kernels."""
    if key is not None and bounds.complete():
        known = remember(key.signature, Known(call, bounds))
        remember(key.short, _Last(Alike(key.tensors), known))
