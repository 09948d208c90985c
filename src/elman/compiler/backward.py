"""The backward pass: the steps in reverse, then the inputs' and the weights' gradients.

The batch is cut into parts (``batch.Order``), which need nothing of one another until the end. A
chunk of time after another (sizes.py), the loop over time writes the gradient at each gate and
product of each step into ``z``; from it, three kinds of sums follow that need no order of time:
``x``'s gradient (row by row), the weights' (over the part's rows and steps) and the biases'. Where
each row's gradients are wanted apart, ``z`` lists the chunk row by row, and a row is a group; else
it lists it step by step, and all rows of a part are one group.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..expr import Node
from ..spaces import HIDDEN, INPUT
from .entry import define_entry
from .forward import read_given, walk_step
from .frame import Frame, common, define_sum, extern, parameters
from .graph import Store
from .inputs import emit_inputs, panels_to_x, wanted
from .ir import Int, Module
from .outer import emit_outer, lists, range_of, z_at
from .panel import define_tiles, panels_of
from .plan import Plan
from .stage import Spot, Stages
from .target import Target
from .units import load_beside, load_units, store_units

#: Buffers of which each thread has its own.
_OF_THREAD = ("z", "couples_z", "lists", "starts", "ranges", "area")
#: What a thread is at: a part, its rows, one group of these, the steps of a chunk and of a piece of
#: it in the order of the forward pass.
_OF_CHUNK = ("part", "first", "last", "group", "j", "j.end", "from", "to")


def tensors(plan: Plan) -> list[str]:
    """The tensors of the caller that the pass is given, beside the parameters."""
    states = plan.step.states
    names = ["x", *(f"gout.{o}" for o in plan.step.outputs)]
    names += [f"{kind}.{s}" for kind in ("ghn", "gh0") for s in states]
    names += [f"{kind}.{s}" for kind in ("output", "h0") for s in plan.read_outputs]  # contiguous
    return names + [f"{kind}.{name}" for kind in ("input", "ginput") for name in plan.step.inputs]


def slots(plan: Plan) -> list[str]:
    """The table of arguments of ``elman_backward``."""
    return [
        *common(plan.step),
        *(slot for name in tensors(plan) for slot in extern(name)),
        *(slot for mine in parameters(plan.step).values() for slot in mine),
        *("dx", "dx.add", "dx.other", "dx.left", "zeros", "one"),
        *("panels", "panels_x", "block", "states", "crossing", "couples", "sums"),
        *("chunk", "segment", "most", "jobs", "matrices", "tasks", "goals", "goals.n"),
        *("operands", "operands.n", "width", "depth", "Zp", "ahead", "parts", "one.by.one"),
        *("partials", "partials.size", "partials.given", "partials.end", "apart", "pitch"),
        *(name for buffer in _OF_THREAD for name in (buffer, f"{buffer}.bytes")),
        *_OF_CHUNK,
        "saved",
        *(f"saved.{s}" for s in plan.saved_states),
    ]


def emit(plan: Plan, target: Target) -> Module:
    """The module of the backward pass."""
    assert target.couples or not target.narrow  # its tiles read gradients and rows beside panels
    module = Module()
    define_sum(module, target)
    define_tiles(module, target, back=True)
    _list_rows(module, plan, target)
    _rows(module, plan, target)
    emit_inputs(module, target, slots(plan), plan)
    emit_outer(module, target, slots(plan), len(plan.z))
    _parts(module, plan, target)
    _entry(module, plan, target)
    return module


def _entry(module: Module, plan: Plan, target: Target) -> None:
    frame = Frame(module, "backward", target, slots(plan))
    f = frame.f
    for panel in panels_of(frame, plan.step, plan.backward).values():
        panel.fill()
    with f.when(wanted(frame)):
        for panel in panels_to_x(frame, plan):
            panel.fill()
    frame.region("backward_parts")
    own = frame.copy()
    parts = f.select(f.compare("eq", frame.slot("one.by.one"), 0), frame.slot("parts"), 0)
    last = f.select(f.compare("ne", frame.slot("partials.end"), 0), parts, 0)
    with f.loop(0, last) as part:
        frame.put(own, {"part": part})
        f.call("add_part", ("ptr", own))
    define_entry(module, "elman_backward", "backward")


def _parts(module: Module, plan: Plan, target: Target) -> None:
    """The worker: a part of the batch through all steps, a chunk after another, the last first."""
    frame = Frame(module, "backward_parts", target, slots(plan))
    f = frame.f
    own, worker = frame.copy(), frame.worker()
    for name in _OF_THREAD:
        place = f.add(frame.slot(name), f.mul(worker, frame.slot(f"{name}.bytes")))
        frame.put(own, {name: place})
    size, length, steps = frame.slot("slice"), frame.slot("chunk"), frame.slot("T")
    chunks = f.div(f.add(steps, f.sub(length, 1)), length)
    with frame.tickets(frame.slot("slices")) as part:
        first = f.mul(part, size)
        last = f.min(f.add(first, size), frame.slot("B"))
        frame.put(own, {"part": part, "first": first, "last": last})
        apart = f.compare("ne", frame.slot("apart"), 0)
        groups = f.select(apart, f.sub(last, first), 1)
        with f.loop(0, chunks) as i:
            j = f.mul(f.sub(f.sub(chunks, 1), i), length)
            frame.put(own, {"j": j, "j.end": f.min(f.add(j, length), steps)})
            f.call("list_rows", ("ptr", own))
            _pieces(frame, own, j, f.min(f.add(j, length), steps), groups)
            with f.when(f.compare("sgt", frame.slot("tasks"), 0)), f.loop(0, groups) as group:
                mine = f.select(apart, f.add(first, group), part)
                frame.put(own, {"group": group, "part": mine})
                f.call("add_up", ("ptr", own))
        with f.when(f.compare("ne", frame.slot("one.by.one"), 0)):
            f.call("add_part", ("ptr", own))


def _pieces(frame: Frame, own: str, j: Int, end: Int, groups: Int) -> None:
    """A chunk's steps and their inputs' gradients, a piece after another, the last first."""
    f, steps = frame.f, frame.slot("T")

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


class _Memory:
    """Where the backward pass finds and keeps things; set anew for each step."""

    def __init__(self, frame: Frame, plan: Plan) -> None:
        self.frame, self.plan = frame, plan
        self.crossing = {n: i for i, n in enumerate(plan.backward.crossing)}
        self.now: Int = 0
        self.time: Int = 0
        self.flat: Int = 0
        self.time_before: Int = 0  # of the preceding step, if there is one
        self.flat_before: Int = 0
        self.begins: Int = 0  # from this row on, the step is a row's first
        self.place: Int = 0  # in ``z``, of the step's first row
        self._next: list[str] = []  # where the next step will read

    def move(self, j: Int, t: str, begins: Int) -> None:
        """To the ``j``-th step, at time ``t``."""
        f, frame = self.frame.f, self.frame
        self.begins, self.now = begins, f.op(f"and i64 {j}, 1")
        self.time, self.flat = frame.place(t)
        before = f.select(f.compare("sgt", j, 0), f.sub(t, frame.slot("dt")), t)
        self.time_before, self.flat_before = frame.place(before)

    def _row(self, pointer: str, index: Int, row: Int) -> str:
        f, frame = self.frame.f, self.frame
        rows = f.add(f.mul(index, frame.slot("B")), row)
        return frame.at(pointer, (rows, frame.padded(HIDDEN)))

    def carry(self, name: str, row: Int, new: bool = False) -> str:
        f, half = self.frame.f, self.now
        half = f.sub(1, half) if new else half
        index = f.add(f.mul(half, len(self.plan.step.states)), self.plan.step.states.index(name))
        return self._row(self.frame.buffer("states"), index, row)

    def previous(self, name: str, row: Int) -> str:
        """A state before this step: of the preceding step, or the initial one."""
        f, frame = self.frame.f, self.frame
        begins = f.compare("sge", row, self.begins)
        if name in self.plan.read_outputs:
            first = frame.at(frame.pointer(f"h0.{name}"), (row, frame.slot(f"h0.{name}.r")))
            before = frame.extern_row(f"output.{name}", self.time_before, row)
            return f.select(begins, first, before, "ptr")
        kept = f.add(f.add(self.flat_before, row), frame.slot("B"))
        return self._kept(name, f.select(begins, row, kept))

    def reached(self, name: str, row: Int) -> str:
        """A state after this step."""
        f, frame = self.frame.f, self.frame
        if name in self.plan.read_outputs:
            return frame.extern_row(f"output.{name}", self.time, row)
        return self._kept(name, f.add(f.add(self.flat, row), frame.slot("B")))

    def _kept(self, name: str, index: Int) -> str:
        frame = self.frame
        return frame.at(frame.pointer(f"saved.{name}"), (index, frame.units(HIDDEN)))

    def saved(self, index: int, row: Int) -> str:
        f = self.frame.f
        column = f.add(f.mul(f.add(self.flat, row), len(self.plan.saved)), index)
        return self.frame.at(self.frame.pointer("saved"), (column, self.frame.units(HIDDEN)))

    def row_of(self, value: Node, row: Int) -> tuple[str, Int]:
        if value.op == "carry":
            return self.carry(value.attr, row), self.frame.padded(HIDDEN)
        pointer = self.frame.buffer("crossing")
        return self._row(pointer, self.crossing[value], row), self.frame.padded(HIDDEN)

    def start_of(self, value: Node, spot: Spot) -> tuple[str, Int]:
        base, stride = self.row_of(value, spot.row)
        return self.frame.at(base, spot.unit), stride

    def read(self, leaf: Node, spot: Spot) -> str:
        f, frame = self.frame.f, self.frame
        if leaf.op in ("gout", "input", "vector"):
            if leaf.op != "vector":
                name = f"{leaf.op}.{leaf.attr}"
                row = frame.extern_row(name, self.time_before, spot.row)
                self._next.append(frame.at(row, (spot.unit, frame.slot(f"{name}.u"))))
            return read_given(frame, leaf, self.time, spot)
        if leaf.op == "carry":
            return frame.v.load(frame.at(self.carry(leaf.attr, spot.row), spot.unit))
        flat = f.sub(self.flat_before, self.flat)
        outside = leaf.op in ("state", "new") and leaf.attr in self.plan.read_outputs
        if leaf.op == "saved":
            place = self.saved(leaf.attr, spot.row)
            ahead = f.mul(f.mul(flat, len(self.plan.saved)), frame.units(HIDDEN))
        else:
            of = self.previous if leaf.op == "state" else self.reached
            place = of(leaf.attr, spot.row)
            if outside:
                time = f.sub(self.time_before, self.time)
                ahead = f.mul(time, frame.slot(f"output.{leaf.attr}.t"))
            else:
                ahead = f.mul(flat, frame.units(HIDDEN))
        self._next.append(frame.at(place, ahead, spot.unit))
        if outside:
            return load_beside(frame.v, place, spot.unit, frame.units(leaf.space))
        return frame.v.load(frame.at(place, spot.unit))

    def look_ahead(self, stores: Sequence[Store], spot: Spot, size: Int) -> None:
        """The gradients of a chunk stay in the caches."""

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
            self._write_input(f"ginput.{store.name}", value, spot)
            return
        if store.kind == "state":
            place = self.carry(str(store.name), spot.row, new=True)
        elif store.kind == "cross":
            place = self.row_of(store.value, spot.row)[0]
        else:
            n = f.add(self.place, f.mul(f.sub(spot.row, frame.slot("first")), frame.slot("pitch")))
            place = z_at(frame, n, int(store.name))
        frame.v.store(value, frame.at(place, spot.unit))

    def _write_input(self, name: str, value: str, spot: Spot) -> None:
        """The gradient of a further input, if it is wanted; the second direction adds to it."""
        f, frame = self.frame.f, self.frame
        with f.when(f.op(f"icmp ne ptr {frame.pointer(name)}, null")):
            row, units = frame.extern_row(name, self.time, spot.row), frame.units(HIDDEN)
            stride = frame.slot(f"{name}.u")

            def known() -> str:
                return load_units(frame.v, row, stride, spot.unit, units)

            adding = f.compare("ne", frame.slot("dx.add"), 0)
            before = f.either(adding, frame.v.type, known, lambda: frame.v.number(0.0))
            store_units(frame.v, frame.v.add(before, value), row, stride, spot.unit, units)


def _rows(module: Module, plan: Plan, target: Target) -> None:
    """A part's rows through the steps of a piece, the last step first."""
    frame = Frame(module, "backward_rows", target, slots(plan))
    f = frame.f
    memory = _Memory(frame, plan)
    stages = Stages(frame, plan.step, plan.backward, memory, back=True)
    begin, end, first = frame.slot("from"), frame.slot("to"), frame.slot("first")
    starts = frame.buffer("starts")
    with f.loop(begin, end) as i:
        j = f.sub(f.sub(f.add(begin, end), 1), i)
        t, active, begins, ends = walk_step(frame, j, first, frame.slot("last"))
        memory.move(j, t, begins)
        memory.place = f.load("i64", f.gep("i64", starts, f.sub(j, frame.slot("j"))))
        with f.loop(ends, active) as row:
            _begin(frame, plan, memory, row)
        stages.emit(first, active)
        with f.loop(begins, active) as row:
            _finish(frame, plan, memory, row)


