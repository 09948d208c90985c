"""A stage of a step as code: its products into a tile of accumulators, then the pointwise work.

The accumulators of all products of a stage lie side by side in a small buffer that never leaves
the nearest cache; the pointwise work reads them row by row, one vector of units at a time, with
everything else that it needs of that row. Sums over the units of a row come first: one number a
row and sum, in a buffer of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from ..expr import PRIMITIVES, PRODUCTS, Node, walk
from ..reductions import REDUCTIONS, heads_of
from ..runtime.alignment import ALIGNMENT
from ..spaces import Space, space_of
from ..step import Step
from . import activations, angles  # noqa: F401 - the functions of a formula
from .frame import Frame
from .graph import Program, Stage
from .ir import Int
from .memory import Spot, StepMemory
from .panel import Panel, Span, blocks_of_step, height, is_unpacked, panels_of, tallest
from .plan import operands_of, reductions_of
from .target import Target
from .team import Team, mixes_units
from .tile import add_up
from .view import View, store_units


def _lengths(program: Program) -> dict[Node, int]:
    """How many costly functions follow one another up to a value. The longest chain is written
    first: the independent chains behind it hide its latency."""
    found: dict[Node, int] = {}
    for n in walk(store.value for stage in program.stages for store in stage.stores):
        known = n.op in PRIMITIVES and PRIMITIVES[n.op].costly
        before = () if n.op in PRODUCTS else n.args
        found[n] = known + max((found[a] for a in before), default=0)
    return found


def states_first(target: Target, program: Program, spaces: Sequence[Space]) -> bool:
    """Whether a step's first products are of states alone, and precede what else it computes."""
    first, *_ = program.stages
    ahead = [p for p in first.products if p.args[0].op == "state"]
    alike = len(spaces) == 1 and not first.reductions
    return alike and bool(ahead) and len(ahead) == len(first.products) and target.step.whole


