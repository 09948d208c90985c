"""The backward pass: the steps in reverse, then the inputs' and the weights' gradients.

The batch is cut into parts (``schedule.Order``), which need nothing of one another until the end. A
chunk of time after another (``Schedule.chunk_steps``), the loop over time writes the gradient at
each gate and product of each step. From these ``gate_gradients``, three kinds of sums follow that
need no order of time: ``x``'s gradient (row by row), the weights' (over the part's rows and steps)
and the biases'. Where each row's gradients are wanted apart, they list the chunk row by row, and a
row is a group; else they list it step by step, and all rows of a part are one group.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..expr import Node
from ..spaces import HIDDEN, INPUT, Space
from .buffers import Argument, Buffer, Slots
from .forward import walk_step
from .frame import Frame, common, define_reductions, parameters
from .graph import Store
from .inputs import add_to_input, emit_inputs, wanted
from .ir import Int, Module
from .masked import SLOT
from .memory import (
    Spot,
    StepMemory,
    fixed_values,
    further_inputs,
    operands,
    pack_fixed,
    slot_of,
    values_of_step,
)
from .outer import RANGE, emit_outer, lists, range_of
from .panel import define_tiles, each_panel, each_panel_x
from .plan import Plan, products_of
from .routine import define_entry
from .stage import Stages
from .target import Target
from .team import (
    PACKED,
    STATE,
    TEAM,
    Team,
    can_cut_units,
    mixes_units,
    open_doors,
    team_of,
    team_packs,
)
from .view import View, load_units

#: What a thread is at: a part, its rows, one group of these, the steps of a chunk and of a piece of
#: it in the order of the forward pass.
_OF_CHUNK = ("part", "first", "last", "group", "j", "j.end", "from", "to")


def slots(plan: Plan, target: Target) -> Slots:
    """The table of arguments of ``elman_backward``, and its scratch memory."""
    step, panel, number = plan.step, target.panel, target.dtype
    states, products, inputs = step.states, len(products_of(plan.backward)), len(plan.input_columns)
    gates = (len(plan.gate_gradients), "most", "gate_gradients.row"), number
    pairs = (inputs, *gates[0][1:]), "bfloat"
    kept = ["saved", *(f"saved.{name}" for name in plan.saved_states)]

    def panels(numbers: Mapping[str, int]) -> int:
        units = numbers[target.row.padded]
        return 0 if numbers["unpacked"] else products * panel.nbytes(units, units)

    def panels_x(numbers: Mapping[str, int]) -> int:
        size = panel.nbytes(numbers[INPUT.padded], numbers[HIDDEN.name])
        return 0 if numbers["unpacked"] else inputs * size

    def parts_at_once(numbers: Mapping[str, int]) -> int:
        return 1 if numbers["one.by.one"] else numbers["parts"]

    def groups(numbers: Mapping[str, int]) -> int:
        return numbers["slice"] if numbers["apart"] else 1

    return Slots(
        [
            *common(step),
            *[SLOT] * target.panel.masked,
            Argument("x", "tru"),
            *further_inputs(step),
            *(Argument(f"ginput.{name}", "tru") for name in step.inputs),
            *(Argument(f"gout.{name}", "tru", zeros=True, of="units") for name in step.outputs),
            *(Argument(f"output.{name}", "tru", of="units") for name in plan.read_outputs),
            *(Argument(f"h0.{name}", "ru", of="row") for name in plan.read_outputs),
            *(Argument(f"ghn.{name}", "ru", zeros=True, of="row") for name in states),
            *(Argument(f"gh0.{name}", "ru", of="row") for name in states),
            *parameters(step),
            Argument("dx", "tru"),
            *map(Argument, ("partials.given", *kept)),
            *("dx.add", "dx.other", "dx.left", "gate_gradients.row", "one", "ahead"),
            *("chunk", "segment", "most", "parts", "one.by.one", "apart"),
            "gate_gradients.stride",
            *("jobs", "matrices", "tasks", "goals", "goals.n", "operands", "operands.n"),
            *("width", "depth", "partials.size", "partials.end", *_OF_CHUNK),
            *((*TEAM, STATE) if can_cut_units(target, back=True) else PACKED),
            Buffer("panels", (panels,), "i8"),
            Buffer("panels_x", (panels_x,), "i8"),
            *operands(target, plan.backward, target.row),
            *fixed_values(target, plan.backward),
            *values_of_step(target, plan.backward, len(states)),
            Buffer("partials", (parts_at_once, "partials.size"), number),
            Buffer("gate_gradients", *gates, of_thread=True),
            *[Buffer("gate_gradients.pairs", *pairs, of_thread=True)] * panel.makes_operands,
            Buffer("lists", (len(lists(plan)) + 1, "most"), "ptr", of_thread=True),
            Buffer("starts", (lambda numbers: numbers["chunk"] + 1,), "i64", of_thread=True),
            Buffer("ranges", (groups, len(RANGE)), "i64", of_thread=True),
            Buffer("area", ("depth", "width"), number, of_thread=True),
        ]
    )


def emit(plan: Plan, target: Target) -> Module:
    """The module of the backward pass."""
    assert target.panel.gradients
    module, declared = Module(), slots(plan, target)
    define_reductions(module, target, plan.backward)
    define_tiles(module, target, plan.step.heads, back=True)
    _list_rows(module, declared, plan, target)
    _rows(module, declared, plan, target)
    emit_inputs(module, target, declared, plan)
    emit_outer(module, target, declared, plan)
    _pack(module, declared, plan, target)
    _parts(module, declared, plan, target)
    _entry(module, declared, plan, target)
    return module


def _entry(module: Module, slots: Slots, plan: Plan, target: Target) -> None:
    frame = Frame(module, "backward", target, slots)
    f = frame.f

    def pack() -> None:
        f.call("pack_slices", ("ptr", "%args"))

    if can_cut_units(target, back=True):
        memory, together = _Memory(frame, plan), f.compare("ne", frame.slot("team"), 0)
        with f.when(together):
            open_doors(frame)
            with f.loop(0, 2) as memory.now, f.loop(0, frame.slot("B")) as row:
                memory.begin("ghn", row)
        f.branch(f.op(f"and i1 {together}, {str(team_packs(target)).lower()}"), lambda: None, pack)
    else:
        pack()
    frame.region("backward_parts")
    own = frame.copy()
    parts = f.select(f.compare("eq", frame.slot("one.by.one"), 0), frame.slot("parts"), 0)
    last = f.select(f.compare("ne", frame.slot("partials.end"), 0), parts, 0)
    with f.loop(0, last) as part:
        frame.put(own, {"part": part})
        f.call("add_part", ("ptr", own))
    define_entry(module, "elman_backward", "backward")


def _pack(module: Module, slots: Slots, plan: Plan, target: Target) -> None:
    """``pack_slices``: the matrices in panels, some slices of their units."""
    frame = Frame(module, "pack_slices", target, slots)
    first, last = (frame.slot(name) for name in PACKED)
    for panel in each_panel(frame, plan.step, plan.backward):
        panel.fill(first, last)
    pack_fixed(frame, plan.backward, first, last)
    with frame.f.when(wanted(frame)):
        for _, panel in each_panel_x(frame, plan.step, [*plan.input_columns], back=True):
            panel.fill(first, last)


def _parts(module: Module, slots: Slots, plan: Plan, target: Target) -> None:
    """The worker: a part of the batch through all steps, a chunk after another, the last first."""
    frame = Frame(module, "backward_parts", target, slots)
    f, by_units = frame.f, can_cut_units(target, back=True)
    own, worker = frame.copy(), frame.worker()
    for buffer in slots.of_thread:
        offset, nbytes = map(frame.slot, buffer.slots)
        number: Int = worker
        if by_units and buffer.name == "gate_gradients":  # a team has them in common
            number = f.select(f.compare("ne", frame.slot("team"), 0), 0, worker)
        frame.put(own, {buffer.name: f.add(offset, f.mul(number, nbytes))})
    size, length, steps = frame.slot("slice"), frame.slot("chunk"), frame.slot("T")
    chunks = f.div(f.add(steps, f.sub(length, 1)), length)
    with frame.tickets(frame.slot("slices")) as ticket:
        team, part = Team.come(frame, ticket) if by_units else (None, ticket)
        if team:
            f.store("ptr", team.state, f.gep("i64", own, frame.index(STATE)))
            if team_packs(target):
                with team.pack() as table:
                    f.call("pack_slices", ("ptr", table))
        first = f.mul(part, size)
        last = f.min(f.add(first, size), frame.slot("B"))
        frame.put(own, {"part": part, "first": first, "last": last})
        apart = f.compare("ne", frame.slot("apart"), 0)
        groups = f.select(apart, f.sub(last, first), 1)
        with f.loop(0, chunks) as i:
            j = f.mul(f.sub(f.sub(chunks, 1), i), length)
            frame.put(own, {"j": j, "j.end": f.min(f.add(j, length), steps)})
            f.call("list_rows", ("ptr", own))
            met = mixes_units(plan.backward)  # after each step
            end = f.min(f.add(j, length), steps)
            _pieces(frame, own, (j, end), groups, None if met else team)
            with f.when(f.compare("sgt", frame.slot("tasks"), 0)), f.loop(0, groups) as group:
                mine = f.select(apart, f.add(first, group), part)
                frame.put(own, {"group": group, "part": mine})
                f.call("add_up", ("ptr", own))
            if team:
                team.meet()
        with f.when(f.compare("ne", frame.slot("one.by.one"), 0)):
            f.call("add_part", ("ptr", own))


def _pieces(frame: Frame, own: str, chunk: tuple[Int, Int], groups: Int, team: Team | None) -> None:
    """A chunk's steps and their inputs' gradients, a piece after another, the last first. A team
    meets in between."""
    f, steps, (j, end) = frame.f, frame.slot("T"), chunk

    def size(left: Int) -> Int:
        return _claim(frame, own, f.min(left, frame.slot("piece")))

    with f.blocks(f.sub(end, j), size) as (before, count):
        to = f.sub(end, before)
        begin = f.sub(steps, to)  # in the order of this pass
        done = f.add(begin, count)
        frame.put(own, {"from": f.sub(to, count), "to": to})
        frame.wait(begin, done)
        adding = f.load("i64", own, frame.index("dx.add"))
        with f.when(f.compare("ne", adding, 0)):
            frame.wait_for("dx.other", f.sub(steps, begin))
        f.call("backward_rows", ("ptr", own))
        if team:
            team.meet()
        with f.when(wanted(frame)), f.loop(0, groups) as group:
            frame.put(own, {"group": group})
            f.call("backward_inputs", ("ptr", own))
        frame.tell(done)


def _claim(frame: Frame, own: str, most: Int) -> Int:
    """How many of the next ``most`` steps are a piece.

    Two directions that run side by side begin at opposite ends of the inputs' gradient. Each claims
    steps that neither has claimed, and writes there; where none are left, it adds to what the
    other has written or is about to write. (A sum of two has the same bits either way.)
    """
    f, left = frame.f, frame.pointer("dx.left")

    def claimed() -> Int:
        free = f.op(f"atomicrmw sub ptr {left}, i64 {most} monotonic")
        none = f.compare("sle", free, 0)
        frame.put(own, {"dx.add": f.op(f"zext i1 {none} to i64")})
        return f.select(none, most, f.min(free, most))

    return f.either(frame.null(left), "i64", lambda: most, claimed)


class _Memory(StepMemory):
    """Where the backward pass finds and keeps things; set anew for each step."""

    def __init__(self, frame: Frame, plan: Plan) -> None:
        super().__init__(frame, plan, plan.backward)
        self.time_before: Int = 0  # of the preceding step, if there is one
        self.flat_before: Int = 0
        self.begins: Int = 0  # from this row on, the step is a row's first
        self.place: Int = 0  # in ``gate_gradients``, of the step's first row
        self._next: list[str] = []  # where the next step will read

    def move(self, j: Int, t: str, begins: Int) -> None:
        """To the ``j``-th step, at time ``t``."""
        f, frame = self.frame.f, self.frame
        self.begins, self.now = begins, f.op(f"and i64 {j}, 1")
        self.time, self.flat = frame.place(t)
        before = f.select(f.compare("sgt", j, 0), f.sub(t, frame.slot("dt")), t)
        self.time_before, self.flat_before = frame.place(before)

    def previous(self, name: str, row: Int) -> View:
        """A state before this step: of the preceding step, or the initial one."""
        f, frame = self.frame.f, self.frame
        begins = f.compare("sge", row, self.begins)
        if name in self.plan.read_outputs:
            first = frame.given(f"h0.{name}").at(row)
            before = self.of_caller(f"output.{name}", self.time_before).base
            return frame.view(f.select(begins, first, before, "ptr"))
        kept = f.add(f.add(self.flat_before, row), frame.slot("B"))
        return self.saved_state(name, f.select(begins, row, kept))

    def reached(self, name: str, row: Int) -> View:
        """A state after this step."""
        f, frame = self.frame.f, self.frame
        if name in self.plan.read_outputs:
            return frame.view(self.of_caller(f"output.{name}").base)
        return self.saved_state(name, f.add(f.add(self.flat, row), frame.slot("B")))

    def read(self, leaf: Node, spot: Spot) -> str:
        f, frame = self.frame.f, self.frame
        if leaf.op in ("gout", "input", "raw", "random", "vector"):
            if leaf.op != "vector":
                before = self.of_caller(slot_of(leaf), self.time_before)
                self._next.append(before.at(spot.unit))
            return self.read_given(leaf, spot)
        if leaf.op == "carry":
            return frame.v.load(self.states(leaf.attr).at(spot.row, spot.unit))
        flat = f.sub(self.flat_before, self.flat)
        outside = leaf.op in ("state", "new") and leaf.attr in self.plan.read_outputs
        if leaf.op == "saved":
            place = self.saved(leaf.attr, spot.row)
            ahead = f.mul(f.mul(flat, len(self.plan.saved)), frame.row_units)
        else:
            of = self.previous if leaf.op == "state" else self.reached
            place = of(leaf.attr, spot.row)
            if outside:
                time = f.sub(self.time_before, self.time)
                ahead = f.mul(time, frame.slot(f"output.{leaf.attr}.t"))
            else:
                ahead = f.mul(flat, frame.row_units)
        self._next.append(place.past(ahead).at(spot.unit))
        if outside:
            return load_units(frame.v, place, spot.unit, frame.units(leaf.space))
        return frame.v.load(place.at(spot.unit))

    def has_read(self) -> None:
        """Has the second cache fetch what the next step reads where this one has read: rows lie
        backwards and in pieces, which the processor does not foresee."""
        f, frame, places = self.frame.f, self.frame, self._next
        self._next = []
        if places:
            with f.when(f.compare("ne", frame.slot("ahead"), 0)):
                for place in places:
                    frame.v.prefetch(place)

    def write(self, store: Store, value: str, spot: Spot) -> None:
        f, frame = self.frame.f, self.frame
        if store.kind == "input":
            self._write_input(f"ginput.{store.name}", value, spot, store.space)
            return
        if store.kind == "state":
            row = self.states(str(store.name), new=True).row(spot.row)
        elif store.kind == "temporary":
            row = self.rows_of(store.value).row(spot.row)
        else:
            before = f.sub(spot.row, frame.slot("first"))
            n = f.add(self.place, f.mul(before, frame.slot("gate_gradients.stride")))
            row = frame.scratch("gate_gradients", int(store.name), n)
        frame.v.store(value, row.at(spot.unit))

    def _write_input(self, name: str, value: str, spot: Spot, space: Space) -> None:
        """The gradient of a further input, if it is wanted."""
        f, frame = self.frame.f, self.frame
        with f.when(frame.is_given(name)):
            add_to_input(frame, self.of_caller(name), spot.unit, frame.units(space), value)


def _rows(module: Module, slots: Slots, plan: Plan, target: Target) -> None:
    """A part's rows through the steps of a piece, the last step first."""
    frame = Frame(module, "backward_rows", target, slots)
    f, team = frame.f, team_of(frame)
    memory = _Memory(frame, plan)
    stages = Stages(frame, plan.step, plan.backward, memory, back=True)
    begin, end, first = frame.slot("from"), frame.slot("to"), frame.slot("first")
    with f.loop(begin, end) as i:
        j = f.sub(f.sub(f.add(begin, end), 1), i)
        t, active, begins, ends = walk_step(frame, j, first, frame.slot("last"))
        memory.move(j, t, begins)
        memory.place = frame.scratch("starts").load(f.sub(j, frame.slot("j")))
        if team:  # before the region
            ends = f.select(team.wanted, active, ends)
        with f.loop(ends, active) as row:
            memory.begin("ghn", row)
        stages.emit(first, active, team)
        with f.loop(begins, active) as row:
            memory.finish("gh0", row, team.units if team else None, optional=True)