def _begin(frame: Frame, plan: Plan, memory: _Memory, row: Int) -> None:
    """The gradients of a row's final states, at its last step."""
    f, v = frame.f, frame.v
    for name in plan.step.states:
        space = plan.step.space(name)
        given = frame.at(frame.pointer(f"ghn.{name}"), (row, frame.slot(f"ghn.{name}.r")))
        with f.loop(0, frame.padded(space), v.lanes) as u:
            value = load_units(frame.v, given, frame.slot(f"ghn.{name}.u"), u, frame.units(space))
            v.store(value, frame.at(memory.carry(name, row), u))


def _finish(frame: Frame, plan: Plan, memory: _Memory, row: Int) -> None:
    """The gradients of a row's initial states, if they are wanted, at its first step."""
    f, v = frame.f, frame.v
    for name in plan.step.states:
        wanted = f.op(f"icmp ne ptr {frame.pointer(f'gh0.{name}')}, null")
        with f.when(wanted):
            goal = frame.at(frame.pointer(f"gh0.{name}"), (row, frame.slot(f"gh0.{name}.r")))
            space = plan.step.space(name)
            with f.loop(0, frame.padded(space), v.lanes) as u:
                value = v.load(frame.at(memory.carry(name, row, new=True), u))
                store_units(
                    frame.v, value, goal, frame.slot(f"gh0.{name}.u"), u, frame.units(space)
                )


