"""How compiled passes are called: with a table of 64-bit slots.

What depends on sizes and strides alone is prepared once for each set of them (:class:`Prepared`,
which the caller keeps); a call brings the addresses, and native code puts them into a copy.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from ..runtime.memory import ALIGNMENT, new_block, scratch
from ..runtime.threads import alone, came, parallel_address
from .jit import LOCK, Code
from .sizes import Layout

_LIMIT = 64  # each has a table of about a kilobyte
SCRATCH, FIRST = 1, 2  # of the numbers of a call: scratch memory, the first tensor
_T = TypeVar("_T")
_address = Tensor.data_ptr


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

    Behind the slots may lie further tables, which slots point to. ``places`` says which number of
    a call is added to what: scratch memory, the tensors of ``numbers`` in this order, and then, if
    it is called on several threads, what :meth:`Pass.share` gives. It is called with ``count``
    tensors; what it needs besides is ``kept`` alive.
    """

    def __init__(
        self,
        run: Pass,
        table: array[int],
        places: Sequence[tuple[int, int]],
        numbers: Sequence[int],
        count: int,
        nbytes: int,
        threads: int,
        work: float,
        kept: object = None,
    ) -> None:
        self._run, self._call, self._bytes = run, run.code.call, nbytes
        self.numbers, self.count, self._kept = numbers, count, kept
        self._parallel, self._threads, self._work = threads > 1, threads, work
        self._tensors = itemgetter(*numbers)
        if self._parallel:
            after = FIRST + len(numbers)
            places = [*places, (run.at["threads"], after), (run.at["parallel"], after + 1)]
        self._pack = Struct(f"{FIRST + len(numbers) + 2 * self._parallel}q").pack
        pairs = [number for pair in places for number in pair]
        self._table = array("q", [len(table), len(table) + len(pairs), *table, *pairs])
        self._address, _ = self._table.buffer_info()

    def slot(self, name: str) -> int:
        """The number in a slot."""
        return self._table[2 + self._run.at[name]]

    @property
    def native(self) -> tuple[int, int]:
        """The address of the code, for native callers, and how many bytes of scratch memory the
        call takes."""
        return self._run.code.address, self._bytes

    def table(self, slots: Mapping[str, int], offsets: Mapping[str, int]) -> array[int]:
        """The table, for native callers, with other numbers in slots, and with offsets to which
        the call's last number is added, an address behind those of the tensors."""
        table, at = self._table[:], self._run.at
        for name, number in {**slots, **offsets}.items():
            table[2 + at[name]] = number
        for name in offsets:
            table.extend((at[name], FIRST + len(self.numbers)))
        table[1] += 2 * len(offsets)
        return table

    def run(self, tensors: Sequence[Tensor | None]) -> None:
        """Runs the pass. (As ``__call__`` it would take longer.)"""
        owner, place = scratch(self._bytes)
        given = self._tensors(tensors)
        addresses = [*map(_address, given)]
        if not all(addresses):
            check_memory(given)
        if self._parallel:
            addresses += self._run.share(self._threads, self._work)
        self._call(self._pack(self._address, place, *addresses))
        if self._parallel:
            self._run.note(place, addresses, self._work)
        del owner  # until here the code used it

    def hold(self, tensors: Sequence[Tensor | None]) -> Held:
        """The pass for calls that keep all of their memory."""
        return Held(self, tensors)


