"""How compiled passes are called: with a table of 64-bit slots.

What depends on sizes and strides alone is prepared once for each set of them (:class:`Prepared`,
which the caller keeps); a call copies it and fills in the addresses.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from ..batch import Rows
from ..runtime.memory import new_block, scratch
from ..runtime.threads import alone, came, parallel_address
from .jit import LOCK, Code
from .sizes import Layout

_LIMIT = 64  # each has a table of about a kilobyte
_T = TypeVar("_T")


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


class Inner(NamedTuple):
    """A table that a slot points to, and where in it the addresses of which tensors go."""

    table: Sequence[int]
    places: Sequence[tuple[int, int, int]] = ()


class Prepared:
    """A pass that is ready to be called: a table in which all but the addresses is filled in.

    Behind the slots may lie further tables, which ``inner`` slots point to: at which place each
    begins. ``places`` says where the address of which tensor goes, and how many bytes beyond.
    """

    def __init__(
        self,
        run: Pass,
        table: array[int],
        places: list[tuple[int, int, int]],
        inner: list[tuple[int, int]],
        nbytes: int,
        threads: int,
        work: float,
    ) -> None:
        self._run, self._call, self._table = run, run.code.call, table
        self._places, self._inner, self._bytes = places, inner, nbytes
        self._parallel, self._threads, self._work = threads > 1, threads, work

    def __call__(
        self, rows: Rows, tensors: Sequence[Tensor | None], saved: Tensor | None = None
    ) -> None:
        """Runs the pass. ``saved`` is what is kept for the backward pass."""
        table = self._table[:]
        owner, address = scratch(self._bytes)
        self._call(self._fill(table, address, rows, tensors, saved))
        del owner  # until here the code used it
        if self._parallel:
            self._run.note(table, self._work)

    def _fill(
        self,
        table: array[int],
        scratch_address: int,
        rows: Rows,
        tensors: Sequence[Tensor | None],
        saved: Tensor | None = None,
    ) -> int:
        """Puts all addresses into a copy of the table; returns its own."""
        run = self._run
        table[run.scratch] = scratch_address
        for at, number, offset in self._places:
            tensor: Any = tensors[number]
            table[at] = (tensor.data_ptr() or no_memory(tensor)) + offset
        if saved is not None:
            address = saved.data_ptr()
            for at in run.kept:
                table[at] += address
        if self._parallel:
            run.share(table, self._threads, self._work)
        if rows.counts is not None and rows.offsets is not None:
            table[run.at["counts"]] = rows.counts.data_ptr()
            table[run.at["offsets"]] = rows.offsets.data_ptr()
        address = table.buffer_info()[0]
        for at, begin in self._inner:
            table[at] = address + begin * table.itemsize
        return address

    def hold(self, rows: Rows, tensors: Sequence[Tensor | None]) -> Held:
        """The pass for calls that keep all of their memory."""
        return Held(self, rows, tensors)


class Held:
    """A forward pass that is called over and over with the same memory.

    Its table stays filled in, its scratch memory is its own, and the weights that the first call
    has packed there are what the others read.
    """

    def __init__(self, prepared: Prepared, rows: Rows, tensors: Sequence[Tensor | None]) -> None:
        run = prepared._run
        self._tensors, self._call = tensors, prepared._call
        self._owner, place = new_block(prepared._bytes)
        self._table = prepared._table[:]
        self._table[run.at["fleeting"]] = 0  # one step a call, but the panels stay
        self._address = prepared._fill(self._table, place, rows, tensors)
        self._at, self._packed, self._parallel = run.at, run.at["packed"], prepared._parallel
        self._threads, self._work = prepared._threads, prepared._work
        self._run = run  # the code is alive as long as this

    def point(self, slot: str, address: int, strides: tuple[int, ...]) -> None:
        """The next call finds a tensor from outside the layer there; ``strides`` are those of time,
        rows (left out if there is one row) and units."""
        at, table = self._at[slot], self._table
        table[at], table[at + 1], table[at + 2] = address, strides[0], strides[-2]
        table[at + 3] = strides[-1]

    def __call__(self) -> None:
        table = self._table
        if self._parallel:
            self._run.share(table, self._threads, self._work)
        self._call(self._address)
        table[self._packed] = 1
        if self._parallel:
            self._run.note(table, self._work)


class Known:
    """Passes that are ready, by what they depend on. When there are too many, all go."""

    def __init__(self) -> None:
        self._ready: dict[Any, Any] = {}
        self.find = self._ready.get

    def keep(self, key: Any, ready: _T) -> _T:
        if len(self._ready) >= _LIMIT:
            self._ready.clear()
        self._ready[key] = ready
        return ready

    def __len__(self) -> int:
        return len(self._ready)


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
        self.kept, self.scratch = [self.at[name] for name in kept], self.at["scratch"]
        self._code: Code | None = None
        self.origin = ""  # "disk" or "compiled", once it is loaded

    @property
    def code(self) -> Code:
        if self._code is None:
            with LOCK:
                if self._code is None:
                    self._code, self.origin = self._load_code()
        return self._code

    def share(self, table: array[int], threads: int, work: float) -> None:
        """Lends a call threads: as many as it is cut for, or none but the caller's own."""
        table[self.at["parallel"]] = address = parallel_address()  # none in a forked child
        table[self.at["threads"]] = threads if address and not alone(work) else 1
        table[self.at["late"]] = 0

    def note(self, table: array[int], work: float) -> None:
        """Remembers whether all threads that were called came in time."""
        if table[self.at["threads"]] > 1:
            came(bool(table[self.at["late"]]), work)

    def prepare(
        self,
        tensors: Sequence[Tensor | None],
        places: Iterable[Place],
        values: dict[str, int],
        layout: Layout,
        inner: Mapping[str, Inner] = {},
        work: float = 0.0,
    ) -> Prepared:
        """The pass for tensors of these sizes and strides, with further tables by their slots;
        ``work`` is what :func:`.thread_count` was asked for.

        A tensor that is None is all zeros: ``values`` has an address for it, the strides are none.
        """
        threads = values["threads"]
        values = values | layout.offsets
        table = array("q", [values.get(slot, 0) for slot in self.slots])
        there, begins = [], []
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
        for slot, (numbers, addresses) in inner.items():
            begins.append((self.at[slot], len(table)))
            there += [(len(table) + at, number, offset) for at, number, offset in addresses]
            table.extend(numbers)
        return Prepared(self, table, there, begins, layout.bytes, threads, work)


def no_memory(tensor: Tensor) -> int:
    """The address of a tensor without memory: null if it has no elements either."""
    if tensor.numel():
        raise RuntimeError(
            f"expected a tensor of shape {tuple(tensor.shape)} to have memory, got one whose "
            "storage has been freed, or that never had any: give it memory before the call"
        )
    return 0
