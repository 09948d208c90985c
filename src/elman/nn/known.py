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
from torch.nn.utils.rnn import PackedSequence

from .. import function
from ..batch import Rows
from ..execution import of_tensors, remember
from ..launch.kernels import CALLS
from ..paths import PLAIN, products, ready_isa
from ..runtime.tensors import Alike
from .arguments import is_list, rows_of
from .stack import Bounds
from .states import hx_of

# Names of their own: in every call, each lookup counts.
_is_compiling = torch.compiler.is_compiling
_any_autocast = torch._C._is_any_autocast_enabled


class Known(NamedTuple):
    """What is known of calls of one signature."""

    call: Any  # their normal form
    bounds: Bounds
    plain: bool  # the tensors of a call are those that its layers take, and return

    def of(self, input: PackedSequence, rows: Rows) -> Known:
        """The same for a packed input with these rows, which no signature tells."""
        return self._replace(call=self.call._replace(rows=rows, packed=input))

    def run(self, tensors: list[Any], dropout: float) -> tuple[Any, Any] | None:
        """The results for the tensors that :func:`find` gave, where no more is to be done than to
        run all layers as one."""
        whole = self.bounds.whole
        if not self.plain or whole is None:
            return None
        output, *final = function.run(whole, self.call.rows, tensors, dropout)
        return output, hx_of(final)


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
) -> tuple[Known | None, Key | None, list[Any]]:
    """What is known of a call; if nothing is, how it may be remembered; and its tensors, None for
    states that it has not.

    ``module`` is what the checks read of the module, its formula first, ``held`` its parameters.
    """
    kind = type(hx)
    if hx is None:
        states: Any = [None] * len(module[0].states)
    else:
        states = hx if kind is tuple or kind is list else [hx]
    tables: Any = None
    x = input
    if type(input) is PackedSequence:
        x, *tables = input
    tensors = [x, *states, *held]
    isa = None if _is_compiling() else ready_isa()
    if isa is None:
        return None, None, tensors
    try:
        rows = None
        if tables is not None:
            rows = rows_of(tables[0], x.shape[0]) if is_list(tables[0]) else None
            if rows is None:
                return None, None, tensors
            tensors += tables
            module = *module, rows.B
        # Beside autocast the dtype, which is part of the signature, says what is narrow.
        narrow = products(x.dtype) if _any_autocast() else ""
        short = (module, isa, narrow, kind, len(tensors), x.shape)
        last: _Last | None = CALLS.get(short)
        if last is not None and last.alike.to(tensors):
            known = last.known
            return known if rows is None else known.of(input, rows), None, tensors
        if type(x) not in PLAIN or not x.is_cpu:
            return None, None, tensors
        for given in (x, *(states if hx is not None else ())):
            if given.requires_grad and given.is_inference():
                return None, None, tensors
        signature = (module, isa, narrow, kind, *of_tensors(tensors))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        # No tensors, or such as have no strides, or no size yet.
        return None, None, tensors
    key = Key(short, signature, tensors)
    found: Known | None = CALLS.get(signature)
    if found is None:
        return None, key, tensors
    remember(short, _Last(Alike(tensors), found))
    return found if rows is None else found.of(input, rows), None, tensors


def keep(key: Key | None, call: Any, bounds: Bounds, plain: bool = False) -> None:
    """Remembers a call that has passed the checks, if all its layers run on kernels, and on its
    tensors themselves: under autocast some are converted first."""
    if key is None or not bounds.complete():
        return
    dtypes = {t.dtype for t in key.tensors if t is not None and t.is_floating_point()}
    if len(dtypes) == 1:  # but for the tables of a packed sequence
        known = remember(key.signature, Known(call, bounds, plain))
        remember(key.short, _Last(Alike(key.tensors), known))
