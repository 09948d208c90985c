"""The argument ``lengths``: how many steps of each padded row count."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..padded import Padded, pack
from .arguments import Call


def read(owner: str, lengths: Any, call: Call, device: torch.device) -> Padded:
    """Where the steps are that count, for the lengths of a call on padded input."""
    found = _whole(owner, lengths, call).cpu()
    T = call.rows.T
    wrong = found[(found < 0) | (found > T)].tolist()
    if wrong:
        raise ValueError(
            f"{owner}: expected lengths between 0 and the {T} steps of input, got {wrong[0]}"
        )
    return pack(found.long(), T, call.batch_first, device)


def record(owner: str, lengths: Any, call: Call, device: torch.device) -> Tensor:
    """The lengths of a call that is being captured, for an operator, which looks at the numbers
    when it runs."""
    return _whole(owner, lengths, call).to(device=device, dtype=torch.int64)


def _whole(owner: str, lengths: Any, call: Call) -> Tensor:
    """The lengths as whole numbers, one for each row."""
    if call.packed is not None or not call.batched:
        kind = "a PackedSequence, which has its own" if call.packed else "unbatched input"
        raise ValueError(f"{owner}: lengths are for padded batches, got {kind}: leave them out")
    B = call.rows.B
    found = torch.as_tensor(lengths).detach()
    whole = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool)
    if not whole and found.numel():  # an empty list has no dtype of its own
        raise ValueError(
            f"{owner}: expected lengths to be integers, got {found.dtype}; convert them with "
            "lengths.long()"
        )
    if found.shape != (B,):
        raise RuntimeError(
            f"{owner}: expected lengths of shape ({int(B)},), one for each row of the batch, got "
            f"{tuple(map(int, found.shape))}"
        )
    if found.is_meta:
        raise RuntimeError(
            f"{owner}: expected lengths with values, got a tensor on the meta device, which has "
            "none: give a list, or a tensor on the CPU"
        )
    return found
