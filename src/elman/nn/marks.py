"""The arguments ``lengths``, ``reset`` and ``reset_to``: which steps of each row count, where it
begins anew, and with which states."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..dispatch.transforms import captured
from ..padded import Marks, Padded, pack
from .arguments import Call


class Given(NamedTuple):
    """The arguments as the caller gave them."""

    lengths: Any
    reset: Any
    reset_to: Any


def given(input: Any, batch_first: bool, lengths: Any, reset: Any, reset_to: Any) -> Given | None:
    """The arguments, unless they are right and say nothing: all steps count, and none is a reset.

    Such a call runs, and is known, as one without them.
    """
    found = Given(lengths, reset, reset_to)
    if type(input) is not Tensor or input.dim() != 3 or captured():
        return found
    T, B = input.shape[1::-1] if batch_first else input.shape[:2]
    full = lengths is None or _is_full(lengths, T, B)
    shape = (B, T) if batch_first else (T, B)
    never = lengths is not None and reset is None and reset_to is None
    if full and reset is not None and (reset_to is None or _is_zero(reset_to)):
        plain = type(reset) is Tensor and reset.dtype == torch.bool and not reset.is_meta
        never = plain and reset.shape == shape and not reset.any()
    return None if full and never else found


def _is_full(lengths: Any, T: int, B: int) -> bool:
    if isinstance(lengths, (list, tuple)):
        whole = all(type(n) is int for n in lengths)
        return whole and lengths.count(T) == len(lengths) == B
    whole = type(lengths) is Tensor and lengths.dtype in _WHOLE and not lengths.is_meta
    return whole and lengths.shape == (B,) and lengths.tolist().count(T) == B


_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def _is_zero(reset_to: Any) -> bool:
    return type(reset_to) in (int, float) and reset_to == 0


def read(owner: str, given: Given, call: Call, directions: int, device: torch.device) -> Padded:
    """Where the sequences of a call on padded input are."""
    rows, batch_first = call.rows, call.batched and call.batch_first
    marks = Marks(*(None if t is None else t.cpu() for t in _checked(owner, given, call)))
    if marks.lengths is not None:
        lengths = marks.lengths.long()
        wrong = [n for n in lengths.tolist() if not 0 <= n <= rows.T]
        if wrong:
            raise ValueError(
                f"{owner}: expected lengths between 0 and the {rows.T} steps of input, got "
                f"{wrong[0]}"
            )
        marks = marks._replace(lengths=lengths)
    return pack(marks, rows.T, rows.B, directions, batch_first, device)


def record(owner: str, given: Given, call: Call, device: torch.device) -> Marks:
    """What a call that is being captured says of its rows, for an operator, which looks at the
    numbers when it runs."""
    lengths, reset = _checked(owner, given, call)
    return Marks(
        None if lengths is None else lengths.to(device=device, dtype=torch.int64),
        None if reset is None else reset.to(device),
    )


def _checked(owner: str, given: Given, call: Call) -> tuple[Tensor | None, Tensor | None]:
    """The lengths as whole numbers, one for each row, and the resets as truth values ``(T, B)``."""
    lengths, reset, reset_to = given
    if reset is None and reset_to is not None:
        raise ValueError(
            f"{owner}: reset_to is the state that a reset returns to, got no reset: give reset="
        )
    return (
        None if lengths is None else _lengths(owner, lengths, call),
        None if reset is None else _reset(owner, reset, call),
    )


def _lengths(owner: str, lengths: Any, call: Call) -> Tensor:
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
    return _with_values(owner, "lengths", found)


def _reset(owner: str, reset: Any, call: Call) -> Tensor:
    if call.packed is not None:
        raise ValueError(
            f"{owner}: reset is for padded input, got a PackedSequence: unpack it with "
            "torch.nn.utils.rnn.pad_packed_sequence, and give lengths= and reset="
        )
    found = torch.as_tensor(reset).detach()
    if found.dtype != torch.bool:
        raise ValueError(
            f"{owner}: expected reset to be of torch.bool, True before the steps at which a row "
            f"begins anew, got {found.dtype}; convert it with reset.bool()"
        )
    T, B = call.rows[:2]
    shape: tuple[int, ...] = (B, T) if call.batch_first else (T, B)
    form = "(B, T)" if call.batch_first else "(T, B)"
    if not call.batched:
        shape, form = (T,), "(T,)"
    if found.shape != shape:
        raise RuntimeError(
            f"{owner}: expected reset of shape {tuple(map(int, shape))}, {form} as input has it, "
            f"got {tuple(map(int, found.shape))}"
        )
    found = _with_values(owner, "reset", found)
    if not call.batched:
        return found[:, None]
    return found.T if call.batch_first else found


def _with_values(owner: str, name: str, found: Tensor) -> Tensor:
    if found.is_meta:
        raise RuntimeError(
            f"{owner}: expected {name} with values, got a tensor on the meta device, which has "
            "none: give a list, or a tensor on the CPU"
        )
    return found
