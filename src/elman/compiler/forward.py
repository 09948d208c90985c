"""The forward pass: project the inputs of a piece of time, then run its steps."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial

from ..expr import Node, walk
from ..spaces import HIDDEN, INPUT, Matrix
from ..step import Step
from .buffers import Argument, Buffer, Slot, Slots
from .frame import Frame, common, define_reductions, parameters
from .graph import Program, Store
from .ir import Function, Int, Module
from .masked import SLOT
from .memory import (
    Spot,
    StepMemory,
    Units,
    fixed_values,
    further_inputs,
    operands,
    pack_fixed,
    values_of_step,
)
from .panel import (
    Panel,
    Place,
    columns_at_once,
    define_tiles,
    each_panel,
    each_panel_x,
    height,
    is_unpacked,
    panel_x,
    places,
)
from .plan import Plan, products_of
from .routine import define_entry
from .stage import Stages, states_first
from .target import Target
from .team import PACKED, TEAM, Team, can_cut_units, open_doors, reads_inputs, team_packs
from .tile import add_up
from .vector import Vector
from .view import View, load_units, store_beside, store_units


def slots(plan: Plan, target: Target, training: bool) -> Slots:
    """The table of arguments of ``elman_forward``, and its scratch memory."""
    step, panel, program = plan.step, target.panel, program_of(plan, training)
    states, columns, products = step.states, len(plan.columns), len(products_of(program))
    kept = ["saved", *(f"saved.{name}" for name in plan.saved_states)]
    inputs_of_slice = "slices", "piece", "slice"  # of a slice's piece of time
    starts_of = len(starts(plan, program)), HIDDEN.padded

    rows_x: list[Slot] = []  # of the input, made for products, rounded up to whole vectors
    if panel.makes_operands:
        rows_x.append(Buffer("pairs_x", (*inputs_of_slice, "Ix"), "bfloat"))
    if target.given:  # widened
        rows_x.append(Buffer("wide_x", (*inputs_of_slice, "Ix"), target.dtype))

    def panels(numbers: Mapping[str, int]) -> int:
        return products * panel.nbytes(*[numbers[target.row.padded]] * 2)

    def panels_x(numbers: Mapping[str, int]) -> int:
        return columns * target.panel_x.nbytes(numbers[HIDDEN.padded], numbers[INPUT.name])

    return Slots(
        [
            *common(step),
            *("packed", "weights", "ahead"),
            *["next"] * target.constant,
            *[SLOT] * target.panel.masked,
            Argument("x", "tru"),
            *further_inputs(step),
            *(Argument(f"output.{name}", "tru", of="units") for name in step.outputs),
            *(Argument(f"h0.{name}", "ru", zeros=True, of="row") for name in states),
            *(Argument(f"hn.{name}", "ru", of="row") for name in states),
            *parameters(step),
            *map(Argument, kept),
            Buffer("panels", (panels,), "i8", packed=True),
            Buffer("panels_x", (panels_x,), "i8", packed=True),
            *operands(target, program, INPUT),
            *(["Ix", *rows_x] if rows_x else []),
            Buffer("starts", starts_of, target.dtype, packed=True),
            *fixed_values(target, program, packed=True),
            Buffer("rows", inputs_of_slice, "ptr"),
            Buffer("projected", (*inputs_of_slice, columns, HIDDEN.padded), target.dtype),
            *values_of_step(target, program, len(states)),
            *(TEAM if can_cut_units(target) else PACKED),
        ]
    )


def program_of(plan: Plan, training: bool) -> Program:
    """What the forward pass runs, with or without keeping what the backward pass reads."""
    return plan.train if training else plan.infer


def emit(plan: Plan, target: Target, training: bool) -> Module:
    """The module of the forward pass, with or without keeping what the backward pass reads."""
    module, declared = Module(), slots(plan, target, training)
    program = program_of(plan, training)
    define_reductions(module, target, program)
    define_tiles(module, target, plan.step.heads)
    _define_add_bias(module, target)
    _pack(module, declared, plan, program, target)
    _rows(module, "forward_rows", declared, plan, program, target)
    _entry(module, declared, plan, program, target)
    return module


def read_first(plan: Plan, target: Target) -> str:
    """The buffer of weights with which a step of one layer begins."""
    late = target.use.below and states_first(target, plan.infer, plan.step.spaces)
    return "panels" if late else "panels_x"


def emit_layer(module: Module, name: str, plan: Plan, target: Target) -> None:
    """Adds a function of the table, for a target of one layer: what a call does with weights that
    are packed."""
    declared = slots(plan, target, training=False)
    define_reductions(module, target, plan.infer)
    define_tiles(module, target, plan.step.heads)
    _rows(module, name, declared, plan, plan.infer, target)


def starts(plan: Plan, program: Program) -> dict[Node, int]:
    """Rows of biases: from what projections start, then what products and formulas read."""
    values = [s.value for stage in program.stages for s in stage.stores]
    biases = [n for n in walk(values) if n.op == "bias"]
    return {n: i for i, n in enumerate([*plan.columns, *biases])}


def biases_of(step: Step, start: Node) -> list[Matrix]:
    """The biases that a starting vector adds up."""
    kinds = {"x": ["bias_ih"], "bias": ["bias"], "xb": ["bias_ih", "bias"]}[start.op]
    names = start.attr if start.op == "xb" else [start.attr]
    return [step.blocks[key] for key in zip(kinds, names, strict=True)]


def _entry(module: Module, slots: Slots, plan: Plan, program: Program, target: Target) -> None:
    frame = Frame(module, "forward", target, slots)
    f = frame.f
    unpacked = f.compare("eq", frame.slot("packed"), 0)
    if can_cut_units(target):
        if team_packs(target):
            alone = f.compare("eq", frame.slot("team"), 0)
            unpacked = f.op(f"and i1 {unpacked}, {alone}")
        memory = _Memory(frame, plan, program)
        with f.when(_cut(frame)):
            open_doors(frame)
            several = f.compare("sgt", frame.slot("T"), 1)
            halves = f.select(several, 2, 1)  # a row may begin at any step
            with f.loop(0, halves) as memory.now, f.loop(0, frame.slot("B")) as row:
                memory.begin("h0", row, memory.keep)
    with f.when(unpacked):
        f.call("pack_slices", ("ptr", "%args"))
    frame.region("forward_rows")
    define_entry(module, "elman_forward", "forward")


def _pack(module: Module, slots: Slots, plan: Plan, program: Program, target: Target) -> None:
    """``pack_slices``: what all rows and steps read, the weights in panels, and what products start
    from; for some slices of the units."""
    frame = Frame(module, "pack_slices", target, slots)
    f, step = frame.f, plan.step
    first, last = (frame.slot(name) for name in PACKED)
    for _, panel in _each_panel_x(frame, plan):
        panel.fill(first, last)
    for panel in each_panel(frame, step, program):
        panel.fill(first, last)
    pack_fixed(frame, program, first, last)
    for start, i in starts(plan, program).items():
        row, size = frame.scratch("starts", i), frame.slot(start.space.stored.slice)
        begin, end = f.mul(first, size), f.min(f.mul(last, size), frame.padded(start.space))
        with f.loop(begin, end, frame.v.lanes) as u:
            frame.v.store(frame.v.number(0.0), row.at(u))
        for bias in biases_of(step, start):
            given = frame.block(bias)
            with f.when(frame.is_given(bias.parameter)):
                places = ("ptr", row.at(begin)), ("ptr", given.at(begin))
                units = f.sub(frame.units(bias.rows), begin)
                sizes = given.strides[0], units, f.sub(end, begin)
                f.call("add_bias", *places, *(("i64", n) for n in sizes))


def places_x(plan: Plan, target: Target) -> dict[Node, Place]:
    """Where the panels of the projections lie, one for each column of projected inputs."""
    return places(target, target.panel_x, columns_at_once(target, plan.columns))


def gate_of(column: Node) -> str:
    """The gate of a column of projected inputs."""
    return column.attr if column.op == "x" else column.attr[0]


def _panels_x(frame: Frame, plan: Plan) -> dict[Node, Panel]:
    """The panels of the projections."""
    every = places_x(plan, frame.target).items()
    return {c: panel_x(frame, plan.step, gate_of(c), place) for c, place in every}


def _each_panel_x(frame: Frame, plan: Plan) -> Iterator[tuple[Int, Panel]]:
    """The columns and their panels, one by one."""
    if frame.target.constant:  # some lie beside one another
        return iter(enumerate(_panels_x(frame, plan).values()))
    return each_panel_x(frame, plan.step, [gate_of(column) for column in plan.columns])


def _define_add_bias(module: Module, target: Target) -> None:
    """``row[unit] += bias[unit * stride]``."""
    params = ("ptr", "row"), ("ptr", "bias"), ("i64", "stride"), ("i64", "units"), ("i64", "padded")
    f = Function(module, "add_bias", params, shared=True)
    v = Vector(f, target.isa, target.dtype)
    row, bias, stride, units, padded = f.params
    given, goal = View(f, target.weights, bias, (stride,)), View(f, v.dtype, row)
    with f.loop(0, padded, v.lanes) as u:
        v.store(v.add(v.load(goal.at(u)), load_units(v, given, u, units)), goal.at(u))


#: Sums that are added up at once, or each would wait for its own additions.
_LATENCY = 8
_KEPT = "saved", "saved_state"  # stores of what the backward pass reads
_FAR = (*_KEPT, "output")


class _Memory(StepMemory):
    """Where the forward pass keeps things; set anew for each step by :func:`_rows`."""

    def __init__(self, frame: Frame, plan: Plan, program: Program) -> None:
        super().__init__(frame, plan, program)
        target = frame.target
        self.keep = plan.saved_states if program is plan.train else ()
        self.columns = {n: i for i, n in enumerate(plan.columns)}
        self.starts = starts(plan, program)
        # One step of one layer reads its states where they lie. It writes them there, too, if no
        # block of units is left that multiplies the old ones.
        self._direct = target.constant and frame.slot("T") == 1
        self._in_place = self._direct and target.step.whole and len(program.stages) == 1
        self.projected: View  # the projected inputs of the step: rows from ``first`` on, columns
        self.first: Int = 0

    def states(self, name: str, new: bool = False) -> View:
        if self._in_place or (self._direct and not new):
            return self.frame.given(f"{'hn' if new else 'h0'}.{name}")
        return super().states(name, new)

    def begin(self, kind: str, row: Int, keep: Container[str] = ()) -> None:
        if not self._direct:
            super().begin(kind, row, keep)

    def finish(
        self, kind: str, row: Int, units: Units | None = None, optional: bool = False
    ) -> None:
        if not self._in_place:
            super().finish(kind, row, units, optional)

    def rows_of(self, value: Node) -> View:
        return self._projected(value) if value.op in ("x", "xb") else super().rows_of(value)

    def _projected(self, column: Node) -> View:
        """Projected inputs: rows of the batch, units."""
        begin = self.projected.past(self.frame.f.sub(0, self.first), self.columns[column])
        return self.frame.view(begin.base, begin.strides[0], 1)

    def start_of(self, value: Node, spot: Spot) -> View:
        if value.op == "bias":
            row = self.frame.scratch("starts", self.starts[value])
            return self.frame.view(row.at(spot.unit), 0, 1)
        return super().start_of(value, spot)

    def read(self, leaf: Node, spot: Spot) -> str:
        if leaf.op in ("x", "xb", "bias", "state"):
            return self.frame.v.load(self.start_of(leaf, spot).base)
        return self.read_given(leaf, spot)

    def _row_of(self, store: Store, row: Int) -> View:
        """The row that a store writes to."""
        f, frame = self.frame.f, self.frame
        if store.kind == "output":
            return self.of_caller(f"output.{store.name}")
        if store.kind == "state":
            return self.states(str(store.name), new=True).row(row)
        if store.kind == "temporary":
            return self.rows_of(store.value).row(row)
        if store.kind == "saved_state":
            return self.saved_state(str(store.name), f.add(f.add(self.flat, row), frame.slot("B")))
        return self.saved(int(store.name), row)

    def write(self, store: Store, value: str, spot: Spot) -> None:
        frame, row = self.frame, self._row_of(store, spot.row)
        if store.kind == "output":
            room = frame.room if frame.target.use.above else frame.units
            store_units(frame.v, value, row, spot.unit, room(store.space))
        else:
            frame.v.store(value, row.at(spot.unit))

    def write_all(self, values: Sequence[tuple[Store, str]], spot: Spot) -> None:
        super().write_all([one for one in values if one[0].kind not in _KEPT], spot)
        kept = [(v, self._row_of(of, spot.row)) for of, v in values if of.kind in _KEPT]
        if kept:  # one branch for all
            store_beside(self.frame.v, kept, spot.unit, self.frame.row_units)

    def look_ahead(self, stores: Sequence[Store], spot: Spot, size: Int) -> None:
        """The second cache fetches where the row's results will go: memory that it has not, and
        for which stores would wait."""
        f, frame, far = self.frame.f, self.frame, [s for s in stores if s.kind in _FAR]
        if not far:
            return
        with f.when(f.compare("ne", frame.slot("ahead"), 0)):
            self.at(spot.row)
            rows = [self._row_of(store, spot.row) for store in far]
            rows = [View(f, row.kind, row.base).past(spot.unit) for row in rows]
            with f.loop(0, size, frame.v.lanes) as u:
                for row in rows:
                    frame.v.prefetch(row.at(u))


def _rows(
    module: Module, name: str, slots: Slots, plan: Plan, program: Program, target: Target
) -> None:
    """The worker: a slice of the rows, or of their units, through all steps.

    Slices of units go through several stages or steps as a team. A slice reads the states of all
    units, which may lie where another writes the final ones: they have been copied before.
    """
    frame = Frame(module, name, target, slots)
    f = frame.f
    memory = _Memory(frame, plan, program)
    stages = Stages(frame, plan.step, program, memory)
    position = f.alloca(1, "i64", 8)
    steps, piece = frame.slot("T"), frame.slot("piece")
    by_units = can_cut_units(target)
    with frame.tickets(frame.slot("slices")) as ticket:
        mine, row_slice = Team.come(frame, ticket) if by_units else (None, ticket)
        if mine and team_packs(target):
            with f.when(f.compare("eq", frame.slot("packed"), 0)), mine.pack() as table:
                f.call("pack_slices", ("ptr", table))
        first, last = frame.slice_of(row_slice)
        memory.first = first
        # a slice's rows follow one another, however many a step has
        pointers = frame.scratch("rows", ticket, 0)
        shared = f.select(mine.wanted, 0, ticket) if mine else ticket
        projected = frame.scratch("projected", shared, 0)
        with f.loop(0, steps, piece) as begin:
            end = f.min(f.add(begin, piece), steps)
            frame.wait(begin, end)
            if steps == 1 and not target.use.short:
                inputs = partial(_project_row, frame, plan, projected)
                if target.use.below:
                    stages.begin_without(inputs)
                else:
                    inputs()
            else:
                places = pointers, projected, position, ticket
                _project(frame, plan, (begin, end), (first, last), mine, places)
            if mine and reads_inputs(program):
                mine.meet()
            f.store("i64", 0, position)
            with f.loop(begin, end) as j:
                t, active, before, after = walk_step(frame, j, first, last)
                memory.time, memory.flat = frame.place(t)
                memory.now = f.op(f"and i64 {j}, 1")
                done = f.load("i64", position)
                memory.projected = projected.past(done)
                if by_units:
                    before = f.select(_cut(frame), active, before)
                with f.loop(before, active) as row:
                    memory.begin("h0", row, memory.keep)
                stages.emit(first, active, mine)
                with f.loop(after, active) as row:
                    memory.finish("hn", row, mine.units if mine else None)
                f.store("i64", f.add(done, f.sub(active, first)), position)
            frame.tell(end)


def _cut(frame: Frame) -> str:
    """Whether the units are cut."""
    return frame.f.compare("sgt", frame.slot("unit.slices"), 1)


def walk_step(frame: Frame, j: Int, first: Int, last: Int) -> tuple[str, Int, Int, Int]:
    """Of the ``j``-th step, for a slice of rows: its time; the end of the active rows; from
    where on rows begin here, and from where on they end here."""
    f, steps = frame.f, frame.slot("T")
    t = f.op(f"add i64 {frame.slot('t0')}, {f.mul(j, frame.slot('dt'))}")
    back = f.sub(0, frame.slot("dt"))
    before = frame.neighbour(t, back, f.compare("sgt", j, 0))
    after = frame.neighbour(t, frame.slot("dt"), f.compare("slt", f.add(j, 1), steps))
    active = f.max(f.min(frame.count(t), last), first)
    return t, active, f.max(f.min(before, active), first), f.max(f.min(after, active), first)


def _project_row(frame: Frame, plan: Plan, projected: View) -> None:
    """``W_ih x + b`` of the only row that there is: as many columns as registers have room for in
    one loop over the features, so that no sum waits for itself."""
    f, v, panel, shape = frame.f, frame.v, frame.target.panel_x, frame.target.front
    x, panels, vectors = frame.given("x").row(0, 0), _panels_x(frame, plan), shape.widths[0]
    number = {column: i for i, column in enumerate(plan.columns)}
    size, most = vectors * v.lanes, frame.target.step.widths[0] // vectors
    for group in columns_at_once(frame.target, plan.columns):
        k, few = panels[group[0]].length, _LATENCY // (len(group) * vectors)
        count = next(n for n in range(max(1, min(most, few)), 0, -1) if not most % n)
        with f.loop(0, frame.padded(HIDDEN), count * size) as first:
            places = [(c, f.add(first, n * size)) for n in range(count) for c in group]
            factors = [panels[column].factor((unit, size), x) for column, unit in places]
            found = add_up(v, vectors, panel, factors, k, 1, frame.target.ahead)
            for (column, unit), factor, sums in zip(places, factors, found, strict=True):
                i, behind = number[column], partial(factor.behind, k)
                start, goal = frame.scratch("starts", i), projected.past(0, i)
                for w, mine in enumerate(sums):
                    at = f.add(unit, w * v.lanes)
                    total = panel.total(v, w, mine, v.load(start.at(at)), behind)
                    v.store(total, goal.at(0, 0, at))


def _wide(frame: Frame, x: View, ticket: Int, index: Int) -> View:
    """A row of the input as numbers to compute with."""
    f, v = frame.f, frame.v
    if x.kind == v.dtype:
        return x
    goal, units = frame.scratch("wide_x", ticket, 0, index), frame.units(INPUT)
    with f.loop(0, units, v.lanes) as u:
        v.store(load_units(v, x, u, units), goal.at(u))
    return goal


def _project(
    frame: Frame,
    plan: Plan,
    steps: tuple[Int, Int],
    rows: tuple[Int, Int],
    team: Team | None,
    places: tuple[View, View, str, Int],
) -> None:
    """``W_ih x + b`` for all rows of a piece of time, for the units of a thread."""
    f, shape, lanes = frame.f, frame.target.front, frame.v.lanes
    pointers, projected, position, ticket = places
    f.store("i64", 0, position)
    with f.loop(*steps) as j:
        t = f.op(f"add i64 {frame.slot('t0')}, {f.mul(j, frame.slot('dt'))}")
        time, _ = frame.place(t)
        done = f.load("i64", position)
        stop = f.max(f.min(frame.count(t), rows[1]), rows[0])
        with f.loop(rows[0], stop) as row:
            index, (begin, place) = f.add(done, f.sub(row, rows[0])), frame.place_of_row(row)
            x, room = (
                _wide(frame, frame.given("x").row(f.add(time, begin), place), ticket, index),
                partial(frame.scratch, "pairs_x", ticket, 0, index),
            )
            operand = frame.target.panel.prepare(x, room, frame.units(INPUT))
            pointers.store(operand.base, index)
        f.store("i64", f.add(done, f.sub(stop, rows[0])), position)
    total = f.load("i64", position)

    packed = f.op(f"xor i1 {is_unpacked(frame)}, true")
    alone = f.op(f"and i1 {f.compare('eq', total, 1)}, {packed}")

    tall = height(frame, shape, total)
    whole = 0, frame.padded(HIDDEN)
    for column, panel in _each_panel_x(frame, plan):
        goals = frame.view(projected.at(0, column), projected.strides[0], 1)
        starts = frame.scratch("starts", column)
        with (
            team.slices(HIDDEN) if team else nullcontext(whole) as units,
            shape.blocks(f, units[1], lanes, units[0], alone) as (unit, count),
        ):
            init = frame.view(starts.at(unit), 0, 1)
            with f.loop(0, total, tall) as row:
                panel.multiply(
                    (unit, count),
                    goals.past(row, unit),
                    init,
                    (pointers.at(row), operand.strides[0]),
                    f.min(f.sub(total, row), tall),
                    lanes=partial(panel.lanes, unit, row, (units, (0, total))),
                )