def _list_rows(module: Module, slots: Slots, plan: Plan, target: Target) -> None:
    """For every row of a chunk, at each step, where its input and its products' operands lie, and
    its input's gradient; and where each step begins in these lists, and the last one ends. Where
    rows are apart, also at which steps each is there."""
    frame = Frame(module, "list_rows", target, slots)
    f, memory = frame.f, _Memory(frame, plan)
    begin, first = frame.slot("j"), frame.slot("first")
    position, starts = f.alloca(1, "i64", 8), frame.scratch("starts")
    apart = f.compare("ne", frame.slot("apart"), 0)
    f.store("i64", 0, position)
    kept = frame.is_given("partials.given")
    opening = f.compare("eq", frame.slot("j.end"), frame.slot("T"))  # of the part: its last chunk
    with f.loop(0, f.select(apart, f.sub(frame.slot("last"), first), 1)) as group:
        for name in ("from", "to"):
            range_of(frame, group, name).store(0)
        with f.when(opening):
            range_of(frame, group, "summed").store(f.select(kept, 1, 0))
    with f.loop(begin, frame.slot("j.end")) as j:
        t, active, begins, _ = walk_step(frame, j, first, frame.slot("last"))
        memory.move(j, t, begins)
        done = f.load("i64", position)
        starts.store(done, f.sub(j, begin))
        with f.loop(first, active) as row:
            n = f.add(done, f.mul(f.sub(row, first), frame.slot("gate_gradients.stride")))
            memory.at(row)
            addresses = [memory.of_caller("dx").base]
            for operand in reversed(lists(plan)):
                if operand is None:
                    given = memory.of_caller("x")
                elif operand.op == "state":
                    given = memory.previous(operand.attr, row)
                elif operand in plan.saved:
                    given = memory.saved(plan.saved.index(operand), row)
                elif operand in plan.reached:
                    given = memory.reached(plan.reached[operand], row)
                else:  # the gradient of a transposed product
                    given = frame.scratch("gate_gradients", plan.gate_gradients.index(operand), n)
                addresses.append(given.base)
            for i, address in enumerate(reversed(addresses)):
                frame.scratch("lists").store(address, i, n)
        with f.when(apart):
            now = f.sub(j, begin)
            with f.loop(begins, active) as row:
                range_of(frame, f.sub(row, first), "from").store(now)
            with f.loop(first, active) as row:
                range_of(frame, f.sub(row, first), "to").store(f.add(now, 1))
        f.store("i64", f.add(done, f.select(apart, 1, f.sub(active, first))), position)
    steps = f.sub(frame.slot("j.end"), begin)
    starts.store(f.load("i64", position), steps)
