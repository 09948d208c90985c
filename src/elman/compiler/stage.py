"""A stage of a step as code: its products into a tile of accumulators, then the pointwise work.

The accumulators of all products of a stage lie side by side in a small buffer that never leaves
the nearest cache; the pointwise work reads them row by row, one vector of units at a time, with
everything else that it needs of that row. Sums over the units of a row come first: one number a
row and sum, in a buffer of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..expr import PRIMITIVES, Node, walk
from ..spaces import HIDDEN, SPACES
from ..step import Step
from . import activations, angles  # noqa: F401 - the functions of a formula
from .frame import Frame
from .graph import PRODUCTS, Program, Stage, Store
from .ir import Int
from .panel import Panel, Span, fleeting_in, height, panels_of, tallest
from .plan import operands_of, sums_of
from .tile import add_up, store_whole, vectors_of
from .vector import Vector


@dataclass(frozen=True)
class Spot:
    """One vector of units of one row: ``row`` of the batch, its first ``unit``."""

    row: Int
    unit: Int


class Memory(Protocol):
    """Where a pass keeps the values of a step: what a stage reads and writes beyond products."""

    def row_of(self, value: Node, row: Int) -> tuple[str, Int]:
        """Address and row stride of a value that lies in rows of scratch memory."""

    def start_of(self, value: Node, spot: Spot) -> tuple[str, Int]:
        """Address and row stride of what a product starts from."""

    def read(self, leaf: Node, spot: Spot) -> str:
        """A leaf's vector."""

    def write(self, store: Store, value: str, spot: Spot) -> None:
        """Writes a vector where the store says."""

    def look_ahead(self, stores: Sequence[Store], spot: Spot, size: Int) -> None:
        """Prefetches the cache lines that this row will write, so many units from the spot on."""

    def has_read(self) -> None:
        """Runs once a spot has been read and written: prefetches what the next step reads."""


def _lengths(program: Program) -> dict[Node, int]:
    """How many costly functions follow one another up to a value. What the rest waits for longest
    is written first: no processor looks far enough ahead to begin with it by itself."""
    found: dict[Node, int] = {}
    for n in walk(store.value for stage in program.stages for store in stage.stores):
        known = n.op in PRIMITIVES and PRIMITIVES[n.op].costly
        before = () if n.op in PRODUCTS else n.args
        found[n] = known + max((found[a] for a in before), default=0)
    return found