class Held:
    """A forward pass that is called over and over with the same memory.

    Its numbers stay, its scratch memory is its own, and the weights that the first call has packed
    there are what the others read.
    """

    def __init__(self, prepared: Prepared, tensors: Sequence[Tensor | None]) -> None:
        run = self._run = prepared._run  # the code is alive as long as this
        self._call, self._tensors = prepared._call, prepared._tensors(tensors)
        self._owner, place = new_block(prepared._bytes)
        self._table = prepared._table[:]
        self._slots = memoryview(self._table)[2:]
        self._slots[run.at["fleeting"]] = 0  # one step a call, but the panels stay
        self._at, self._packed = run.at, run.at["packed"]
        self._parallel, self._threads = prepared._parallel, prepared._threads
        self._work = prepared._work
        addresses = map(_address, self._tensors)
        self._numbers = array("q", [self._table.buffer_info()[0], place, *addresses])
        self._numbers.extend((0, 0))
        places = self._table[2 + self._table[0] :]
        self._number = dict(zip(places[::2], places[1::2], strict=True))
        self._address, _ = self._numbers.buffer_info()

    def point(self, slot: str, address: int, strides: tuple[int, ...]) -> None:
        """The next call finds a tensor from outside the layer there; ``strides`` are those of time,
        rows (left out if there is one row) and units."""
        at, slots = self._at[slot], self._slots
        self._numbers[self._number[at]] = address
        slots[at + 1], slots[at + 2], slots[at + 3] = strides[0], strides[-2], strides[-1]

    def __call__(self) -> None:
        if self._parallel:
            self._numbers[-2:] = array("q", self._run.share(self._threads, self._work))
        self._call(self._address)
        self._slots[self._packed] = 1
        if self._parallel:
            self._run.note(self._numbers[SCRATCH], self._numbers, self._work)


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

    def __init__(self, slots: Sequence[str], load_code: Callable[[], tuple[Code, str]]) -> None:
        self.slots, self._load_code = slots, load_code
        self.at = {slot: i for i, slot in enumerate(slots)}
        self._code: Code | None = None
        self.origin = ""  # "disk" or "compiled", once it is loaded

    @property
    def code(self) -> Code:
        if self._code is None:
            with LOCK:
                if self._code is None:
                    self._code, self.origin = self._load_code()
        return self._code

    def share(self, threads: int, work: float) -> tuple[int, int]:
        """The last numbers of a call that is cut for threads: how many it gets, or none but the
        caller's own, and what lends them."""
        address = parallel_address()  # none in a forked child
        return threads if address and not alone(work) else 1, address

    def note(self, place: int, numbers: Sequence[int], work: float) -> None:
        """Remembers whether all threads that were called came in time; ``place`` is where the code
        has left its table."""
        if numbers[-2] > 1:
            late = ctypes.c_int64.from_address(place + 8 * self.at["late"])
            came(bool(late.value), work)

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
        threads, values = values["threads"], values | layout.offsets
        table = array("q", [values.get(slot, 0) for slot in self.slots])
        numbers: dict[int, int] = {}  # by those of the tensors, those of the call
        pairs: list[tuple[int, int]] = []

        def place(at: int, number: int, offset: int) -> None:
            table[at] = offset
            pairs.append((at, numbers.setdefault(number, FIRST + len(numbers))))

        for slot, number, offset, outside, strided in places:
            tensor, at = tensors[number], self.at[slot]
            if tensor is None:
                continue
            place(at, number, offset)
            strides = tensor.stride() if strided else ()
            if strided and outside:  # (T, B, H), (N, H), (B, H) or (D, B, H)
                strides = (strides[0], strides[-2], strides[-1])
            for i, stride in enumerate(strides, at + 1):
                table[i] = stride
        for slot, (further, addresses) in inner.items():
            begin = len(table)
            table[self.at[slot]] = begin * table.itemsize
            pairs.append((self.at[slot], SCRATCH))
            table.extend(further)
            for at, number, offset in addresses:
                place(begin + at, number, offset)
        used = -(-len(table) * table.itemsize // ALIGNMENT) * ALIGNMENT
        table[self.at["scratch"]] = used  # by the copy of this table
        pairs.append((self.at["scratch"], SCRATCH))
        if threads > 1:
            table[self.at["threads"]] = table[self.at["parallel"]] = 0
        nbytes = used + layout.bytes
        return Prepared(self, table, pairs, [*numbers], len(tensors), nbytes, threads, work)


def check_memory(tensors: Sequence[Tensor]) -> None:
    """RuntimeError if there are tensors that have elements, but no memory."""
    for tensor in tensors:
        if tensor.numel() and not tensor.data_ptr():
            raise RuntimeError(
                f"expected a tensor of shape {tuple(tensor.shape)} to have memory, got one whose "
                "storage has been freed, or that never had any: give it memory before the call"
            )