def _list_rows(module: Module, plan: Plan, target: Target) -> None:
    """For every row of a chunk, at each step, where its input and its products' operands lie, and
    its input's gradient; and where each step begins in these lists, and the last one ends. Where
    rows are apart, also at which steps each is there."""
    frame = Frame(module, "list_rows", target, slots(plan))
    f, memory = frame.f, _Memory(frame, plan)
    begin, first = frame.slot("j"), frame.slot("first")
    position, starts = f.alloca(1, "i64", 8), frame.buffer("starts")
    apart = f.compare("ne", frame.slot("apart"), 0)
    f.store("i64", 0, position)
    given = f.op(f"icmp ne ptr {frame.pointer('partials.given')}, null")
    opening = f.compare("eq", frame.slot("j.end"), frame.slot("T"))  # of the part: its last chunk
    with f.loop(0, f.select(apart, f.sub(frame.slot("last"), first), 1)) as group:
        for name in ("from", "to"):
            f.store("i64", 0, range_of(frame, group, name))
        with f.when(opening):
            f.store("i64", f.select(given, 1, 0), range_of(frame, group, "summed"))
    with f.loop(begin, frame.slot("j.end")) as j:
        t, active, begins, _ = walk_step(frame, j, first, frame.slot("last"))
        memory.move(j, t, begins)
        done = f.load("i64", position)
        f.store("i64", done, f.gep("i64", starts, f.sub(j, begin)))
        with f.loop(first, active) as row:
            n = f.add(done, f.mul(f.sub(row, first), frame.slot("pitch")))
            flat = f.add(memory.flat, row)
            addresses = [frame.at(frame.pointer("dx"), (flat, frame.units(INPUT)))]
            for operand in reversed(lists(plan)):
                if operand is None:
                    address = frame.extern_row("x", memory.time, row)
                elif operand.op == "state":
                    address = memory.previous(operand.attr, row)
                elif operand in plan.saved:
                    address = memory.saved(plan.saved.index(operand), row)
                else:
                    name = plan.step.states[plan.step.new.index(operand)]
                    address = memory.reached(name, row)
                addresses.append(address)
            for i, address in enumerate(reversed(addresses)):
                index = f.add(f.mul(frame.slot("most"), i), n)
                f.store("ptr", address, f.gep("ptr", frame.buffer("lists"), index))
        with f.when(apart):
            now = f.sub(j, begin)
            with f.loop(begins, active) as row:
                f.store("i64", now, range_of(frame, f.sub(row, first), "from"))
            with f.loop(first, active) as row:
                f.store("i64", f.add(now, 1), range_of(frame, f.sub(row, first), "to"))
        f.store("i64", f.add(done, f.select(apart, 1, f.sub(active, first))), position)
    steps = f.sub(frame.slot("j.end"), begin)
    f.store("i64", f.load("i64", position), f.gep("i64", starts, steps))
