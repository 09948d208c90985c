"""How compiled passes are called: with a table of 64-bit slots.

What depends on sizes and strides alone is prepared once for each set of them (:class:`Launch`,
which the caller keeps); a call brings the addresses, and native code puts them into a copy.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, cast

from torch import Tensor

from ..compiler.buffers import Slots
from ..compiler.jit import Code, Source, load
from ..compiler.objects import LOCK
from ..compiler.routine import FIRST, SCRATCH
from ..runtime.alignment import aligned
from ..runtime.memory import new_block


class Place(NamedTuple):
    """Where a tensor of a call goes: a slot, the tensor's number, how many bytes of it lie before
    what the pass is given, and the strides for the slots behind."""

    slot: str
    number: int
    offset: int = 0
    strides: Sequence[int] = ()


class Inner(NamedTuple):
    """A table that a slot points to, and where in it the addresses of which tensors go."""

    table: Sequence[int]
    places: Sequence[tuple[int, int, int]] = ()


class Launch:
    """A pass that is ready to be called: a table in which all but the addresses is filled in.

    Behind the slots may lie further tables, which slots point to. ``places`` says which number of
    a call is added to what: scratch memory, ``nbytes`` of it, the tensors of ``numbers`` in this
    order, and then, if it is called on several threads, how many, and what lends them. What it
    needs besides is ``kept`` alive; ``scratch`` is where its memory is, 0 if a call brings it.
    """

    def __init__(
        self,
        run: EntryPoint,
        table: array[int],
        places: Sequence[tuple[int, int]],
        numbers: Sequence[int],
        nbytes: int,
        threads: int,
        work: float,
        kept: object = None,
        scratch: int = 0,
    ) -> None:
        self._run, self._kept, self.scratch = run, kept, scratch
        self.code, self.at = run.code, run.at
        self.numbers, self.nbytes = numbers, nbytes
        self.threads, self.work = threads, work
        if threads > 1:
            after = FIRST + len(numbers)
            places = [*places, (run.at["threads"], after), (run.at["parallel"], after + 1)]
        pairs = [number for pair in places for number in pair]
        self._table = array("q", [len(table), len(table) + len(pairs), *table, *pairs])
        self.address, _ = self._table.buffer_info()

    def slot(self, name: str) -> int:
        """The number in a slot."""
        return self._table[2 + self.at[name]]

    def with_slots(self, slots: Mapping[str, int], offsets: Mapping[str, int] = {}) -> Launch:
        """The same with other numbers in slots, and with offsets to which the last of a call's
        numbers is added, an address behind those of the tensors."""
        table, places = self._parts()
        for name, number in {**slots, **offsets}.items():
            table[self.at[name]] = number
        places += [(self.at[name], FIRST + len(self.numbers)) for name in offsets]
        call = self.nbytes, self.threads, self.work, self._kept, self.scratch
        return Launch(self._run, table, places, self.numbers, *call)

    def _parts(self) -> tuple[array[int], list[tuple[int, int]]]:
        """The table, and the places in it of a call's numbers, but not of what lends threads."""
        end = 2 + self._table[0]
        table, pairs = self._table[2:end], self._table[end:]
        if self.threads > 1:
            pairs = pairs[:-4]
        return table, [*zip(pairs[::2], pairs[1::2], strict=True)]

    @property
    def packed_bytes(self) -> int:
        """The bytes of its memory that depend on the weights only."""
        numbers = dict(zip(self._run.slots.names, self._table[2:], strict=False))
        return self._run.slots.layout(numbers, packed=True)[1]

    def reading(self, weights: int, owner: object) -> Launch:
        """The same for weights that are packed at that address, in memory that it keeps."""
        (table, places), at, nbytes = self._parts(), self.at, self.packed_bytes
        places.remove((at["weights"], SCRATCH))
        for name, number in {"weights": weights, "packed": 1, "unpacked": 0}.items():
            table[at[name]] = number
        table[at["scratch"]] -= nbytes  # all other buffers lie behind those that it does without
        call = self.nbytes - nbytes, self.threads, self.work, (self._kept, owner), self.scratch
        return Launch(self._run, table, places, self.numbers, *call)

    def hold(
        self, tensors: Sequence[Tensor | None], free: Sequence[int], own_memory: bool = True
    ) -> Launch:
        """The same for calls that bring no tensors but the ``free`` ones, in this order: it keeps
        the others, and scratch memory of its own, unless calls bring that."""
        owner, scratch = new_block(self.nbytes) if own_memory else (None, 0)
        table, every = self._parts()
        held, places = {SCRATCH: scratch} if own_memory else {}, list[tuple[int, int]]()
        for number, n in enumerate(self.numbers, FIRST):
            if n not in free:
                held[number] = cast(Tensor, tensors[n]).data_ptr()
        for slot, number in every:
            if number in held:
                table[slot] += held[number]
            elif number == SCRATCH:
                places.append((slot, number))
            else:
                places.append((slot, FIRST + free.index(self.numbers[number - FIRST])))
        kept = self._kept, owner, [t for n, t in enumerate(tensors) if n not in free]
        call = self.nbytes, self.threads, self.work, kept, scratch
        return Launch(self._run, table, places, range(len(free)), *call)

    def point(self, slot: str, strides: tuple[int, ...]) -> None:
        """The next call brings a tensor from outside the layer there, with these strides of time,
        rows (left out if there is one row) and units."""
        at = 3 + self.at[slot]
        self._table[at : at + 3] = array("q", (strides[0], strides[-2], strides[-1]))


