"""What weights in fewer bytes change: the outputs of a module for data, with them and without."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .stack import Stack, stack_of

_TOKENS = (torch.int32, torch.int64)  # what torch.nn.Embedding takes


class Narrowing(NamedTuple):
    """The differences of all outputs, from those of the weights as they are."""

    largest: float  # of their sizes
    rms: float  # the root of their mean square
    relative: float  # the same, in parts of that of the outputs


def narrowing(module: Any, narrow: Stack, data: Iterable[Any]) -> Narrowing:
    """How far a module with ``narrow`` weights is off for ``data``, sequences as it takes them.

    Both run in double precision, so all of the difference is that of the weights.

    Raises:
        TypeError: data that are no tensors.
        ValueError: weights that are not narrow, data of another shape or dtype, tokens that are
            none, outputs that are no numbers or all zero.
    """
    whole = stack_of(module, None, narrow.max_steps or None)
    if narrow.panel == whole.panel:
        raise ValueError(
            "export: expected weight_dtype with data, which say what is lost by it, got None: "
            "leave data out, or give torch.bfloat16 or torch.int8"
        )
    batch_first = any(getattr(part, "batch_first", False) for part in module.modules())
    every = [_steps(whole, batch_first, given) for given in data]
    with torch.no_grad():
        exact, found = (torch.cat([s.run(x, []).flatten() for x in every]) for s in (whole, narrow))
    off, scale = (exact - found).abs(), exact.square().mean().sqrt().item()
    rms = off.square().mean().sqrt().item()
    if not 0 < scale < torch.inf:
        raise ValueError(
            "export: expected data for which the module's outputs are numbers other than zero, got "
            f"outputs whose root mean square is {scale}"
        )
    return Narrowing(off.max().item(), rms, rms / scale)


def _steps(stack: Stack, batch_first: bool, given: Any) -> Tensor:
    """Data as ``(T, B, I)``; tokens are ``(T, B, 1)``."""
    if not isinstance(given, Tensor):
        raise TypeError(f"export: expected data to be a tensor, got {type(given).__name__}")
    if stack.further:
        raise ValueError(
            "export: expected no data for a module with further inputs, got some for one with "
            f"{', '.join(stack.further)}: compare two elman.Stream, one with weight_dtype"
        )
    x = given.detach().cpu()
    if stack.tokens:
        x = x[..., None]
    shape = "(B, T, I)" if batch_first else "(T, B, I)"
    ranks = f"(T, I) or {shape} with I = {stack.width}"
    if stack.tokens:
        ranks = f"(T,) or {shape.replace(', I', '')}"
    if x.ndim not in (2, 3) or x.shape[-1] != stack.width or not x.numel():
        raise ValueError(
            f"export: expected data of shape {ranks}, none of them 0, got {tuple(given.shape)}"
        )
    dtypes = _TOKENS if stack.tokens else (torch.float32,)
    if x.dtype not in dtypes:
        names = " or ".join(map(str, dtypes))
        raise ValueError(f"export: expected data of {names}, got {x.dtype}: data.to() converts it")
    if stack.tokens and not 0 <= x.min() <= x.max() < stack.tokens:
        raise ValueError(
            f"export: expected tokens from 0 to {stack.tokens - 1} as data, got some from "
            f"{x.min()} to {x.max()}"
        )
    x = x[:, None] if x.ndim == 2 else x.transpose(0, 1) if batch_first else x
    if stack.whole and len(x) > stack.max_steps:
        raise ValueError(
            f"export: expected data of at most max_steps={stack.max_steps} steps, got {len(x)}"
        )
    return x
