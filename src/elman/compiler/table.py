"""How compiled passes are called: with a table of 64-bit slots.

What depends on sizes and strides alone is prepared once for each set of them (:class:`Prepared`); a
call copies it and fills in the addresses.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from ..batch import Rows
from ..runtime.memory import scratch
from ..runtime.threads import parallel_address
from .jit import LOCK, Code
from .sizes import Jobs, Layout

_LIMIT = 256  # prepared tables a pass remembers; each is about a kilobyte


class Place(NamedTuple):
    """Where a tensor of a call goes: a slot, the tensor's number, and how many bytes of it lie
    before what the pass is given.

    After the slot come those of the strides: of time, row and unit for a tensor from outside the
    layer, as they are for a parameter, none if it is known to be contiguous.
    """

    slot: str
    number: int
    offset: int = 0
    outside: bool = True
    strided: bool = True


class Prepared:
    """A table in which all but addresses is filled in, and what a call needs beside it."""

    def __init__(
        self,
        table: array[int],
        places: list[tuple[int, int, int]],
        nbytes: int,
        jobs: Jobs | None,
        segments: array[int] | None,
    ) -> None:
        self.table, self.places, self.bytes = table, places, nbytes
        self.jobs, self.segments = jobs, segments


class Pass:
    """One compiled pass: its slots by name, its code, the calls it has been prepared for."""

    def __init__(
        self,
        slots: Sequence[str],
        kept: Sequence[str],
        load_code: Callable[[], tuple[Code, str]],
    ) -> None:
        self.slots, self._load_code = slots, load_code
        self.at = {slot: i for i, slot in enumerate(slots)}
        self._kept, self._scratch = [self.at[name] for name in kept], self.at["scratch"]
        self._code: Code | None = None
        self.origin = ""  # "disk" or "compiled", once it is loaded
        self.prepared: dict[Any, Prepared] = {}

    @property
    def code(self) -> Code:
        if self._code is None:
            with LOCK:
                if self._code is None:
                    self._code, self.origin = self._load_code()
        return self._code

    def prepare(
        self,
        key: Any,
        tensors: Sequence[Tensor | None],
        places: Iterable[Place],
        values: dict[str, int],
        layout: Layout,
        jobs: Jobs | None = None,
        segments: array[int] | None = None,
    ) -> Prepared:
        """Remembers the table of a call with these sizes and strides.

        A tensor that is None is all zeros: ``values`` has an address for it, the strides are none.
        """
        values = values | layout.offsets
        table = array("q", [values.get(slot, 0) for slot in self.slots])
        there = []
        for slot, number, offset, outside, strided in places:
            tensor, at = tensors[number], self.at[slot]
            if tensor is None:
                continue
            there.append((at, number, offset))
            strides = tensor.stride() if strided else ()
            if strided and outside:  # (T, B, H), (N, H), (B, H) or (D, B, H)
                strides = (strides[0], strides[-2], strides[-1])
            for place, stride in enumerate(strides, at + 1):
                table[place] = stride
        if len(self.prepared) >= _LIMIT:
            self.prepared.clear()
        made = self.prepared[key] = Prepared(table, there, layout.bytes, jobs, segments)
        return made

    def start(
        self,
        prepared: Prepared,
        tensors: Sequence[Tensor | None],
        rows: Rows,
        threads: int,
        saved: Tensor | None,
    ) -> tuple[array[int], Any]:
        """The table for one call, and the owner of its scratch memory."""
        table = prepared.table[:]
        owner, table[self._scratch] = scratch(prepared.bytes)
        for at, number, offset in prepared.places:
            tensor: Any = tensors[number]
            table[at] = (tensor.data_ptr() or no_memory(tensor)) + offset
        if saved is not None:
            address = saved.data_ptr()
            for at in self._kept:
                table[at] += address
        if threads > 1:
            table[self.at["parallel"]] = parallel_address()
        if rows.counts is not None and rows.offsets is not None:
            table[self.at["counts"]] = rows.counts.data_ptr()
            table[self.at["offsets"]] = rows.offsets.data_ptr()
        return table, owner


def no_memory(tensor: Tensor) -> int:
    """The address of a tensor without memory: null if it has no elements either."""
    if tensor.numel():
        raise RuntimeError(
            f"expected a tensor of shape {tuple(tensor.shape)} to have memory, got one whose "
            "storage has been freed, or that never had any: give it memory before the call"
        )
    return 0
