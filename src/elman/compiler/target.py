"""What a kernel's code is made for, besides the formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..runtime.alignment import ALIGNMENT
from ..spaces import HIDDEN, PROJECTED, Space, mask_grid
from ..step import Step
from .formats import Format
from .isa import ISA
from .plan import Plan, product_groups_of
from .schedule import DEFAULT, Schedule
from .tile import Shape, odd


class Use(NamedTuple):
    """What code for one layer is for: so many ``steps`` at most, with weights that other code has
    in common, for a ``piece`` of so many; in a stack that has layers ``below``, from which inputs
    come later than the states before them, and ``above``, which read the outputs; with weights so
    many that they are ``far``, behind the second cache; and to be rather ``short`` than fast."""

    steps: int = 1
    piece: int = 1
    below: bool = False
    above: bool = False
    far: bool = False
    short: bool = False


ALONE = Use()
#: How names of slots of initial and final states begin.
STATES = "h0.", "hn."


@dataclass(frozen=True)
class Target:
    """For what the code is made: the tile's shapes are part of it."""

    isa: ISA
    dtype: str  # "float" or "double"
    panel: Format  # what panels hold
    single: bool  # for one row
    step: Shape  # of the products inside the recurrence
    front: Shape  # of the inputs, which have rows enough not to split sums
    bulk: Shape  # of all others, which are of any width
    split_k: tuple[tuple[int, int], ...]  # of a step's products, by how many are done at once
    schedule: Schedule = DEFAULT
    heads: int = 1  # of block-diagonal matrices those that blocks of units do not cross
    row: Space = HIDDEN  # that of rows of memory
    padded: bool = False  # for rows that lie in padded tensors
    numbers: tuple[tuple[str, int], ...] = ()  # of slots, if the code is for one layer alone
    use: Use = ALONE  # of such code
    inputs_panel: Format | None = None  # what panels of the inputs hold, if it is something else
    given: str = ""  # LLVM's type of the numbers in the caller's tensors, if it is another
    given_states: str = ""  # and of those in its initial and final states
    packs: bool = False  # the code is for calls that multiply no matrix as it lies

    @property
    def constant(self) -> bool:
        """Whether the code is for one layer, whose weights are packed beforehand."""
        return bool(self.numbers)

    @property
    def panel_x(self) -> Format:
        """What panels of the inputs hold."""
        return self.inputs_panel or self.panel

    def kind_of(self, argument: str) -> str:
        """LLVM's type of the numbers in a tensor of the caller."""
        given = self.given_states if argument.startswith(STATES) else self.given
        return given or self.dtype

    @property
    def weights(self) -> str:
        """LLVM's type of the numbers in the caller's weights."""
        return self.kind_of("weights")

    def beside(self, panel: Format) -> bool:
        """Whether panels that are read at once lie beside one another, row by row. Scales and lists
        behind the rows of a panel are for one alone."""
        return self.constant and not panel.scale_rows and not panel.listed

    @property
    def ahead(self) -> int:
        """How many bytes ahead of its reading a product prefetches. A step of many weights reads
        each once, so they have left the first cache since the last. From the second cache alone,
        a processor fetches them in time by itself while vectors are as wide as a line."""
        once, near = self.use.steps < self.use.piece, self.meanwhile and not self.use.far
        return self.schedule.step_ahead if once and not near else 0

    @property
    def meanwhile(self) -> int:
        """How many bytes of the next products' weights are prefetched while a block of units has
        its activations. Vectors as wide as a line are multiplied faster than the second cache
        delivers them, so it had better not rest; narrower ones are not, nor converted weights."""
        waits = self.isa.bits == 8 * ALIGNMENT and not self.panel.converts
        return self.schedule.step_meanwhile if waits and self.use.piece > 1 else 0

    @property
    def known(self) -> dict[str, int]:
        """The slots whose numbers the code is made for: they are no variables in it."""
        if self.constant:
            return dict(self.numbers)
        packs = self.packs or self.panel.converts or self.panel.masked
        found = {"unpacked": 0} if packs else {}
        if self.single:
            found |= {"B": 1, "slice": 1, "first": 0, "last": 1}
            if self.step.whole:
                padded = self.step.widths[0] * self.isa.lanes(self.dtype)
                found |= {"slices": 1, "unit.slices": 1, "pack.first": 0, "pack.last": 1}
                found |= {HIDDEN.padded: padded, PROJECTED.padded: padded}
                found["gate_gradients.row"] = odd(padded, self.isa.lanes(self.dtype))
        return found

    def shapes(self, back: bool) -> list[Shape]:
        """Those of a pass."""
        return [*dict.fromkeys((self.bulk if back else self.front, self.step))]

    def tile(self, shape: Shape, splits: int, back: bool, panel: Format) -> str:
        """The name of the tile for products of a shape in a pass: one may do for both shapes."""
        most = self.shapes(back)[0]
        alike = splits == 1 and panel.suffix == self.panel_x.suffix
        return (most if alike and most.covers(shape) else shape).tile(splits, panel.suffix)

    def splits_of(self, products: int) -> int:
        """Into how many sums those of products are cut of which a stage has so many."""
        return dict(self.split_k)[products]


def target_of(
    plan: Plan,
    dtype: str,
    panel: Format,
    isa: ISA,
    units: int,
    single: bool,
    schedule: Schedule = DEFAULT,
) -> Target:
    """What code for rows of so many units is made for: the same for as many as can share it."""
    groups = *product_groups_of(plan.train), *product_groups_of(plan.backward)
    counts = sorted({len(group) for group in groups}) or [1]
    vectors, heads = math.ceil(units / isa.lanes(dtype)), plan.step.heads
    # A head of no whole vectors shares blocks with others; so all of them are in one dense panel.
    if len(plan.step.spaces) > 1 or units % (heads * isa.lanes(dtype)):
        heads = 1
    of_head = max(1, vectors // heads)
    splits = tuple((n, schedule.splits_of(n * vectors // heads)) for n in counts)
    vectors, inputs_panel = max(1, vectors), None
    bulk = front = Shape.many(isa, schedule, vectors, 1, True, pairs=single)
    if plan.step.masks:
        step = _masked(plan.step, isa, dtype, units, splits, 1 if single else schedule.tile_rows)
        panel, inputs_panel = replace(panel, masked=True), panel
    elif single:
        step = Shape.single(isa, schedule, of_head, counts[-1], heads > 1)
    else:
        several = len(plan.step.spaces) > 1
        step = Shape.many(isa, schedule, of_head, max(s for _, s in splits), several)
        front = Shape.many(isa, schedule, vectors, 1, several)
    shapes = step, front, bulk
    given = isa, dtype, panel, single, *shapes, splits, schedule, heads, plan.step.row
    return Target(*given, inputs_panel=inputs_panel)


def _masked(
    step: Step,
    isa: ISA,
    dtype: str,
    units: int,
    splits: Sequence[tuple[int, int]],
    most_rows: int,
) -> Shape:
    """That of products with masked matrices. All blocks are alike, and no wider than a mask's parts
    as far as these are whole vectors: so none reads more than it needs."""
    parts = {n for mask in step.masks.values() for n in mask_grid(mask).shape}
    common = math.gcd(*(max(1, units // (n * isa.lanes(dtype))) for n in parts))
    most = max(1, min(isa.vectors, isa.accumulators // splits[-1][0]))
    width = next(w for w in range(most, 0, -1) if not common % w)
    rows = isa.accumulators // (max(s for _, s in splits) * width)
    return Shape(max(1, min(rows, most_rows)), (width,))
