"""What a kernel's code is made for, besides the formula."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..spaces import HIDDEN, PROJECTED
from . import elements
from .isa import ISA, chains
from .plan import Plan, bundles_of
from .tile import Shape, odd


@dataclass(frozen=True)
class Target:
    """For what the code is made: the tile's shapes are part of it."""

    isa: ISA
    dtype: str  # "float" or "double"
    panel: str  # what panels hold, see ``elements``
    single: bool  # for one row
    step: Shape  # of the products inside the recurrence
    front: Shape  # of the inputs, which have rows enough to need one chain only
    bulk: Shape  # of all others, which are of any width
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
                found |= {"slices": 1, "unit.slices": 1}
                found |= {HIDDEN.padded: padded, PROJECTED.padded: padded}
                found["Zp"] = odd(padded, self.isa.lanes(self.dtype))
        return found

    def shapes(self, back: bool) -> list[Shape]:
        """Those of a pass."""
        return [*dict.fromkeys((self.bulk if back else self.front, self.step))]

    def tile(self, shape: Shape, chains: int, back: bool) -> str:
        """The name of the tile for products of a shape in a pass: one may do for both shapes."""
        most = self.shapes(back)[0]
        return (most if chains == 1 and most.covers(shape) else shape).tile(chains)

    def chains_of(self, products: int) -> int:
        """Into how many chains the sums of products are cut of which a stage has so many."""
        return dict(self.chains)[products]


def target_of(plan: Plan, dtype: str, panel: str, isa: ISA, units: int, single: bool) -> Target:
    """What code for these sizes is made for: the same for as many as can share it."""
    bundles = *bundles_of(plan.train), *bundles_of(plan.backward)
    counts = sorted({len(b) for b in bundles}) or [1]
    cut = tuple((n, chains(isa, dtype, units, n)) for n in counts)
    lanes = isa.lanes(dtype)
    vectors = max(1, math.ceil(units / lanes))
    half = isa.halves and 0 < units % lanes <= lanes // 2
    bulk = front = Shape.many(isa, vectors, 1, half, True, pairs=single)
    if single:
        step = Shape.single(isa, vectors, counts[-1], half)
    else:
        several = len(plan.step.spaces) > 1
        step = Shape.many(isa, vectors, max(c for _, c in cut), half, several)
        front = Shape.many(isa, vectors, 1, half, several)
    return Target(isa, dtype, panel, single, step, front, bulk, cut)
