"""Freezing the recurrent modules of a model, and what is said of it."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from ..dispatch.weight_dtypes import check_formula, check_weight_dtype
from .base import RecurrentModule
from .frozen import Frozen, frozen_of, why_unfit
from .messages import check_module

_Module = TypeVar("_Module", bound=torch.nn.Module)


def freeze(module: _Module, *, weight_dtype: torch.dtype | None = None) -> _Module:
    """Keeps the weights of all recurrent layers and cells of elman inside a model packed, in place.

    A call of a module packs its weights or reads them as they lie; a frozen one packs them once,
    which makes calls of one step faster. It does so in evaluation (``module.eval()``), for calls
    that want no gradient (under ``torch.inference_mode()`` or ``torch.no_grad()``, or where nothing
    requires one). All other calls run as before, and so do captured programs (``torch.compile``).
    The results have the same bits.

    Each call looks whether the weights are those that were packed, and packs them anew if not: if
    a parameter has been replaced, moved or written to in place (by an optimiser, by
    ``load_state_dict``). Writing through ``.data`` or NumPy leaves no trace: freeze again after
    that. In training mode nothing is kept; after ``eval()`` the module is frozen again, until
    :func:`thaw`. Copies, and what is pickled, are frozen too. Weights that are parametrized or
    pruned, or that no kernel reads, stay unpacked, as :func:`elman.explain` says.

    Args:
        module: the model, or a layer. :func:`elman.accelerate` makes torch.nn's layers elman's.
        weight_dtype: ``torch.bfloat16`` or ``torch.int8`` packs the matrices of float32 modules
            into a half or a quarter of the bytes, and results have the bits of an
            :class:`elman.Stream` with it. Calls that want a gradient, under autocast or
            ``torch.compile`` take the weights as they are.

    Returns:
        The module that was given.

    Raises:
        TypeError: what is no module.
        ValueError: a model without recurrent layers of elman; another ``weight_dtype``, or one for
            a module that is not float32.

    The guide is docs/libraries.md.

    >>> import elman, torch
    >>> gru = elman.freeze(elman.GRU(2, 4).eval())
    >>> with torch.inference_mode():
    ...     for x in torch.rand(3, 1, 1, 2):
    ...         output, h_n = gru(x)
    >>> elman.explain(gru).layers[0].frozen
    'yes, ... bytes'
    """
    check_module("freeze", module)
    check_weight_dtype("freeze", weight_dtype)
    found = _recurrent(module)
    if not found:
        raise ValueError(
            f"freeze: expected recurrent layers of elman in {type(module).__name__}, got none: "
            "elman.accelerate turns torch.nn's into elman's"
        )
    for part in found if weight_dtype is not None else ():
        check_formula("freeze", part._step(), weight_dtype)
        for p in part.parameters(recurse=False):
            if p.dtype != torch.float32:
                raise ValueError(
                    f"freeze: weight_dtype={weight_dtype} is for modules of torch.float32, got one "
                    f"of {p.dtype}: module.float() converts it"
                )
    freeze_all(module, weight_dtype)
    return module


def thaw(module: _Module) -> _Module:
    """Undoes :func:`freeze`, in place: packed weights go, and calls run as before.

    Args:
        module: a model, or one layer.

    Returns:
        The module that was given.

    Raises:
        TypeError: what is no module.

    >>> import elman
    >>> gru = elman.thaw(elman.freeze(elman.GRU(2, 4)))
    >>> elman.explain(gru).layers[0].frozen
    ''
    """
    check_module("thaw", module)
    for part in _recurrent(module):
        part.__dict__.pop("_repeat", None)
    return module


def status(module: Any) -> str:
    """Whether a module's weights stay packed, in words; empty if nobody has asked for it."""
    frozen = frozen_of(module)
    if frozen is None:
        return ""
    if module.training:
        return "not in training mode: call eval()"
    if why := why_unfit(module._weights(module._step()), frozen.weight_dtype):
        return f"no, because {why}"
    held = frozen.held
    packed = f"{held.packed.nbytes:,} bytes" if held else "nothing packed before the first calls"
    kind = str(frozen.weight_dtype).removeprefix("torch.")
    return f"yes, {packed}" + (f" of {kind} weights" if frozen.weight_dtype else "")


def freeze_all(module: torch.nn.Module, weight_dtype: torch.dtype | None = None) -> None:
    """Freezes whatever recurrent modules there are."""
    for part in _recurrent(module):
        part.__dict__["_repeat"] = Frozen(weight_dtype)


def _recurrent(module: torch.nn.Module) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, RecurrentModule)]
