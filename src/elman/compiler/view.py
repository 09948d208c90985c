"""Numbers in memory as a view: an address, the type of an element, a stride for each dimension."""

from __future__ import annotations

from dataclasses import dataclass

from .ir import Function, Int


@dataclass(frozen=True)
class View:
    """The element at ``(i, j, ...)`` lies ``i * strides[0] + j * strides[1] + ...`` elements behind
    ``base``. Addresses are computed dimension by dimension, so that what is known outside of a
    loop is computed there: name the dimension that changes fastest last."""

    f: Function
    kind: str  # LLVM's type of an element
    base: str
    strides: tuple[Int, ...] = (1,)

    def at(self, *index: Int) -> str:
        """The address of an element; dimensions that are not named count as 0."""
        place = self.base
        for i, stride in zip(index, self.strides, strict=False):
            place = self.f.gep(self.kind, place, self.f.mul(i, stride))
        return place

    def row(self, *index: Int) -> View:
        """What has these indices in the first dimensions: a view of the others."""
        return View(self.f, self.kind, self.at(*index), self.strides[len(index) :])

    def past(self, *index: Int) -> View:
        """The same dimensions from an element on."""
        return View(self.f, self.kind, self.at(*index), self.strides)

    @property
    def transposed(self) -> View:
        """The same dimensions in the opposite order."""
        return View(self.f, self.kind, self.base, self.strides[::-1])

    def load(self, *index: Int) -> str:
        """One element."""
        return self.f.load(self.kind, self.at(*index))

    def store(self, value: Int, *index: Int) -> None:
        """Writes one element."""
        self.f.store(self.kind, value, self.at(*index))