class Stages:
    """Emits the stages of a program into a function, for the rows of one step."""

    def __init__(
        self, frame: Frame, step: Step, program: Program, memory: Memory, back: bool = False
    ) -> None:
        self.frame, self.program, self.memory = frame, program, memory
        self.spaces = step.spaces
        self.shape = frame.target.step
        self.tile_width = self.shape.widths[0] * frame.v.lanes
        most = max(len(s.products) for s in program.stages)
        rows = self.shape.rows if back else tallest(frame.target, self.shape)
        area = rows * self.tile_width
        self.acc = frame.f.alloca(max(1, most) * area, frame.v.dtype)
        self.area = area
        self.pointers = frame.f.alloca(rows, "ptr")
        self.panels, self.back = panels_of(frame, step, program), back
        self.crossing = set(program.crossing)
        self.sums = {s: i for i, s in enumerate(sums_of(program))}
        self.operands = {o: i for i, o in enumerate(operands_of(program))}
        self.length = _lengths(program)

    def emit(self, first: Int, last: Int, units: tuple[Int, Int] | None = None) -> None:
        """All stages, for the rows from first to last; of their units all, or those from one to
        another."""
        for level, stage in enumerate(self.program.stages):
            self._stage(level, stage, first, last, units)

    def _stage(
        self, level: int, stage: Stage, first: Int, last: Int, units: tuple[Int, Int] | None
    ) -> None:
        f, v, shape = self.frame.f, self.frame.v, self.shape
        if stage.sums:
            with f.loop(first, last) as each:
                for value in stage.sums:
                    self._sum(value, each)
        if stage.products and self.frame.target.couples:
            with f.loop(first, last) as each:
                for operand in dict.fromkeys(p.args[0] for p in stage.products):
                    self._couple(operand, each)

        for space in self.spaces:
            part = Stage(
                stage.sums,
                tuple(p for p in stage.products if p.space is space),
                tuple(s for s in stage.stores if s.space is space),
            )
            if not part.products and not part.stores:
                continue
            begin, end = units or (0, self.frame.padded(space))
            count = f.sub(last, first)
            tall = shape.height(f, count) if self.back else height(self.frame, shape, count)
            regions = self._regions(part)
            with shape.blocks(f, end, v.lanes, begin) as (unit, size):
                with f.loop(first, last, tall) as row:
                    rows = f.min(f.sub(last, row), tall)
                    held: dict[Node, list[str]] = {}
                    if self.frame.target.single:
                        held = self._one_row(part, Spot(row, unit), size, regions)
                    else:
                        every = (begin, end), (first, last)
                        self._products(part, Spot(row, unit), rows, size, regions, every)
                    with f.loop(0, rows) as m:
                        if not self.frame.target.single:  # of the next tile, while this one writes
                            later = Spot(f.add(f.add(row, m), tall), unit)
                            self.memory.look_ahead(part.stores, later, size)
                        for kinds, span in self._groups(size):
                            with f.loop(*span, len(kinds) * v.lanes) as u:
                                spot = Spot(f.add(row, m), f.add(unit, u))
                                place = f.add(f.mul(m, self.tile_width), u)
                                self._pointwise(level, part, kinds, spot, regions, place, held)

    def _groups(self, size: Int) -> list[tuple[list[Vector], tuple[Int, Int]]]:
        """The vectors of a block that the pointwise work takes at once, and the loop over them.

        Those of one row go in pairs: a vector's instructions wait for one another, and no processor
        looks so far ahead that it would find those of the next.
        """
        v = self.frame.v
        if not self.frame.target.single:
            return [([v], (0, size))]
        kinds = self._kinds()
        pairs = len(kinds) // 2 - (kinds[-1] is not v and len(kinds) % 2 == 0)
        groups: list[tuple[list[Vector], tuple[Int, Int]]] = []
        if pairs:
            groups.append(([v, v], (0, 2 * pairs * v.lanes)))
        if kinds[2 * pairs :]:
            groups.append((kinds[2 * pairs :], (2 * pairs * v.lanes, len(kinds) * v.lanes)))
        return groups

    def _kinds(self) -> list[Vector]:
        """Arithmetic on each vector of one row's block."""
        return vectors_of(self.frame.v, 2 * self.shape.widths[0] - bool(self.shape.half))

    def _sum(self, value: Node, row: Int) -> None:
        """The sum over the units of a row."""
        operand = value.args[0]
        base, _ = self.memory.row_of(operand, row)
        units, goal = self.frame.units(operand.space), self._sum_at(value, row)
        self.frame.f.call("sum_row", ("ptr", goal), ("ptr", base), ("i64", units))

    def _couple(self, operand: Node, row: Int) -> None:
        """Couples of the units of a product's operand."""
        base, _ = self.memory.row_of(operand, row)
        units, goal = self.frame.units(operand.space), self._row_of(operand, row)[0]
        given = ("ptr", goal), ("ptr", base), ("i64", 1), ("i64", units)
        self.frame.f.call("couple_row", *given)

    def _row_of(self, operand: Node, row: Int) -> tuple[str, Int]:
        """Address and row stride of what a product multiplies."""
        if not self.frame.target.couples:
            return self.memory.row_of(operand, row)
        f, frame = self.frame.f, self.frame
        stride = f.div(frame.padded(HIDDEN), 2)
        return frame.buffer("couples", self.operands[operand], row), stride

    def _sum_at(self, value: Node, row: Int) -> str:
        return self.frame.buffer("sums", row, self.sums[value])

    def _regions(self, stage: Stage) -> dict[Node, int]:
        """Where each product of a stage has its accumulators: where it finds them, if it starts
        from another."""
        regions: dict[Node, int] = {}
        for product in stage.products:
            start = product.args[-1]
            own = len(set(regions.values())) * self.area
            regions[product] = regions.get(start, own)
        return regions

    def _products(
        self,
        stage: Stage,
        spot: Spot,
        rows: Int,
        size: Int,
        regions: dict[Node, int],
        every: Span,
        is_fleeting: str = "",
    ) -> None:
        """Runs the tiles of a stage's products, one after the other."""
        f, v = self.frame.f, self.frame.v
        ready: Node | None = None
        owners: dict[tuple[object, ...], Panel] = {}  # those whose rows are turned are the same
        for product in stage.products:
            operand, *start = product.args
            acc = f.gep(v.dtype, self.acc, regions[product])
            if operand is not ready:
                base, stride = self._row_of(operand, spot.row)
                with f.loop(0, rows) as m:
                    pointer = f.gep(v.dtype, base, f.mul(m, stride))
                    f.store("ptr", pointer, f.gep("ptr", self.pointers, m))
                ready = operand
            if start and start[0] in regions:
                init: tuple[str, Int] = (acc, self.tile_width)
            elif start:
                init = self.memory.start_of(start[0], spot)
            else:
                init = (self.frame.pointer("zeros"), 0)
            panel, goal = self.panels[product], (acc, self.tile_width)
            owner = owners.setdefault((operand, panel.strides, panel.sizes), panel)
            turned = functools.partial(owner.turned, spot.unit, spot.row, every, owner is not panel)
            block, a, how = (spot.unit, size), (self.pointers, 1), None if self.back else turned
            panel.multiply(block, goal, init, a, rows, is_fleeting, how)

    def _one_row(
        self, stage: Stage, spot: Spot, size: Int, regions: dict[Node, int]
    ) -> dict[Node, list[str]]:
        """A stage's products of one row: each bundle in one loop, unless panels are fleeting. Their
        results, if the pointwise work takes all vectors at once; otherwise they are in memory."""
        f, kinds = self.frame.f, self._kinds()
        at_once = len(kinds) <= 2
        last = [p for p in stage.products if not any(p in q.args for q in stage.products)]
        places = [(p, w, kind) for p in last for w, kind in enumerate(kinds)]

        def alone() -> list[str]:
            every = (spot.unit, f.add(spot.unit, size)), (spot.row, f.add(spot.row, 1))
            self._products(stage, spot, 1, size, regions, every, is_fleeting="true")
            return [kind.load(self._at(regions[p], w)) for p, w, kind in places if at_once]

        def together() -> list[str]:
            totals = self._together(stage, spot, size)
            if at_once:
                return [totals[p][w] for p, w, _ in places]
            for p, w, kind in places:
                store_whole(self.frame.v, kind, totals[p][w], self._at(regions[p], w))
            return []

        if not stage.products:
            return {}
        types = [kind.type for _, _, kind in places if at_once]
        found = iter(f.choose(fleeting_in(self.frame), types, alone, together))
        return {p: [next(found) for _ in kinds] for p in last if at_once}

    def _at(self, region: Int, w: int) -> str:
        """Where a region's accumulators lie, from a vector on."""
        f, v = self.frame.f, self.frame.v
        return f.gep(v.dtype, self.acc, f.add(region, w * v.lanes))

    def _together(self, stage: Stage, spot: Spot, size: Int) -> dict[Node, list[str]]:
        """The sums of a stage's products, each bundle in one loop."""
        f, v = self.frame.f, self.frame.v
        kinds = self._kinds()
        sums: dict[Node, list[list[str]]] = {}
        for bundle in stage.bundles:
            operands = dict.fromkeys(p.args[0] for p in bundle)
            rows = {operand: self._row_of(operand, spot.row)[0] for operand in operands}
            block = spot.unit, size
            factors = [self.panels[p].factor(block, rows[p.args[0]]) for p in bundle]
            first = self.panels[bundle[0]]
            found = add_up(f, kinds, factors, first.length, first.chains)
            sums.update(zip(bundle, found, strict=True))
        totals: dict[Node, list[str]] = {}
        for product in stage.products:
            begun = [kind.number(0.0) for kind in kinds]
            for start in product.args[1:]:
                if start in totals:
                    begun = totals.pop(start)
                else:
                    base, _ = self.memory.start_of(start, spot)
                    places = [f.gep(v.dtype, base, w * v.lanes) for w in range(len(kinds))]
                    begun = [kind.load(at) for kind, at in zip(kinds, places, strict=True)]
            totals[product] = [
                functools.reduce(kind.add, chains, total)
                for kind, chains, total in zip(kinds, sums[product], begun, strict=True)
            ]
        return totals

    def _pointwise(
        self,
        level: int,
        stage: Stage,
        kinds: Sequence[Vector],
        spot: Spot,
        regions: dict[Node, int],
        place: Int,
        held: dict[Node, list[str]],
    ) -> None:
        """The pointwise program of a stage, for some neighbouring vectors of units. The results of
        products are ``held``, or lie from ``place`` on in their regions."""
        f, v, levels = self.frame.f, self.frame.v, self.program.levels
        spots = [Spot(spot.row, f.add(spot.unit, w * v.lanes)) for w in range(len(kinds))]
        values = dict(held)

        def needed(current: Node) -> Sequence[Node]:
            """What it is computed of, here and now."""
            if current in held or current.op not in PRIMITIVES or is_stored(current):
                return ()
            return sorted(current.args, key=self.length.__getitem__, reverse=True)

        def compute(current: Node) -> list[str]:
            if current.op == "const":
                return [kind.number(float.fromhex(current.attr)) for kind in kinds]
            if current.op not in PRIMITIVES or is_stored(current):
                whole = [read(current, w) for w in range(len(kinds))]
                return [x if k is v else v.lower(x) for k, x in zip(kinds, whole, strict=True)]
            operands = zip(*(values[a] for a in current.args), strict=True)
            emit = PRIMITIVES[current.op].emit
            return [emit(kind, *given) for kind, given in zip(kinds, operands, strict=True)]

        def is_stored(current: Node) -> bool:
            return levels[current] < level and current in self.crossing

        def read(current: Node, w: int) -> str:
            if current.op == "units":
                return self.frame.count_of_units(SPACES[current.attr])
            if current.op == "sum":
                return v.broadcast(self._sum_at(current, spot.row))
            if not current.args:
                return self.memory.read(current, spots[w])
            if is_stored(current):
                base, _ = self.memory.row_of(current, spot.row)
                return v.load(self.frame.at(base, spots[w].unit))
            return v.load(self._at(f.add(regions[current], place), w))

        for current in walk((store.value for store in stage.stores), needed):
            if current not in held:
                values[current] = compute(current)
        for store in stage.stores:
            for kind, vector, at in zip(kinds, values[store.value], spots, strict=True):
                self.memory.write(store, vector if kind is v else v.widened(vector), at)
        self.memory.has_read()