class EntryPoint:
    """One compiled pass: its slots by name, its code, the calls it has been prepared for. Where it
    has to be compiled, so are the ``others`` with it, which are needed soon after it."""

    def __init__(
        self, slots: Slots, source: Callable[[], Source], others: Sequence[EntryPoint] = ()
    ) -> None:
        self.slots, self.at, self.source, self._others = slots, slots.at, source, others
        self._code: Code | None = None
        self.origin = ""  # "disk" or "compiled", once it is loaded

    @property
    def code(self) -> Code:
        if self._code is None:
            with LOCK:
                if self._code is None:
                    self._load()
        return cast(Code, self._code)

    def _load(self) -> None:
        every = [self, *(other for other in self._others if other._code is None)]
        for entry, loaded in zip(every, load(*(one.source() for one in every)), strict=False):
            entry._code, entry.origin = loaded

    def prepare(
        self,
        places: Iterable[Place],
        values: dict[str, int],
        inner: Mapping[str, Inner] = {},
        work: float = 0.0,
    ) -> Launch:
        """The pass for tensors with these places, with further tables by their slots; ``values``
        are the numbers in other slots, ``work`` is what :func:`.thread_count` was asked for."""
        threads, (offsets, room) = values["threads"], self.slots.layout(values)
        zeros = [name for name, slot in self.slots.arguments.items() if slot.zeros]
        values = dict.fromkeys(zeros, values.get("zeros", 0)) | values | offsets
        table = array("q", [values.get(slot, 0) for slot in self.slots.names])
        numbers: dict[int, int] = {}  # by those of the tensors, those of the call
        pairs: list[tuple[int, int]] = []

        def place(at: int, number: int, offset: int) -> None:
            table[at] = offset
            pairs.append((at, numbers.setdefault(number, FIRST + len(numbers))))

        for slot, number, offset, strides in places:
            place(self.at[slot], number, offset)
            for i, stride in enumerate(strides, self.at[slot] + 1):
                table[i] = stride
        for slot, (further, addresses) in inner.items():
            begin = len(table)
            table[self.at[slot]] = begin * table.itemsize
            pairs.append((self.at[slot], SCRATCH))
            table.extend(further)
            for at, number, offset in addresses:
                place(begin + at, number, offset)
        used = aligned(len(table) * table.itemsize)
        for slot in ("scratch", "weights"):
            if slot in self.at:
                table[self.at[slot]] = used  # by the copy of this table
                pairs.append((self.at[slot], SCRATCH))
        if threads > 1:
            table[self.at["threads"]] = table[self.at["parallel"]] = 0
        nbytes = used + room
        return Launch(self, table, pairs, [*numbers], nbytes, threads, work)
