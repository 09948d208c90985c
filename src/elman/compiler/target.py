"""What a kernel's code is made for, besides the formula."""

from __future__ import annotations

from dataclasses import dataclass

from . import elements
from .isa import ISA
from .tile import Shape, odd


@dataclass(frozen=True)
class Target:
    """For what the code is made: the tile's shapes are part of it."""

    isa: ISA
    dtype: str  # "float" or "double"
    panel: str  # what panels hold, see ``elements``
    single: bool  # for one row
    step: Shape  # of the products inside the recurrence
    bulk: Shape  # of all others, which have rows enough to need one chain only
    chains: tuple[tuple[int, int], ...]  # of a step's products, by how many are done at once

    @property
    def narrow(self) -> bool:
        """Whether panels hold other numbers than a matrix does. They are never fleeting then."""
        return self.panel != self.dtype

    @property
    def couples(self) -> bool:
        """Whether all products are of couples, see ``elements``."""
        return self.panel == elements.COUPLES

    @property
    def known(self) -> dict[str, int]:
        """The slots whose numbers the code is made for: they are no variables in it."""
        found = {"fleeting": 0} if self.narrow else {}
        if self.single:
            found |= {"B": 1, "slice": 1, "first": 0, "last": 1}
            if self.step.whole:
                padded = self.step.widths[0] * self.isa.lanes(self.dtype)
                found |= {"slices": 1, "unit.slices": 1, "Hp": padded, "Pp": padded}
                found["Zp"] = odd(padded, self.isa.lanes(self.dtype))
        return found

    def tile(self, shape: Shape, chains: int) -> str:
        """The name of the tile for products of a shape: one may do for both."""
        return (self.bulk if chains == 1 and self.bulk.covers(shape) else shape).tile(chains)

    def chains_of(self, products: int) -> int:
        """Into how many chains the sums of products are cut of which a stage has so many."""
        return dict(self.chains)[products]