class Stages:
    """Emits the stages of a program into a function, for the rows of one step."""

    def __init__(
        self, frame: Frame, step: Step, program: Program, memory: StepMemory, back: bool = False
    ) -> None:
        self.frame, self.program, self.memory = frame, program, memory
        self.spaces = step.spaces
        self.shape = frame.target.step
        self.tile_width = self.shape.widths[0] * frame.v.lanes
        most = max(len(s.products) for s in program.stages)
        rows = self.shape.rows if back else tallest(frame.target, self.shape)
        area = rows * self.tile_width
        acc = frame.f.alloca(max(1, most) * area, frame.v.dtype)
        # Row, unit, region: a constant at the end is part of an instruction.
        self.acc = frame.view(acc, self.tile_width, 1, area)
        self.pointers = View(frame.f, "ptr", frame.f.alloca(rows, "ptr"))
        self.panels, self.back = panels_of(frame, step, program), back
        self.temporaries = set(program.temporaries)
        fixed = () if frame.target.constant else program.fixed
        self.fixed = {n: i for i, n in enumerate(fixed)}
        self.reductions = {n: i for i, n in enumerate(reductions_of(program))}
        self.operands = {o: i for i, o in enumerate(operands_of(program))}
        self.length = _lengths(program)
        self._inputs: Callable[[], None] = lambda: None

    def begin_without(self, inputs: Callable[[], None]) -> None:
        """Makes the projected ``inputs`` as late as can be: behind the sums of the first stage's
        products, if nothing before these needs them."""
        if states_first(self.frame.target, self.program, self.spaces):
            self._inputs = inputs
        else:
            inputs()

    def emit(self, first: Int, last: Int, team: Team | None = None) -> None:
        """All stages, for the rows from first to last; of their units all, or those of a thread of
        a team, which meets after each stage if a step of one thread reads units of others."""
        for level, stage in enumerate(self.program.stages):
            self._stage(level, stage, first, last, team)
            if team and mixes_units(self.program):
                team.meet()

    def _stage(self, level: int, stage: Stage, first: Int, last: Int, team: Team | None) -> None:
        f, v, shape = self.frame.f, self.frame.v, self.shape
        own, makes = (first, last), self.frame.target.panel.makes_operands
        if team and (stage.reductions or makes):
            own = team.own_rows(first, last)
        if stage.reductions:
            with f.loop(*own) as each:
                for value in stage.reductions:
                    self._reduce(value, each)
        for operand in dict.fromkeys(p.args[0] for p in stage.products):
            given, room = (functools.partial(at, operand) for at in (self._row, self._room))
            length = self.frame.units(operand.space)
            self.frame.target.panel.prepare_all(f, own, given, room, length)

        for space in self.spaces:
            part = Stage(
                stage.reductions,
                tuple(p for p in stage.products if p.space is space),
                tuple(s for s in stage.stores if s.space is space),
            )
            if not part.products and not part.stores:
                continue
            count = f.sub(last, first)
            tall = shape.height(f, count) if self.back else height(self.frame, shape, count)
            regions = self._regions(part)
            whole = 0, self.frame.padded(space)
            with (
                team.slices(space) if team else nullcontext(whole) as (begin, end),
                blocks_of_step(self.frame, shape, (begin, end)) as (unit, size),
            ):
                with f.loop(first, last, tall) as row:
                    rows = f.min(f.sub(last, row), tall)
                    held: dict[Node, list[str]] = {}
                    if self.frame.target.single:
                        held = self._one_row(part, Spot(row, unit), size, regions)
                    else:
                        every = (begin, end), (first, last)
                        self._products(part, Spot(row, unit), rows, size, regions, every)
                    after = self._after(level, part, (unit, size))
                    with f.loop(0, rows) as m:
                        if not self.frame.target.single:  # of the next tile, while this one writes
                            later = Spot(f.add(f.add(row, m), tall), unit)
                            self.memory.look_ahead(part.stores, later, size)
                        self.memory.at(f.add(row, m))
                        for count, span in self._groups(size):
                            with f.loop(*span, count * v.lanes) as u:
                                self._fetch(after, count, u)
                                spot = Spot(f.add(row, m), f.add(unit, u))
                                place = self.acc.past(m, u)
                                self._pointwise(level, part, count, spot, regions, place, held)

    def _groups(self, size: Int) -> list[tuple[int, tuple[Int, Int]]]:
        """How many vectors of a block the pointwise work takes at once, and the loop over them.

        Those of one row go in pairs: two independent chains hide latency.
        """
        if not self.frame.target.single:
            return [(1, (0, size))]
        lanes, vectors = self.frame.v.lanes, self.shape.widths[0]
        pairs, whole = (0, vectors // 2 * 2 * lanes), (vectors // 2 * 2 * lanes, vectors * lanes)
        return [(n, span) for n, span in ((2, pairs), (1, whole)) if span[0] < span[1]]

    def _after(self, level: int, part: Stage, block: tuple[Int, Int]) -> str:
        """Where the weights lie that are multiplied after a block of units: none for an empty
        string. Behind the last block are those of the next stage, if there is one."""
        f, target = self.frame.f, self.frame.target
        if not target.meanwhile or not part.products:
            return ""
        behind = self.panels[part.product_groups[-1][0]].behind(block)
        if level < len(self.program.stages) - 1:
            return behind
        done = f.compare("sge", f.add(*block), self.frame.padded(part.products[0].space))
        return f.select(done, self.frame.pointer("next"), behind, "ptr")

    def _fetch(self, after: str, count: int, unit: Int) -> None:
        """Prefetches from an address on, before so many vectors from a unit on: their share of what
        a block fetches, which is a fourth at most."""
        if not after:
            return
        f, v, share = self.frame.f, self.frame.v, max(4, self.shape.widths[0])
        each = -(-self.frame.target.meanwhile // (ALIGNMENT * share)) * ALIGNMENT
        place = f.gep("i8", after, f.mul(f.div(unit, v.lanes), each))
        for line in range(0, count * each, ALIGNMENT):  # a loop over them took longer
            v.prefetch(f.gep("i8", place, line), near=True)

    def _reduce(self, value: Node, row: Int) -> None:
        """A reduction over the units of a row; that of several heads is written for each unit. All
        threads of a team write the same numbers."""
        operand, f, v = value.args[0], self.frame.f, self.frame.v
        units, heads = self.frame.units(operand.space), heads_of(value)
        given = self._row(operand, row)
        if heads == 1:
            goal = self._reduced_at(value, row)
            f.call(f"{value.op}_of_row", ("ptr", goal), ("ptr", given.base), ("i64", units))
            return
        size, found, goal = f.div(units, heads), self._row(value, row), f.alloca(1, v.dtype)
        with f.loop(0, heads) as head:
            first = f.mul(head, size)
            place = ("ptr", given.at(first))
            f.call(f"{value.op}_of_row", ("ptr", goal), place, ("i64", size))
            with f.loop(first, f.add(first, size), v.lanes) as u:
                store_units(v, v.broadcast(goal), found, u, units)

    def _row(self, value: Node, row: Int) -> View:
        """A row of a value in scratch memory."""
        return self.memory.rows_of(value).row(row)

    def _room(self, operand: Node, row: Int) -> View:
        """Where a row of a product's operand lies if it has to be made."""
        return self.frame.scratch("pairs", self.operands[operand], row)

    def _operand(self, operand: Node, row: Int) -> View:
        """A row that a product multiplies."""
        given, room = (functools.partial(at, operand, row) for at in (self._row, self._room))
        return self.frame.target.panel.operand(given, room)

    def _reduced_at(self, value: Node, row: Int) -> str:
        return self.frame.scratch("reductions").at(row, self.reductions[value])

    def _regions(self, stage: Stage) -> dict[Node, int]:
        """Which region of accumulators each product of a stage has: that of the product that it
        starts from, if it does."""
        regions: dict[Node, int] = {}
        for product in stage.products:
            own = len(set(regions.values()))
            regions[product] = regions.get(product.args[-1], own)
        return regions

    def _products(
        self,
        stage: Stage,
        spot: Spot,
        rows: Int,
        size: Int,
        regions: dict[Node, int],
        every: Span,
        unpacked: bool = False,
    ) -> None:
        """Runs the tiles of a stage's products, one after the other."""
        f = self.frame.f
        ready: tuple[Node, bool] | None = None
        owners: dict[tuple[object, ...], Panel] = {}  # those whose rows are in lanes are the same
        for product in stage.products:
            operand, *start = product.args
            acc = self.frame.view(self.acc.at(0, 0, regions[product]), self.tile_width, 1)
            panel = self.panels[product]
            if (operand, panel.cut is None) != ready:
                with f.loop(0, rows) as m:
                    row = panel.operand(self._operand(operand, f.add(spot.row, m)), spot.unit)
                    self.pointers.store(row.base, m)
                ready = operand, panel.cut is None
            init = self.frame.view(self.frame.pointer("zeros"), 0)
            if start:
                init = acc if start[0] in regions else self.memory.start_of(start[0], spot)
            owner = owners.setdefault((operand, panel.matrix.strides, panel.sizes), panel)
            lanes = functools.partial(owner.lanes, spot.unit, spot.row, every, owner is not panel)
            block, a = (spot.unit, size), (self.pointers.base, 1)
            panel.multiply(block, acc, init, a, rows, unpacked, None if self.back else lanes)

    def _one_row(
        self, stage: Stage, spot: Spot, size: Int, regions: dict[Node, int]
    ) -> dict[Node, list[str]]:
        """A stage's products of one row: each group in one loop, unless panels are unpacked. Their
        results, if the pointwise work takes all vectors at once; otherwise they are in memory."""
        f, v, vectors = self.frame.f, self.frame.v, self.shape.widths[0]
        at_once = vectors <= 2
        last = [p for p in stage.products if not any(p in q.args for q in stage.products)]
        places = [
            (p, w, self.acc.at(0, w * v.lanes, regions[p])) for p in last for w in range(vectors)
        ]

        def alone() -> list[str]:
            every = (spot.unit, f.add(spot.unit, size)), (spot.row, f.add(spot.row, 1))
            self._products(stage, spot, 1, size, regions, every, unpacked=True)
            return [v.load(place) for _, _, place in places if at_once]

        def together() -> list[str]:
            totals = self._together(stage, spot, size)
            if at_once:
                return [totals[p][w] for p, w, _ in places]
            for p, w, place in places:
                v.store(totals[p][w], place)
            return []

        if not stage.products:
            return {}
        types = [v.type for _ in places if at_once]
        found = iter(f.choose(is_unpacked(self.frame), types, alone, together))
        return {p: [next(found) for _ in range(vectors)] for p in last if at_once}

    def _alike(self, stage: Stage) -> list[list[Node]]:
        """A stage's products by what one loop can do: those that run together, and read the same
        units where they are masked."""
        found: dict[tuple[int, int | None], list[Node]] = {}
        for i, group in enumerate(stage.product_groups):
            for product in group:
                found.setdefault((i, self.panels[product].masked), []).append(product)
        return [*found.values()]

    def _together(self, stage: Stage, spot: Spot, size: Int) -> dict[Node, list[str]]:
        """The sums of a stage's products, each group in one loop."""
        v, vectors, panel = self.frame.v, self.shape.widths[0], self.frame.target.panel
        sums: dict[Node, list[list[str]]] = {}
        behind: dict[Node, Callable[[], str]] = {}
        for group in self._alike(stage):
            block, first = (spot.unit, size), self.panels[group[0]]
            operands = dict.fromkeys(p.args[0] for p in group)
            rows = {o: first.operand(self._operand(o, spot.row), spot.unit) for o in operands}
            k, places = first.sum_of(spot.unit)
            factors = [self.panels[p].factor(block, rows[p.args[0]], places) for p in group]
            ahead = self.frame.target.ahead
            found = add_up(v, vectors, panel, factors, k, first.splits, ahead)
            sums.update(zip(group, found, strict=True))
            behind |= {
                p: functools.partial(x.behind, k) for p, x in zip(group, factors, strict=True)
            }
        inputs, self._inputs = self._inputs, lambda: None
        inputs()
        totals: dict[Node, list[str]] = {}
        for product in stage.products:
            begun = [v.number(0.0)] * vectors
            for start in product.args[1:]:
                if start in totals:
                    begun = totals.pop(start)
                else:
                    row = self.memory.start_of(start, spot)
                    begun = [v.load(row.at(0, w * v.lanes)) for w in range(vectors)]
            totals[product] = [
                panel.total(v, w, splits, start, behind[product])
                for w, (splits, start) in enumerate(zip(sums[product], begun, strict=True))
            ]
        return totals

    def _pointwise(
        self,
        level: int,
        stage: Stage,
        count: int,
        spot: Spot,
        regions: dict[Node, int],
        place: View,
        held: dict[Node, list[str]],
    ) -> None:
        """The pointwise program of a stage, for so many neighbouring vectors of units. The results
        of products are ``held``, or lie from a ``place`` on in their regions."""
        f, v, levels = self.frame.f, self.frame.v, self.program.levels
        spots = [Spot(spot.row, f.add(spot.unit, w * v.lanes)) for w in range(count)]
        values = dict(held)

        def needed(current: Node) -> Sequence[Node]:
            """What it is computed of, here and now."""
            if current in held or current.op not in PRIMITIVES or is_stored(current):
                return ()
            if current in self.fixed:
                return ()
            return sorted(current.args, key=self.length.__getitem__, reverse=True)

        def compute(current: Node) -> list[str]:
            if current.op == "const":
                return [v.number(float.fromhex(current.attr))] * count
            if current.op not in PRIMITIVES or current in self.fixed or is_stored(current):
                return [read(current, w) for w in range(count)]
            operands = zip(*(values[a] for a in current.args), strict=True)
            return [PRIMITIVES[current.op].emit(v, *given) for given in operands]

        def is_stored(current: Node) -> bool:
            return levels[current] < level and current in self.temporaries

        def read(current: Node, w: int) -> str:
            if current in self.fixed:
                return v.load(self.frame.scratch("fixed", self.fixed[current]).at(spots[w].unit))
            if current.op == "units":
                return self.frame.count_of_units(space_of(current.attr))
            if current.op == "unit":
                return self.frame.is_unit(current, spots[w].unit)
            if current.op in REDUCTIONS and not current.attr:
                return v.broadcast(self._reduced_at(current, spot.row))
            if not current.args:
                return self.memory.read(current, spots[w])
            if is_stored(current) or current.op in REDUCTIONS:
                return v.load(self._row(current, spot.row).at(spots[w].unit))
            return v.load(place.at(0, w * v.lanes, regions[current]))

        for current in walk((store.value for store in stage.stores), needed):
            if current not in held:
                values[current] = compute(current)
        for w, at in enumerate(spots):
            self.memory.write_all([(store, values[store.value][w]) for store in stage.stores], at)
        self.memory.has_read()
