"""The slots of a pass, each declared once.

A pass has one argument: a table of 64-bit slots. From a declaration come the slot's place in the
table, the size and place of a buffer in scratch memory, and the address of one of its elements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from ..runtime.alignment import aligned
from .formats import BYTES

#: A length, the slot that holds it, or what it is for the numbers in the slots.
Length = int | str | Callable[[Mapping[str, int]], int]
#: By the letters of strides the dimension: time, the row, its unit, the column of a matrix. Tensors
#: are ``(T, B, H)``, ``(N, H)``, ``(B, H)`` or ``(D, B, H)``.
AXES = {"t": 0, "r": -2, "u": -1, "c": -1}
_BYTES = {**BYTES, "i64": 8, "ptr": 8}


@dataclass(frozen=True)
class Argument:
    """A tensor of the caller: its address, and the strides that are not known, in elements.

    ``strides`` has a letter for each, see :data:`AXES`; none if the tensor is contiguous. A tensor
    may be that of several passes: ``of`` is what one layer and direction has of it, a ``"row"`` of
    the first dimension, its share of the ``"units"``, or by default all.
    """

    name: str
    strides: str = ""
    zeros: bool = False  # None stands for zeros; otherwise its address is null
    of: str = ""

    @property
    def slots(self) -> list[str]:
        """The names of its slots, in the order of the table."""
        return [self.name, *(f"{self.name}.{letter}" for letter in self.strides)]


@dataclass(frozen=True)
class Buffer:
    """An array in scratch memory, in row-major order; its slot holds an offset in bytes.

    The first length decides the size only, so it need not be the number in one slot.
    """

    name: str
    lengths: tuple[Length, ...]
    kind: str  # LLVM's type of an element
    of_thread: bool = False  # each thread has one; a second slot holds the bytes that one takes
    packed: bool = False  # holds weights, which are the same in every call

    @property
    def slots(self) -> list[str]:
        return [self.name, *[f"{self.name}.bytes"] * self.of_thread]

    def nbytes(self, numbers: Mapping[str, int]) -> int:
        """What one takes, for these numbers in the slots."""
        total = _BYTES[self.kind]
        for length in self.lengths:
            if callable(length):
                total *= length(numbers)
            else:
                total *= numbers[length] if isinstance(length, str) else length
        return aligned(total)


#: A name alone is that of a number.
Slot = str | Argument | Buffer


class Slots:
    """All slots of a pass, in the order of its table."""

    def __init__(self, declared: Sequence[Slot]) -> None:
        each = ([slot] if isinstance(slot, str) else slot.slots for slot in declared)
        self.names = [*chain(*each)]
        #: By name the place in the table.
        self.at = {name: i for i, name in enumerate(self.names)}
        assert len(self.at) == len(self.names)
        self.arguments = {slot.name: slot for slot in declared if isinstance(slot, Argument)}
        buffers = [slot for slot in declared if isinstance(slot, Buffer)]
        #: Packed ones come first, so that a call can do without this part of the memory.
        self.buffers = {b.name: b for b in sorted(buffers, key=lambda b: not b.packed)}

    @property
    def of_thread(self) -> list[Buffer]:
        """The buffers of which each thread has its own."""
        return [buffer for buffer in self.buffers.values() if buffer.of_thread]

    def layout(
        self, numbers: Mapping[str, int], packed: bool | None = None
    ) -> tuple[dict[str, int], int]:
        """The buffers' own slots, for the numbers in all others, and the bytes of all together;
        only of those that are ``packed``, or only of those that are not, if it is given."""
        found, end = dict[str, int](), 0
        for buffer in self.buffers.values():
            if packed is not None and buffer.packed != packed:
                continue
            found[buffer.name], nbytes, count = end, buffer.nbytes(numbers), 1
            if buffer.of_thread:
                found[f"{buffer.name}.bytes"], count = nbytes, numbers["threads"]
            end += nbytes * count
        return found, end
